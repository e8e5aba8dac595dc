"""Flags of files: what does not belong, and what to keep."""
