"""Chops: where to cut, which few to choose, and how they leave for a DAW or a sampler."""
