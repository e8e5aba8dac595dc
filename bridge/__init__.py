"""Everything that may wait: commands, daemon, OSC, audio in and out."""

__version__ = "0.1.0"
