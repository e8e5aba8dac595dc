"""Stages of our own that need no network: rate, channels, fades, trimming, loudness."""

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from streaming.errors import AudioError

from ..config import Section
from ..resampler import Resampler
from .loudness import LoudnessMeter, PeakMeter
from .spool import Scratch, Spool
from .stage import Block, joined, nothing


class ResampleStage(Section):
    """To another rate, with soxr at its best."""

    type: Literal["resample"]
    rate: int = Field(ge=8000, le=192_000)


class ChannelsStage(Section):
    """To mono (the mean of both) or to stereo (the same in both)."""

    type: Literal["channels"]
    count: int = Field(ge=1, le=2)


class FadeStage(Section):
    """Fades at both ends: ``linear`` has equal gain, ``power`` is a quarter of a sine. Seconds."""

    type: Literal["fade"]
    in_s: float = Field(default=0.0, ge=0, le=60, allow_inf_nan=False)
    out_s: float = Field(default=0.0, ge=0, le=60, allow_inf_nan=False)
    shape: Literal["linear", "power"] = "linear"


class TrimStage(Section):
    """Leave out what lies outside: seconds first, then silence at both ends.

    Attributes:
        start_s, end_s: the part to keep; None ends it with the audio.
        threshold_db: what stays below this at the beginning and the end goes; None keeps it.
        pad_s: so much of it stays.
        lead, trail: at which ends.
    """

    type: Literal["trim"]
    start_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    end_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    threshold_db: float | None = Field(default=-60.0, ge=-144, le=0, allow_inf_nan=False)
    pad_s: float = Field(default=0.01, ge=0, le=60, allow_inf_nan=False)
    lead: bool = True
    trail: bool = True

    @model_validator(mode="after")
    def _in_order(self) -> "TrimStage":
        if self.end_s is not None and self.end_s <= self.start_s:
            raise ValueError(f"ends at {self.end_s:g} s, before it starts at {self.start_s:g} s")
        return self


class NormaliseStage(Section):
    """One gain for the whole file. To a loudness, as long as its peak allows; without one, to the peak.

    Attributes:
        lufs: integrated loudness (ITU-R BS.1770-4); "off" goes by the peak alone.
        peak_db: the true peak (dBTP) that is not passed; "off" lets it.
    """

    type: Literal["normalise"]
    lufs: float | Literal["off"] = Field(default=-14.0, json_schema_extra={"minimum": -70, "maximum": 0})
    peak_db: float | Literal["off"] = Field(default=-1.0, json_schema_extra={"minimum": -100, "maximum": 0})

    @model_validator(mode="after")
    def _one_at_least(self) -> "NormaliseStage":
        if self.lufs == "off" and self.peak_db == "off":
            raise ValueError("lufs and peak_db are both off: give one of them")
        for name, value, low in (("lufs", self.lufs, -70), ("peak_db", self.peak_db, -100)):
            if value != "off" and not low <= value <= 0:
                raise ValueError(f"{name} is {value:g}, expected {low} to 0")
        return self


class Level:
    """A gain, for stems that go on as files."""

    def __init__(self, gain: float) -> None:
        self._gain = np.float32(gain)

    def prepare(self, rate: int, channels: int) -> tuple[int, int]:
        return rate, channels

    def process(self, block: Block) -> Block:
        return block if self._gain == 1 else block * self._gain

    def flush(self) -> Iterator[Block]:
        yield from ()


class Resample:
    """The stage."""

    def __init__(self, settings: ResampleStage) -> None:
        self._out = settings.rate

    def prepare(self, rate: int, channels: int) -> tuple[int, int]:
        self._resampler = Resampler(rate, self._out, channels) if rate != self._out else None
        return self._out, channels

    def process(self, block: Block) -> Block:
        return self._resampler.process(block) if self._resampler else block

    def flush(self) -> Iterator[Block]:
        if self._resampler:
            yield self._resampler.flush()


class Channels:
    """The stage."""

    def __init__(self, settings: ChannelsStage) -> None:
        self._count = settings.count

    def prepare(self, rate: int, channels: int) -> tuple[int, int]:
        return rate, self._count

    def process(self, block: Block) -> Block:
        if block.shape[0] == self._count:
            return block
        if self._count == 1:
            mean: Block = block.mean(axis=0, keepdims=True)
            return mean
        return np.repeat(block, 2, axis=0)

    def flush(self) -> Iterator[Block]:
        yield from ()


class Fade:
    """The stage. The fade-out is held back until the end is known; audio shorter than both fades shares them out."""

    def __init__(self, settings: FadeStage) -> None:
        self._settings = settings

    def prepare(self, rate: int, channels: int) -> tuple[int, int]:
        self._in, self._out = (round(seconds * rate) for seconds in (self._settings.in_s, self._settings.out_s))
        self._held: list[Block] = []
        self._holds = 0
        self._given = 0
        self._channels = channels
        return rate, channels

    def process(self, block: Block) -> Block:
        """Holds back both fades' lengths, so that in `flush` short audio is all there."""
        self._held.append(block)
        self._holds += block.shape[1]
        ready = self._holds - self._out - (self._in if self._given == 0 else 0)
        if ready <= 0:
            return nothing(self._channels)
        audio = joined(self._held, self._channels)
        out, self._held = audio[:, :ready], [audio[:, ready:]]
        self._holds -= ready
        return self._faded_in(out)

    def flush(self) -> Iterator[Block]:
        audio = joined(self._held, self._channels)
        length = audio.shape[1]
        if self._given == 0:
            both = self._in + self._out
            self._in = min(self._in, length * self._in // max(1, both)) if both > length else self._in
        fade = min(self._out, length - (self._in if self._given == 0 else 0))
        audio = self._faded_in(audio)
        if fade:
            audio = audio.copy()
            audio[:, length - fade :] *= self._curve(fade)[::-1]
        yield audio

    def _faded_in(self, audio: Block) -> Block:
        at = self._given
        self._given += audio.shape[1]
        left = min(self._in - at, audio.shape[1])
        if left <= 0:
            return audio
        audio = audio.copy()
        audio[:, :left] *= self._curve(self._in)[at : at + left]
        return audio

    def _curve(self, frames: int) -> Block:
        steps = (np.arange(frames) + 0.5) / max(1, frames)
        curve: Block = (np.sin(np.pi / 2 * steps) if self._settings.shape == "power" else steps).astype(np.float32)
        return curve


class Trim:
    """The stage: hears all of it, then gives the part that stays."""

    def __init__(self, settings: TrimStage, scratch: Scratch) -> None:
        self._settings, self._scratch = settings, scratch

    def prepare(self, rate: int, channels: int) -> tuple[int, int]:
        settings = self._settings
        self._rate = rate
        self._start = round(settings.start_s * rate)
        self._end = math.inf if settings.end_s is None else round(settings.end_s * rate)
        self._limit = 0.0 if settings.threshold_db is None else 10 ** (settings.threshold_db / 20)
        self._first: int | None = None
        self._last = 0
        self._heard = 0
        self._spool = Spool(self._scratch, channels)
        self._channels = channels
        return rate, channels

    def process(self, block: Block) -> Block:
        skip = max(0, self._start - self._heard)
        stop = block.shape[1] if self._end == math.inf else max(0, int(self._end) - self._heard)
        self._heard += block.shape[1]
        block = block[:, skip:stop]
        if self._limit and block.shape[1]:
            loud = np.flatnonzero(np.abs(block).max(axis=0) >= self._limit)
            if len(loud):
                at = self._spool.frames
                self._first = at + int(loud[0]) if self._first is None else self._first
                self._last = at + int(loud[-1]) + 1
        self._spool.write(block)
        return nothing(self._channels)

    def flush(self) -> Iterator[Block]:
        settings, spool = self._settings, self._spool
        if not spool.frames:
            raise AudioError(f"trim: nothing lies between {settings.start_s:g} s and the end of the audio")
        start, end = 0, spool.frames
        if self._limit:
            if self._first is None:
                raise AudioError(f"trim: nothing reaches {settings.threshold_db:g} dB, so nothing would be left")
            pad = round(settings.pad_s * self._rate)
            start = max(0, self._first - pad) if settings.lead else 0
            end = min(spool.frames, self._last + pad) if settings.trail else spool.frames
        yield from spool.blocks(start, end)
        spool.close()


class Normalise:
    """The stage: hears all of it, then gives it at its new level. What is silent stays as it is."""

    def __init__(self, settings: NormaliseStage, scratch: Scratch) -> None:
        self._settings, self._scratch = settings, scratch

    def prepare(self, rate: int, channels: int) -> tuple[int, int]:
        self._loudness = LoudnessMeter(rate, channels) if self._settings.lufs != "off" else None
        self._peak = PeakMeter(rate, channels) if self._settings.peak_db != "off" else None
        self._spool = Spool(self._scratch, channels)
        self._channels = channels
        return rate, channels

    def process(self, block: Block) -> Block:
        for meter in (self._loudness, self._peak):
            if meter:
                meter.add(block)
        self._spool.write(block)
        return nothing(self._channels)

    def flush(self) -> Iterator[Block]:
        for meter in (self._loudness, self._peak):
            if meter:
                meter.finish()
        gain = np.float32(10 ** (self._gain_db() / 20))
        for block in self._spool.blocks():
            yield block * gain
        self._spool.close()

    def _gain_db(self) -> float:
        gains = []
        if self._loudness and self._settings.lufs != "off" and math.isfinite(self._loudness.lufs):
            gains.append(self._settings.lufs - self._loudness.lufs)
        if self._peak and self._settings.peak_db != "off" and self._peak.peak > 0:
            room = self._settings.peak_db - 20 * math.log10(self._peak.peak)
            # Too short or too soft to have a loudness: by the peak alone it would be blown up, so only down.
            gains.append(room if gains or self._settings.lufs == "off" else min(0.0, room))
        return min(gains, default=0.0)
