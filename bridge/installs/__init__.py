"""Putting Sidechop into the programs that it works with: one module for each."""
