"""Whole-clip networks behind the hop lifecycle: the Demucs kind (``clip``) and the MDX kind (``stft-clip``).

Each run takes the last L samples (the segment) and the runs are H samples apart (the hop of the card). Where clips
overlap their outputs are cross-faded; the weights of all clips over a sample sum to one, so no seam is heard::

    clip k      ‾‾‾‾‾‾‾‾‾‾‾‾\\
    clip k+1               /‾‾‾‾‾‾‾‾‾‾‾‾\\              L = segment, H = hop, faded over L - H
                |<--- H --->|<--- H --->|
                            ^ all before this is final once clip k+1 is in

The first H samples of a clip are final when it has run, so a sample leaves L - H after its hop was gathered: the
delay of the stream, gathering included, is L. A clip before the start of the stream is silence, as is one after it.

A tensor of the network is either samples ``(1, [stems,] channels, L)`` or, for MDX and the hybrid Demucs, a spectrum
``(1, [stems,] 2 * channels, bins, frames)``: real and imaginary part of each channel in turn, and the upper bins may be
cut off. Frames are Hann-windowed, centred on the clip, with its ends mirrored (torch.stft of the original models);
where a network gives both samples and a spectrum, the stems are their sum.

Sources: Rouard et al., "Hybrid transformers for music source separation", ICASSP 2023; Kim et al., "KUIELab-MDX-Net",
2021.
"""

import numpy as np
from numpy.typing import NDArray

from .card import ModelCard, Tensor
from .errors import CardError
from .session import OnnxModel

Array = NDArray[np.float32]


class ClipOverlap:
    """Hops in, hops out, whole clips between: what `_separate` makes of each is cross-faded with its neighbours."""

    max_hops = 1

    def __init__(self, stems: int, channels: int, segment: int, hop: int) -> None:
        self.hop_samples, self.delay_samples = hop, segment - hop
        self._weights = crossfade(segment, hop)
        self._history: Array = np.zeros((channels, segment), np.float32)
        self._sum: Array = np.zeros((stems, channels, segment), np.float32)
        self._out: Array = np.zeros((stems, channels, hop), np.float32)

    def process_hops(self, mix: Array) -> Array:
        """One hop ``(channels, H)`` to ``(stems, channels, H)``, a view that is valid until the next call."""
        hop = self.hop_samples
        self._history[:, :-hop] = self._history[:, hop:]
        self._history[:, -hop:] = mix
        self._sum += self._separate() * self._weights
        self._out[:] = self._sum[:, :, :hop]
        self._sum[:, :, :-hop] = self._sum[:, :, hop:]
        self._sum[:, :, -hop:] = 0
        return self._out

    def reset(self) -> None:
        self._history.fill(0.0)
        self._sum.fill(0.0)

    def _separate(self) -> Array:
        """The stems of the last segment, ``(stems, channels, segment)``."""
        raise NotImplementedError


class ClipSeparator(ClipOverlap):
    """The hop processor of whole-clip networks. Each hop runs a whole clip: for files, or for patient listeners.

    Raises:
        CardError: the card's numbers do not fit its tensors.
    """

    def __init__(self, model: OnnxModel, channels: int) -> None:
        card = model.card
        segment = card.segment_samples or 0
        check_shapes(card)
        super().__init__(len(card.stems), channels, segment, card.hop_samples)
        self.stems, self.residual = card.stems, card.residual
        self._model = model
        self._channels = channels
        self._stems_shape = (len(card.stems), card.channels, segment)
        self._inputs = [(model.buffer(t.name), transform_of(t, card)) for t in card.inputs if t.constant is None]
        self._outputs = [(model.buffer(t.name), transform_of(t, card)) for t in card.outputs]

    def reset(self) -> None:
        super().reset()
        self._model.reset()

    def _separate(self) -> Array:
        wanted = self._stems_shape[1]
        if self._channels == wanted:
            return self._run(self._history)
        if self._channels < wanted:  # a stereo network hears one channel on both sides
            mono: Array = self._run(np.repeat(self._history, wanted, axis=0)).mean(axis=1, keepdims=True)
            return mono
        return np.concatenate([self._run(channel[None]) for channel in self._history], axis=1)

    def _run(self, clip: Array) -> Array:
        """The network once: ``(its channels, segment)`` to ``(stems, its channels, segment)``."""
        for buffer, transform in self._inputs:
            buffer[...] = (transform.forward(clip) if transform else clip).reshape(buffer.shape)
        self._model.run()
        stems: Array = np.zeros(self._stems_shape, np.float32)
        for buffer, transform in self._outputs:
            stems += (transform.inverse(buffer) if transform else buffer).reshape(stems.shape)
        return stems


class ClipTransform:
    """The STFT of a whole clip as torch.stft gives it to an MDX or Demucs network, and its inverse."""

    def __init__(self, segment: int, fft: int, hop: int, frames: int, bins: int, scale: float) -> None:
        self._segment, self._fft, self._hop, self._frames, self._bins = segment, fft, hop, frames, bins
        span = (frames - 1) * hop
        # Frames sit symmetrically on the clip rounded up to whole hops: MDX centres the first on sample 0, Demucs on
        # half a hop.
        first = (-(-segment // hop) * hop - span) // 2
        self._left = fft // 2 - first
        self._right = span + fft - segment - self._left
        self._window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(fft) / fft)).astype(np.float32)
        self._scale = np.float32(scale)
        power = self._overlap(np.broadcast_to(self._window**2, (frames, fft)))
        self._normal = np.reciprocal(np.maximum(power, np.float32(1e-8)))

    def forward(self, clip: Array) -> Array:
        """``(channels, segment)`` to ``(2 * channels, bins, frames)``."""
        padded = np.pad(clip, ((0, 0), (self._left, self._right)), mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, self._fft, axis=1)[:, :: self._hop]
        spectrum = np.fft.rfft(frames * self._window)[:, :, : self._bins] * self._scale  # (C, T, F)
        pairs = np.stack([spectrum.real, spectrum.imag], axis=1)  # (C, 2, T, F)
        return pairs.reshape(-1, *spectrum.shape[1:]).swapaxes(1, 2).astype(np.float32, copy=False)

    def inverse(self, spectrum: Array) -> Array:
        """``(…, 2 * channels, bins, frames)`` to ``(stems, channels, segment)``."""
        channels = spectrum.shape[-3] // 2
        pairs = spectrum.reshape(-1, channels, 2, self._bins, self._frames).swapaxes(-1, -2)  # (S, C, 2, T, F)
        bins = pairs[:, :, 0] + np.complex64(1j) * pairs[:, :, 1]
        frames = np.fft.irfft(bins, self._fft).astype(np.float32, copy=False)
        frames *= self._window / self._scale
        return self._overlap(frames) * self._normal

    def _overlap(self, frames: Array) -> Array:
        """Overlap-add ``(…, frames, fft)`` and cut the mirrored ends off: ``(…, segment)``."""
        total = np.zeros((*frames.shape[:-2], self._left + self._segment + self._right), np.float32)
        for t in range(self._frames):
            total[..., t * self._hop : t * self._hop + self._fft] += frames[..., t, :]
        return total[..., self._left : self._left + self._segment]


def transform_of(tensor: Tensor, card: ModelCard) -> ClipTransform | None:
    """The transform that a clip's tensor asks for, None for plain samples. Raises `CardError`."""
    segment = card.segment_samples or 0
    if tensor.shape[-1] == segment:
        return None
    bins, frames = tensor.shape[-2:]
    fft, hop = card.analysis_samples, card.frame_hop_samples
    if fft is None or hop is None:
        field = "analysis_samples" if fft is None else "frame_hop_samples"
        raise CardError(
            field, f"missing; {tensor.name} of shape {tensor.shape} is not {segment} samples long, so it is a spectrum"
        )
    if bins > fft // 2 + 1:
        raise CardError("analysis_samples", f"is {fft}, too few for the {bins} bins of {tensor.name}")
    whole = -(-segment // hop)
    if frames not in (whole, whole + 1):
        raise CardError(
            "frame_hop_samples", f"is {hop}, which makes {whole} or {whole + 1} frames; {tensor.name} has {frames}"
        )
    return ClipTransform(segment, fft, hop, frames, bins, card.spectrum_scale)


def check_shapes(card: ModelCard) -> None:
    """Hold segment, channels and stems against every tensor. Raises `CardError`."""
    segment = card.segment_samples or 0
    if card.states:
        raise CardError("states", f"a {card.kind} model starts every clip afresh and can carry none")
    if card.latency_samples != segment:
        raise CardError(
            "latency_samples", f"is {card.latency_samples}; a clip of {segment} samples delays by {segment}"
        )
    given = card.asked_at_once or len(card.stems)
    words = {card.condition.input, *card.condition.layers} if card.condition else set()
    for field, tensors, stems in (("inputs", card.inputs, 1), ("outputs", card.outputs, given)):
        for i, tensor in enumerate(tensors):
            if tensor.name in words:
                continue
            transform = tensor.constant is None and transform_of(tensor, card)
            if tensor.constant is None:
                each = 2 * tensor.shape[-2] * tensor.shape[-1] if transform else segment
                if np.prod(tensor.shape) != stems * card.channels * each:
                    raise CardError(
                        f"{field}[{i}].shape",
                        f"is {tensor.shape}, which is not {stems} x {card.channels} channel(s) of {each} values",
                    )


def crossfade(segment: int, hop: int) -> Array:
    """Weights of one clip ``(segment,)``; those of clips ``hop`` apart sum to one at every sample."""
    overlap = segment - hop
    rise = np.arange(1, segment + 1) / (overlap + 1)
    shape = np.minimum(np.minimum(rise, rise[::-1]), 1.0)
    total = np.zeros(hop)
    for start in range(0, segment, hop):
        part = shape[start : start + hop]
        total[: len(part)] += part
    return (shape / np.resize(total, segment)).astype(np.float32)
