"""Faders: gain, mute, solo, dry/wet and bypass, without clicks and without losing a bit where nothing is changed.

The residual is never summed. With faders g and the residual's own fader g_o, what is heard is ::

    wet * (sum_s g_s * stem_s + g_o * (mix - sum_s stem_s)) + (1 - wet) * mix
      = c_mix * mix + sum_s c_s * stem_s,     c_mix = 1 - wet + wet * g_o,   c_s = wet * (g_s - g_o)

so with every fader at unity the output *is* the delayed mix, to the bit, and ramping the few coefficients ramps all.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import RequestError

OUTPUTS_MAX = 16
"""Stems, the residual included, that a control block has faders for."""

CONTROL_DTYPE = np.dtype(
    [
        ("gain", "<f4", OUTPUTS_MAX),
        ("mute", "<u4", OUTPUTS_MAX),
        ("solo", "<u4", OUTPUTS_MAX),
        ("wet", "<f4"),
        ("bypass", "<u4"),
    ]
)
"""The control block as it lies in shared memory. Each value stands alone, one writes, one reads: no lock is needed."""

RAMP_S = 0.01
GAIN_DB_RANGE = (-120.0, 24.0)


class Controls:
    """Faders by stem name over a control block, which may lie in shared memory."""

    def __init__(self, outputs: Sequence[str], block: NDArray[Any] | None = None) -> None:
        self.outputs = tuple(outputs)
        self.block: NDArray[Any] = np.zeros((), CONTROL_DTYPE) if block is None else block
        if block is None:
            self.reset()

    def reset(self) -> None:
        """Unity gain, nothing muted or soloed, all wet."""
        self.block["gain"] = 1.0
        self.block["mute"] = 0
        self.block["solo"] = 0
        self.block["wet"] = 1.0
        self.block["bypass"] = 0

    def _index(self, stem: str) -> int:
        try:
            return self.outputs.index(stem)
        except ValueError:
            raise RequestError(f"no stem {stem!r}; there is {', '.join(self.outputs) or 'none'}") from None

    def set_gain_db(self, stem: str, gain_db: float) -> None:
        """Raises `RequestError` for an unknown stem or a gain outside -120 (silence) to +24 dB."""
        low, high = GAIN_DB_RANGE
        if not low <= gain_db <= high:
            raise RequestError(f"gain {gain_db} dB is outside {low:g} to {high:g} dB")
        self.block["gain"][self._index(stem)] = 0.0 if gain_db == low else 10.0 ** (gain_db / 20.0)

    def gain_db(self, stem: str) -> float:
        gain = float(self.block["gain"][self._index(stem)])
        return GAIN_DB_RANGE[0] if gain <= 0.0 else 20.0 * float(np.log10(gain))

    def set_mute(self, stem: str, on: bool) -> None:
        self.block["mute"][self._index(stem)] = int(on)

    def mute(self, stem: str) -> bool:
        return bool(self.block["mute"][self._index(stem)])

    def set_solo(self, stem: str, on: bool) -> None:
        """While any stem is soloed, only soloed stems are heard; mute still wins."""
        self.block["solo"][self._index(stem)] = int(on)

    def solo(self, stem: str) -> bool:
        return bool(self.block["solo"][self._index(stem)])

    @property
    def wet(self) -> float:
        """0 is the delayed mix, 1 the faders' mix."""
        return float(self.block["wet"])

    @wet.setter
    def wet(self, amount: float) -> None:
        if not 0.0 <= amount <= 1.0:
            raise RequestError(f"wet {amount} is outside 0 to 1")
        self.block["wet"] = amount

    @property
    def bypass(self) -> bool:
        return bool(self.block["bypass"])

    @bypass.setter
    def bypass(self, on: bool) -> None:
        self.block["bypass"] = int(on)


class StemMixer:
    """Mixes stems and delayed mix by a control block, ramping every change over 10 ms."""

    def __init__(self, controls: Controls, stems: int, residual: bool, rate: int, channels: int, block: int) -> None:
        self._block = controls.block
        self._stems, self._residual = stems, residual
        self._ramp_samples = max(1, round(RAMP_S * rate))
        self._steps = np.arange(1, block + 1, dtype=np.float32)
        self._weights: NDArray[np.float32] = np.zeros(block, np.float32)
        self._term: NDArray[np.float32] = np.zeros((channels, block), np.float32)
        self._start: NDArray[np.float32] = np.zeros(stems + 1, np.float32)
        self._goal: NDArray[np.float32] = np.zeros(stems + 1, np.float32)
        self._wanted: NDArray[np.float32] = np.zeros(stems + 1, np.float32)
        self.reset()

    def reset(self) -> None:
        """Stand where the faders stand, without a ramp."""
        self._met = self._block.tobytes()
        self._read_goal(self._goal)
        self._start[:] = self._goal
        self._at = self._ramp_samples

    def _read_goal(self, out: NDArray[np.float32]) -> None:
        block, count = self._block, self._stems + int(self._residual)
        wet = 0.0 if block["bypass"] else float(block["wet"])
        solo = block["solo"][:count] != 0
        heard = (block["mute"][:count] == 0) & (solo if solo.any() else True)
        gains = block["gain"][:count] * heard
        rest = float(gains[self._stems]) if self._residual else 0.0
        out[0] = (1.0 - wet) + wet * rest
        out[1:] = wet * (gains[: self._stems] - np.float32(rest))

    def mix(self, dry: NDArray[np.float32], stems: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """``dry (channels, n)`` and ``stems (S, channels, n)``, without the residual, to ``out (channels, n)``."""
        n = dry.shape[1]
        faders = self._block.tobytes()
        if faders != self._met:
            self._met = faders  # of before they are read: what is changed meanwhile is met once more
            self._read_goal(self._wanted)
            if not np.array_equal(self._wanted, self._goal):
                self._start += (self._goal - self._start) * np.float32(min(1.0, self._at / self._ramp_samples))
                self._goal[:] = self._wanted
                self._at = 0
        moving = self._at < self._ramp_samples
        if moving:
            weights = self._weights[:n]
            np.add(self._steps[:n], np.float32(self._at), out=weights)
            weights *= np.float32(1.0 / self._ramp_samples)
            np.minimum(weights, 1.0, out=weights)
            self._at = min(self._ramp_samples, self._at + n)
        term = self._term[:, :n]
        for k, (start, goal) in enumerate(zip(self._start, self._goal, strict=True)):
            signal = dry if k == 0 else stems[k - 1]
            target = out if k == 0 else term
            if moving and start != goal:
                np.multiply(weights, goal - start, out=target)
                np.add(target, start, out=target)
                np.multiply(target, signal, out=target)
            elif goal == 1.0 and k == 0:
                np.copyto(out, signal)
                continue
            elif goal == 0.0 and k > 0:
                continue
            else:
                np.multiply(signal, goal, out=target)
            if k > 0:
                out += term
