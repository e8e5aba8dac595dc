"""Query networks over whole clips, for files. Several queries share one pass, and a run, if the network has rows.

The network hears one channel at its own rate. A session at another is resampled clip by clip, by cutting or padding
the clip's spectrum, and what lies above the network's band is not lost: it is the difference between the clip and what
the network heard, and follows the gain that the network gave to the top of its band, smoothed over time::

    clip ─┬─ down ─ STFT ─ network(each query) ─ Y ─ up ─────────┬─ stem
          └─ less what went down, up again ─ × |Y| / |X| at top ─┘

Left and right are heard one after the other, with one condition; where they are equal, once.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .card import ModelCard
from .clip import ClipOverlap, check_shapes, transform_of
from .errors import ModelError
from .queries import Asked, Queries
from .query_network import FilmLayers, claim_no_more, leave_out
from .session import OnnxModel

Array = NDArray[np.float32]
Spectrum = NDArray[np.complex64]

ROLL_OFF = 0.06
"""The top of the network's band, over which it hears less and less: a sharp edge would ring."""
TOP = (0.6, 0.9)
"""The part of the network's band whose gain the band above follows."""
SMOOTH_S = 0.1
NOTHING = 1e-12


class QueryClip(ClipOverlap):
    """The hop processor of ``stft-clip`` query models. Raises `CardError`, `ModelError`."""

    def __init__(self, model: OnnxModel, rate: int, channels: int, queries: Queries) -> None:
        card = model.card
        check_shapes(card)
        if card.channels != 1 or card.condition is None:
            raise ModelError(f"{card.name} hears {card.channels} channels at once; a query model for clips hears one")
        segment, hop = at_rate(card, rate)
        super().__init__(len(queries), channels, segment, hop)
        self.stems, self.residual = queries.names, card.residual
        transform = transform_of(card.inputs[0], card)
        if transform is None:
            raise ModelError(f"{card.name}: its first input is no spectrum")
        self._transform = transform
        self._model, self._queries = model, queries
        self._film = FilmLayers(model)
        self._condition = model.buffer(card.condition.input)
        own = card.segment_samples or 0
        self._bands = None if segment == own else ClipBands(segment, own)
        frame_s = (card.frame_hop_samples or 1) / card.sample_rates[0]
        self._smooth = np.hanning(2 * round(SMOOTH_S / frame_s / 2) + 3)[1:-1]
        self._frames_at = np.linspace(0, 1, card.inputs[0].shape[-1])
        self._samples_at = np.linspace(0, 1, segment)
        bins = card.inputs[0].shape[-2]
        self._top = slice(int(TOP[0] * bins), int(TOP[1] * bins))
        self._asked: list[Asked] = [Asked(None, None, "", "")] * len(queries)

    def _separate(self) -> Array:
        for slot in range(len(self._queries)):
            self._asked[slot] = self._queries.read(slot) or self._asked[slot]
        heard = self._history
        if len(heard) == 2 and np.array_equal(heard[0], heard[1]):
            return np.repeat(self._stems_of(heard[0])[:, None], 2, axis=1)
        return np.stack([self._stems_of(channel) for channel in heard], axis=1)

    def _stems_of(self, clip: Array) -> Array:
        """One channel ``(segment,)`` to ``(queries, segment)``."""
        out: Array = np.zeros((len(self._queries), len(clip)), np.float32)
        used = [slot for slot, asked in enumerate(self._asked) if asked.positive is not None]
        if not used or not clip.any():
            return out
        low = clip if self._bands is None else self._bands.down(clip)
        mix = self._transform.forward(low[None])
        frame: Spectrum = mix[0] + np.complex64(1j) * mix[1]
        kept = self._kept(mix, frame, [self._asked[slot] for slot in used])
        if len(used) > 1:
            claim_no_more(frame, kept)
        high = None if self._bands is None else clip - self._bands.up(low)
        for slot, spectrum in zip(used, kept, strict=True):
            stem = self._transform.inverse(np.stack([spectrum.real, spectrum.imag])[None])[0, 0]
            if self._bands is not None and high is not None:
                stem = self._bands.up(stem) + high * self._gain_above(frame, spectrum)
            strength = np.float32(self._queries.strength(slot))
            out[slot] = stem if strength == 1 else strength * stem + (1 - strength) * clip
        return out

    def _kept(self, mix: Array, frame: Spectrum, asked: list[Asked]) -> Spectrum:
        """``(2, bins, frames)``, the same as complex numbers, to what is kept of it ``(asked, bins, frames)``."""
        negatives = [(i, each.negative) for i, each in enumerate(asked) if each.negative is not None]
        heard = self._run(mix, [each.positive for each in asked] + [negative for _, negative in negatives])
        kept = heard[: len(asked)]
        for (i, _), unwanted in zip(negatives, heard[len(asked) :], strict=True):
            leave_out(frame, kept[i], unwanted)
        return kept

    def _run(self, mix: Array, embeddings: Sequence[Array | None]) -> Spectrum:
        """What is heard for each, as many in one run as the network answers; nothing for words of another model."""
        out: Spectrum = np.zeros((len(embeddings), *mix.shape[1:]), np.complex64)
        films = [
            (i, self._film(words))
            for i, words in enumerate(embeddings)
            if words is not None and len(words) == self._film.numbers
        ]
        self._model.input[0] = mix
        rows = len(self._condition)
        for start in range(0, len(films), rows):
            some = films[start : start + rows]
            for row, (_, film) in enumerate(some):
                self._condition[row] = film
            self._model.run()
            for (i, _), (real, imag) in zip(some, self._model.output.reshape(rows, 2, *mix.shape[1:]), strict=False):
                out[i] = real + np.complex64(1j) * imag
        return out

    def _gain_above(self, mix: Spectrum, kept: Spectrum) -> Array:
        """What the band above is multiplied by, ``(segment,)``, from 0 to 1."""
        powers = [np.square(np.abs(spectrum[self._top])).sum(axis=0) for spectrum in (kept, mix)]
        given, there = (np.convolve(power, self._smooth, "same") for power in powers)
        gain = np.minimum(np.sqrt(given / (there + NOTHING)), 1)
        return np.interp(self._samples_at, self._frames_at, gain).astype(np.float32)

    def reset(self) -> None:
        super().reset()
        self._model.reset()


class ClipBands:
    """A whole clip at two rates: ``segment`` samples at the session's, ``own`` at the network's, the lower one."""

    def __init__(self, segment: int, own: int) -> None:
        self._segment, self._own = segment, own
        bins = own // 2 + 1
        at = np.linspace(0, 1, bins)
        edge = np.clip((1 - at) / ROLL_OFF, 0, 1)
        self._edge = (0.5 - 0.5 * np.cos(np.pi * edge)).astype(np.float32)
        self._bins = bins

    def down(self, clip: Array) -> Array:
        spectrum = np.fft.rfft(clip)[: self._bins] * self._edge
        return (np.fft.irfft(spectrum, self._own) * (self._own / self._segment)).astype(np.float32)

    def up(self, clip: Array) -> Array:
        spectrum = np.fft.rfft(clip)
        return (np.fft.irfft(spectrum, self._segment) * (self._segment / self._own)).astype(np.float32)


def at_rate(card: ModelCard, rate: int) -> tuple[int, int]:
    """Segment and hop in samples of a session at ``rate``. Raises `ModelError` where they are no whole numbers."""
    own = card.sample_rates[0]
    lengths = [length * rate for length in (card.segment_samples or 0, card.hop_samples)]
    if rate < own or any(length % own for length in lengths):
        raise ModelError(f"{card.name} runs at {own} Hz and cannot be resampled from {rate} clip by clip")
    return lengths[0] // own, lengths[1] // own
