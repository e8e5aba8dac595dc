"""AudioSep's ResUNet30 with FiLM: a U-Net over magnitude spectra, told by an embedding what to keep.

::

    |X| ─ bn0 ─ pre_conv ─ encoder 1 ··· encoder 6 ─ conv_block7a ─ decoder 1 ··· decoder 6 ─ after_conv ─┐
                               └──────── each encoder's output is joined to its decoder ────────┘         │
    Y = |X| sigmoid(m) · e^{j∠X} · (tanh(r) + j tanh(i)) / |tanh(r) + j tanh(i)|        m, r, i <─────────┘

A mask may lower a bin, never raise it, and may turn its phase. FiLM is an added bias a channel after each BatchNorm and
before its leaky ReLU. Each encoder halves time and frequency (the sixth frequency only, the seventh neither). The top
bin is cut off for the halving and given back as nothing.

Names and shapes of the parameters are those of the published checkpoint (``base.*``, ``film.*``), so that it can be
loaded; its frozen transforms (``base.stft.*``, ``base.istft.*``) are not part of this module: spectra come in and go
out, and whoever calls knows the transform (Hann, centred, mirrored ends, torch.stft's plain sums).

Source: Liu et al., "Separate Anything You Describe", 2023; https://github.com/Audio-AGI/AudioSep (its numbers, not its
code).
"""

from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (32, 64, 128, 256, 384, 384)
BOTTLENECK = 384
CONDITION = 512
FFT, HOP, RATE = 2048, 320, 32000
TIME_HALVINGS = 5
MOMENTUM = 0.01
SLOPE = 0.01
FLOOR = 1e-10
"""Least squared magnitude of a bin and least magnitude of a turning, as published."""

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


class Film(nn.Module):
    """One Linear a bias of the network, named by its path with ``->`` between: the checkpoint's names."""

    def __init__(self, sizes: dict[str, int], condition: int) -> None:
        super().__init__()
        self.names = tuple(sizes)
        for name, size in sizes.items():
            self.add_module(name, _started(nn.Linear(condition, size)))

    def forward(self, condition: Tensor) -> dict[str, Tensor]:
        """``(B, D)`` to a bias ``(B, channels, 1, 1)`` for every name."""
        return {name: self.get_submodule(name)(condition)[:, :, None, None] for name in self.names}


class ConvBlock(nn.Module):
    """Two 3x3 convolutions, each behind BatchNorm, FiLM and leaky ReLU, around a shortcut."""

    def __init__(self, inward: int, outward: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inward, momentum=MOMENTUM)
        self.bn2 = nn.BatchNorm2d(outward, momentum=MOMENTUM)
        self.conv1 = _started(nn.Conv2d(inward, outward, 3, padding=1, bias=False))
        self.conv2 = _started(nn.Conv2d(outward, outward, 3, padding=1, bias=False))
        self.shortcut = _started(nn.Conv2d(inward, outward, 1)) if inward != outward else None

    def forward(self, x: Tensor, film: dict[str, Tensor], name: str) -> Tensor:
        y: Tensor = self.conv1(F.leaky_relu(self.bn1(x) + film[f"{name}->beta1"], SLOPE, inplace=True))
        y = self.conv2(F.leaky_relu(self.bn2(y) + film[f"{name}->beta2"], SLOPE, inplace=True))
        beside: Tensor = x if self.shortcut is None else self.shortcut(x)
        return beside + y


class Encoder(nn.Module):
    """A `ConvBlock`, then a mean over ``halve`` (time, frequency)."""

    def __init__(self, inward: int, outward: int, halve: tuple[int, int]) -> None:
        super().__init__()
        self.conv_block1 = ConvBlock(inward, outward)
        self.halve = halve

    def forward(self, x: Tensor, film: dict[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
        """The output for the next encoder, and the one for the decoder across."""
        x = self.conv_block1(x, film, f"{name}->conv_block1")
        return (F.avg_pool2d(x, self.halve) if self.halve != (1, 1) else x), x


class Decoder(nn.Module):
    """A transposed convolution by ``double``, joined with the encoder across, then a `ConvBlock`."""

    def __init__(self, inward: int, outward: int, double: tuple[int, int]) -> None:
        super().__init__()
        self.conv1 = _started(nn.ConvTranspose2d(inward, outward, double, stride=double, bias=False))
        self.bn1 = nn.BatchNorm2d(inward, momentum=MOMENTUM)
        self.conv_block2 = ConvBlock(2 * outward, outward)
        self.bn2 = nn.BatchNorm2d(inward, momentum=MOMENTUM)
        """Used by nobody, and FiLM's beta2 for it neither; the checkpoint has both."""

    def forward(self, x: Tensor, across: Tensor, film: dict[str, Tensor], name: str) -> Tensor:
        x = self.conv1(F.leaky_relu(self.bn1(x) + film[f"{name}->beta1"], SLOPE, inplace=True))
        y: Tensor = self.conv_block2(torch.cat([x, across], dim=1), film, f"{name}->conv_block2")
        return y


class ResUNetBase(nn.Module):
    """The U-Net, ``base.*`` of the checkpoint."""

    def __init__(self, widths: Sequence[int], bottleneck: int, fft: int) -> None:
        super().__init__()
        if len(widths) != TIME_HALVINGS + 1:
            raise ValueError(f"{len(widths)} widths; a ResUNet30 has {TIME_HALVINGS + 1}")
        self.bn0 = nn.BatchNorm2d(fft // 2 + 1, momentum=MOMENTUM)
        self.pre_conv = _started(nn.Conv2d(1, widths[0], 1))
        inward = widths[0]
        self.encoders: list[str] = []
        for i, width in enumerate(widths, 1):
            self.encoders.append(f"encoder_block{i}")
            self.add_module(self.encoders[-1], Encoder(inward, width, _ratio(i)))
            inward = width
        self.conv_block7a = Encoder(inward, bottleneck, (1, 1))
        inward = bottleneck
        self.decoders: list[str] = []
        for i, width in enumerate(reversed(widths), 1):
            self.decoders.append(f"decoder_block{i}")
            self.add_module(self.decoders[-1], Decoder(inward, width, _ratio(len(widths) + 1 - i)))
            inward = width
        self.after_conv = _started(nn.Conv2d(inward, 3, 1))

    def film_sizes(self) -> dict[str, int]:
        """The width of every bias by its name, in the checkpoint's order."""
        sizes: dict[str, int] = {}
        for name, module in self.named_modules():
            if isinstance(module, ConvBlock | Decoder):
                path = name.replace(".", "->")
                sizes[f"{path}->beta1"] = module.bn1.num_features
                sizes[f"{path}->beta2"] = module.bn2.num_features
        return sizes

    def forward(self, magnitude: Tensor, film: dict[str, Tensor]) -> Tensor:
        """``(B, 1, T, F)`` to the three maps of the mask ``(B, 3, T, F)``, before sigmoid and tanh."""
        frames = magnitude.shape[2]
        x = self.bn0(magnitude.transpose(1, 3)).transpose(1, 3)
        x = F.pad(x, (0, -1, 0, -frames % 2**TIME_HALVINGS))  # (B, 1, T', F - 1)
        x = self.pre_conv(x)
        across = []
        for name in self.encoders:
            x, kept = self.get_submodule(name)(x, film, name)
            across.append(kept)
        x, _ = self.conv_block7a(x, film, "conv_block7a")
        for name in self.decoders:
            x = self.get_submodule(name)(x, across.pop(), film, name)
        maps: Tensor = F.pad(self.after_conv(x), (0, 1))[:, :, :frames]
        return maps


class ResUNet30(nn.Module):
    """The whole network, parametric; as published by default.

    Args:
        widths: channels of the six encoders.
        condition: length of the embedding that says what to keep.
        fft, hop: of the spectra (samples).
    """

    def __init__(
        self,
        widths: Sequence[int] = WIDTHS,
        bottleneck: int = BOTTLENECK,
        condition: int = CONDITION,
        fft: int = FFT,
        hop: int = HOP,
    ) -> None:
        super().__init__()
        self.widths, self.bottleneck, self.condition = tuple(widths), bottleneck, condition
        self.fft, self.hop = fft, hop
        self.base = ResUNetBase(widths, bottleneck, fft)
        self.film = Film(self.base.film_sizes(), condition)

    def forward(self, magnitude: Tensor, cosine: Tensor, sine: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Polar spectra ``(B, 1, T, F)`` and conditions ``(B, D)`` to the real and imaginary part of what is kept."""
        maps = self.base(magnitude, self.film(condition))
        level = magnitude * torch.sigmoid(maps[:, 0:1])
        turn_re, turn_im = torch.tanh(maps[:, 1:2]), torch.tanh(maps[:, 2:3])
        length = (turn_re.square() + turn_im.square()).clamp_min(FLOOR**2).sqrt()
        level = level / length
        real = level * (cosine * turn_re - sine * turn_im)
        imag = level * (sine * turn_re + cosine * turn_im)
        return real, imag


def polar(real: Tensor, imag: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Magnitude, cosine and sine of the phase, each as the spectrum."""
    magnitude = (real.square() + imag.square()).clamp_min(FLOOR).sqrt()
    return magnitude, real / magnitude, imag / magnitude


def _ratio(block: int) -> tuple[int, int]:
    """What the ``block``-th encoder divides time and frequency by, and the decoder across multiplies by."""
    return (2, 2) if block <= TIME_HALVINGS else (1, 2)


def _started(layer: Layer) -> Layer:
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
