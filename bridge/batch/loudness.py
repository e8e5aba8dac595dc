"""Loudness as it streams by: ITU-R BS.1770-4 integrated loudness (LUFS) and true peak, in constant memory.

The K-weighting is a high shelf and a high pass. Both run in pedalboard's filters: its shelf is the standard's to within
0.005 dB, and two first-order high passes in a row are its second-order one (Q 0.5 for 0.5003) but for a gain, which is
put right. Blocks of 400 ms step by 100 ms, gated at -70 LUFS and then 10 LU below what is left. A number for each block
is kept (36,000 an hour), not the audio. A test holds it against libebur128.

The true peak is that of the audio four times oversampled (soxr), as in the standard's annex 2.
"""

import math

import numpy as np
from numpy.typing import NDArray

from ..resampler import Resampler
from .pumped import HOST_BLOCK, Pump, Tail
from .stage import Block

STEPS_A_BLOCK = 4
ABSOLUTE_GATE = -70.0
RELATIVE_GATE = -10.0
OVERSAMPLING = 4
SHELF_HZ, SHELF_DB, SHELF_Q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
HIGHPASS_HZ, HIGHPASS_Q = 38.13547087602444, 0.5003270373238773


class LoudnessMeter:
    """Feed it all of one stream with `add`, `finish` it, then ask."""

    def __init__(self, rate: int, channels: int) -> None:
        from pedalboard import HighpassFilter, HighShelfFilter
        from pedalboard._pedalboard import Pedalboard

        # The standard names the shelf by its poles, the filter by the middle of its slope, which lies lower.
        poles = math.tan(math.pi * SHELF_HZ / rate)
        shelf_hz = math.atan(poles / 10 ** (SHELF_DB / 80)) * rate / math.pi
        self._board = Pedalboard(
            [
                HighShelfFilter(shelf_hz, SHELF_DB, SHELF_Q),
                HighpassFilter(HIGHPASS_HZ),
                HighpassFilter(HIGHPASS_HZ),
            ]
        )
        k = math.tan(math.pi * HIGHPASS_HZ / rate)
        # The standard's high pass has the numerator 1, -2, 1: a little more than unity far above the corner.
        self._gain = 1 + k / HIGHPASS_Q + k * k
        self._pump = Pump(
            lambda audio: self._board.process(audio, rate, HOST_BLOCK, False), lambda: 0, rate, channels, Tail()
        )
        self._step = round(rate / 10)
        self._left = np.zeros(0)
        self._steps: list[float] = []

    def add(self, block: Block) -> None:
        """``(channels, n)``."""
        self._weigh(self._pump.process(block))

    def finish(self) -> None:
        """No more comes."""
        for block in self._pump.flush():
            self._weigh(block)

    def _weigh(self, block: Block) -> None:
        power = np.square(block, dtype=np.float64).sum(axis=0)
        power = np.concatenate([self._left, power])
        whole = len(power) - len(power) % self._step
        self._steps += power[:whole].reshape(-1, self._step).mean(axis=1).tolist()
        self._left = power[whole:]

    @property
    def lufs(self) -> float:
        """Integrated loudness; minus infinity where all is silent or shorter than a block of 400 ms."""
        steps = np.asarray(self._steps) * self._gain**2
        if len(steps) < STEPS_A_BLOCK:
            return -math.inf
        blocks = np.convolve(steps, np.full(STEPS_A_BLOCK, 1 / STEPS_A_BLOCK), "valid")
        loud = blocks[_lufs(blocks) > ABSOLUTE_GATE]
        if not len(loud):
            return -math.inf
        gate = float(_lufs(loud.mean())) + RELATIVE_GATE
        return float(_lufs(loud[_lufs(loud) > gate].mean()))


class PeakMeter:
    """The true peak of one stream, linear."""

    def __init__(self, rate: int, channels: int) -> None:
        self._over = Resampler(rate, OVERSAMPLING * rate, channels)
        self.peak = 0.0

    def add(self, block: Block) -> None:
        self._hear(block)
        self._hear(self._over.process(block))

    def finish(self) -> None:
        self._hear(self._over.flush())

    def _hear(self, block: Block) -> None:
        if block.size:
            self.peak = max(self.peak, float(block.max()), -float(block.min()))


def _lufs(power: "NDArray[np.float64] | float") -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        level: NDArray[np.float64] = -0.691 + 10 * np.log10(power)
    return level
