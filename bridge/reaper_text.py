"""How REAPER writes things: times of its CSV, quoted names, kinds of sources.

Format: https://github.com/ReaTeam/Doc/blob/master/State%20Chunk%20Definitions
"""

from pathlib import Path

_SOURCES = {".mp3": "MP3", ".flac": "FLAC", ".ogg": "VORBIS", ".oga": "VORBIS"}  # any other: WAVE, AIFF too


def source_kind(path: Path) -> str:
    """What REAPER calls the kind of an audio file."""
    return _SOURCES.get(path.suffix.lower(), "WAVE")


def clock(seconds: float) -> str:
    """``h:mm:ss.ssssss``, which is a time whatever the ruler shows."""
    micros = round(seconds * 1e6)
    minutes, micros = divmod(micros, 60_000_000)
    return f"{minutes // 60}:{minutes % 60:02}:{micros // 1_000_000:02}.{micros % 1_000_000:06}"


def quoted(text: str) -> str:
    """``text`` between the first of REAPER's three kinds of quotes that it does not hold."""
    quote = next((mark for mark in "\"'`" if mark not in text), "`")
    return quote + text.replace("`", "'" if quote == "`" else "`") + quote
