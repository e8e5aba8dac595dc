"""Work that a daemon has done elsewhere: one worker process and one protocol for chops, flags and stems."""
