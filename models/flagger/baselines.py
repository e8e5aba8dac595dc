"""What the flagger is measured against: the idea that it began with, and its two relatives, as they were published.

All hear mel segments of 64 frames. ``edited`` is good audio, ``raw`` the same with all that an edit would cut.

==============  ====================================================================================================
autoencoder     convolutions 32, 64, 128, latent 64, learns edited audio; what it rebuilds badly (MSE) is odd
dual            one encoder, a decoder for edited and one for raw audio; odd is what does not come back from the cycle
                raw ─► latent ─► edited ─► latent ─► raw
classifier      tells edited from raw segments, though most raw ones are good: what is surely raw is odd
==============  ====================================================================================================

The known failure of the first two: their error follows complexity, so that hiss, which blurs, counts as *more* normal
than a dense bar of music. Of the third: with few raw takes it learns the recordings, not the faults.

Each is exported like the flagger itself (kind ``segments``) and can stand in for it anywhere. The published threshold
is a percentile of the error on edited audio; here likelihood is even (0.5) at the 95th.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .network import LEVEL

Kind = Literal["autoencoder", "dual", "classifier"]
KINDS: tuple[Kind, ...] = ("autoencoder", "dual", "classifier")
CLASSES = ("clean", "odd")
LATENT = 64
PERCENTILE = 0.95
STEEPNESS = 4.0
"""Log odds for a factor of e in the error."""


class Encoder(nn.Module):
    """``(N, 1, 64, 64)`` to ``(N, 64)``."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(), nn.Conv2d(64, 128, 3, 2, 1),
            nn.ReLU(), nn.Flatten(), nn.Linear(128 * 8 * 8, LATENT),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        latent: Tensor = self.layers(x)
        return latent


class Decoder(nn.Module):
    """``(N, 64)`` to ``(N, 1, 64, 64)``."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Linear(LATENT, 128 * 8 * 8)
        self.layers = nn.Sequential(
            nn.ReLU(), nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(32, 1, 4, 2, 1),
        )  # fmt: skip

    def forward(self, latent: Tensor) -> Tensor:
        x: Tensor = self.layers(self.start(latent).view(-1, 128, 8, 8))
        return x


def error(x: Tensor, y: Tensor) -> Tensor:
    """The mean square of each segment's difference, ``(N,)``."""
    return (x - y).square().mean(dim=(1, 2, 3))


class Baseline(nn.Module):
    """A baseline of any kind. ``limit`` is the log of the score at the percentile, set after training."""

    limit: Tensor

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind = kind
        self.encoder = Encoder()
        self.edited = Decoder() if kind != "classifier" else None
        self.raw = Decoder() if kind == "dual" else None
        self.head = nn.Linear(LATENT, 1) if kind == "classifier" else None
        self.register_buffer("limit", torch.zeros(()))

    def loss(self, edited: Tensor, raw: Tensor) -> Tensor:
        """Of segments ``(N, frames, bands)`` of either sort."""
        x, y = edited[:, None] * LEVEL, raw[:, None] * LEVEL
        if self.head is not None:
            logits = self.head(F.relu(self.encoder(torch.cat([x, y]))))[:, 0]
            truth = torch.cat([torch.zeros(len(x)), torch.ones(len(y))])
            return F.binary_cross_entropy_with_logits(logits, truth)
        assert self.edited is not None
        total = error(x, self.edited(self.encoder(x))).mean()
        if self.raw is not None:
            total = total + error(y, self.raw(self.encoder(y))).mean() + error(y, self.cycle(y)).mean()
        return total

    def cycle(self, x: Tensor) -> Tensor:
        assert self.edited is not None
        assert self.raw is not None
        back: Tensor = self.raw(self.encoder(self.edited(self.encoder(x))))
        return back

    def score(self, segments: Tensor) -> Tensor:
        """Log of the error, or log odds of being raw: ``(N,)``, higher is odder."""
        x = segments[:, None] * LEVEL
        if self.head is not None:
            odds: Tensor = self.head(F.relu(self.encoder(x)))[:, 0]
            return odds
        assert self.edited is not None
        y = self.cycle(x) if self.raw is not None else self.edited(self.encoder(x))
        return torch.log(error(x, y) + 1e-9)

    def forward(self, segments: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Latents ``(N, 64)`` and logits ``(N, 2)``, as `FlagNetwork` gives them; the context says nothing here."""
        nothing = 0 * context.mean(dim=(1, 2))
        odd = (self.score(segments) - self.limit) * (1 if self.head is not None else STEEPNESS) + nothing
        latent = self.encoder(segments[:, None] * LEVEL)
        return latent, torch.stack([torch.zeros_like(odd), odd], dim=1)
