"""Hosting pedalboard's own effects: several that follow each other as one board, as plain pedalboard would run them.

`PitchShift` cannot stream (pedalboard 0.9.26 gives silence after its first block), so it hears a minute at a time,
whole; the minutes overlap and are joined by a crossfade. What is shorter than a minute, which is nearly every sample
and loop, is what pedalboard gives for the whole file.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from streaming.errors import RequestError

from .effects import EffectStage
from .pumped import HOST_BLOCK, Pump, Tail
from .spool import Fifo, Scratch
from .stage import Block, nothing

if TYPE_CHECKING:
    import pedalboard

WHOLE = "PitchShift"
"""The effect that hears pieces, not blocks."""
PIECE_S = 60.0
OVERLAP_S = 0.5
FADE_S = 0.1
SHORTEST = 16


def make_effect(settings: EffectStage) -> "pedalboard.Plugin":
    """Raises `RequestError` in the effect's own words where it refuses its parameters."""
    import pedalboard

    kind: Any = getattr(pedalboard, settings.type)
    try:
        effect: pedalboard.Plugin = kind(**settings.parameters())
    except (ValueError, TypeError) as error:
        raise RequestError(f"{settings.type}: {error}") from None
    return effect


class Board:
    """A stage of one or more of pedalboard's effects."""

    def __init__(self, effects: Sequence["pedalboard.Plugin"], settings: Sequence[EffectStage], tail: Tail) -> None:
        from pedalboard._pedalboard import Pedalboard

        self._board = Pedalboard(list(effects))
        self._settings = tuple(settings)
        self._tail = tail
        # An echo may be silent for as long as its delay line is.
        delays = [each.parameters().get("delay_seconds", 0.0) for each in settings]
        self._quiet_s = sum(delays) + 1.0

    def prepare(self, rate: int, channels: int) -> tuple[int, int]:
        """Raises `RequestError` for a frequency that this rate does not hold."""
        for settings in self._settings:
            check_rate(settings, rate)
        self._rate = rate
        self._board.reset()
        self._pump = Pump(self._run, lambda: 0, rate, channels, self._tail, self._quiet_s)
        return rate, channels

    def process(self, block: Block) -> Block:
        return self._pump.process(block)

    def flush(self) -> Iterator[Block]:
        return self._pump.flush()

    def _run(self, audio: Block) -> Block:
        try:
            return self._board.process(audio, self._rate, HOST_BLOCK, False)
        except (ValueError, RuntimeError) as error:
            names = ", ".join(settings.type for settings in self._settings)
            raise RequestError(f"{names}: {' '.join(str(error).split())}") from None


def check_rate(settings: EffectStage, rate: int) -> None:
    """Whether the effect can work at this rate: a filter beyond it would ring or blow up. Raises `RequestError`."""
    for name, value in settings.parameters().items():
        if name in ("cutoff_frequency_hz", "cutoff_hz", "centre_frequency_hz") and value >= rate / 2:
            raise RequestError(
                f"{settings.type}: {name} is {value:g}, but audio at {rate} Hz ends at {rate / 2:g} Hz: "
                "lower it, or resample before"
            )
    if settings.type == "MP3Compressor" and rate not in (32000, 44100, 48000):
        raise RequestError(f"MP3Compressor works at 32000, 44100 and 48000 Hz, not at {rate}: resample before")


class PieceByPiece:
    """A stage of the effect that cannot stream::

    piece 1   ━━━━━━━━━━━━━━━━╲───
    piece 2             ───╱━━━━━━━━━━━━━━━╲───      ╲╱: crossfade, ─: heard, but not used
    """

    def __init__(self, effect: "pedalboard.Plugin", scratch: Scratch, piece_s: float = PIECE_S) -> None:
        self._effect, self._scratch, self._piece_s = effect, scratch, piece_s

    def prepare(self, rate: int, channels: int) -> tuple[int, int]:
        self._rate, self._channels = rate, channels
        self._piece, self._overlap = round(self._piece_s * rate), round(OVERLAP_S * rate)
        self._fade = round(FADE_S * rate)
        self._fifo = Fifo(self._scratch, channels)
        self._before: Block = nothing(channels)
        self._out: Block | None = None
        return rate, channels

    def process(self, block: Block) -> Block:
        self._fifo.write(block)
        outs = []
        while self._fifo.available >= self._piece + self._overlap:
            outs.append(self._next(self._fifo.read(self._piece), last=False))
        return np.concatenate(outs, axis=1) if outs else nothing(self._channels)

    def flush(self) -> Iterator[Block]:
        if left := self._fifo.available:
            yield self._next(self._fifo.read(left), last=True)

    def _next(self, audio: Block, last: bool) -> Block:
        """``audio`` follows what was heard. The last ``overlap`` of a piece is heard again with the next one."""
        heard = np.concatenate([self._before, audio], axis=1)
        # Of two or three samples pedalboard cannot tell which side are the channels.
        whole = np.pad(heard, ((0, 0), (0, max(0, SHORTEST - heard.shape[1]))))
        out = self._effect.process(whole, self._rate, HOST_BLOCK, True)[:, : heard.shape[1]]
        if out.shape[1] < heard.shape[1]:
            out = np.pad(out, ((0, 0), (0, heard.shape[1] - out.shape[1])))
        half = (self._overlap - self._fade) // 2
        if self._out is not None:
            out = out[:, half:]
            fade = ((np.arange(self._fade) + 0.5) / self._fade).astype(np.float32)
            out[:, : self._fade] = out[:, : self._fade] * fade + self._out * (1 - fade)
        if last:
            return out
        end = out.shape[1] - (self._overlap - half)
        self._before = heard[:, -self._overlap :]
        self._out = out[:, end : end + self._fade]
        return out[:, :end]
