"""The flagger's network: a segment and what was usual before it, to an embedding and to likelihoods of classes.

::

    segment (64 frames × 64 bands), less the context's mean, and by its spread ─► 3 planes
      ─► conv 16, /2 ─► conv 32, /2 ─► conv 32 + ─► conv 64, /2 ─► conv 64 + ─► conv 128, /2      (+: residual)
      ─► mean and maximum over time, each of 4 bands ─► Linear 64 ─► unit length: the embedding
      ─► cosine with each class, times a learned sharpness ─► softmax

What the classes are read off is the direction of the embedding alone, so that distances between embeddings mean
something: what sounds good lies together, and what is neither good nor any fault of training lies apart from both.

Batch norms are folded into the convolutions for export (`folded`), so that a file holds plain weights.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .corruptions import CLASSES

SEGMENT_FRAMES, STEP_FRAMES = 64, 16
SCALES = (1, 12, 59)
"""Steps heard as one: 0.64 s, a bar of 2.4 s, a phrase of 10 s."""
LEVEL = 0.25
"""Brings the features (0 to 7) near one."""
LEAST_SPREAD = 0.3


@dataclass(frozen=True)
class Size:
    """What a checkpoint must say for its network to be built again."""

    width: int = 16
    embedding: int = 64
    classes: tuple[str, ...] = CLASSES


class Layer(nn.Module):
    """Convolution, norm, ReLU; where it keeps the size, residual."""

    def __init__(self, inward: int, outward: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inward, outward, 3, stride=stride, padding=1)
        self.norm: nn.Module = nn.BatchNorm2d(outward)
        self.residual = inward == outward and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        return F.relu(x + y if self.residual else y)


class FlagNetwork(nn.Module):
    """Segments to embeddings and logits."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        w = size.width
        shape = [(3, w, 2), (w, 2 * w, 2), (2 * w, 2 * w, 1), (2 * w, 4 * w, 2), (4 * w, 4 * w, 1), (4 * w, 128, 2)]
        self.layers = nn.ModuleList(Layer(*one) for one in shape)
        self.embed = nn.Linear(2 * 4 * 128, size.embedding)
        self.heads = nn.Linear(size.embedding, len(size.classes))
        self.sharpness = nn.Parameter(torch.tensor(8.0))

    def planes(self, segments: Tensor, context: Tensor) -> Tensor:
        """``(N, frames, bands)`` and ``(N, 2, bands)`` to ``(N, 3, frames, bands)``."""
        mean, spread = context[:, :1], context[:, 1:]
        apart = segments - mean
        return torch.stack([segments * LEVEL, apart * (2 * LEVEL), apart * LEVEL / (spread + LEAST_SPREAD)], dim=1)

    def forward(self, segments: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings ``(N, D)`` of unit length and logits ``(N, classes)``."""
        x = self.planes(segments, context)
        for layer in self.layers:
            x = layer(x)
        x = torch.cat([x.mean(dim=2), x.amax(dim=2)], dim=1).flatten(1)  # (N, 2 × 128 × 4)
        embedding = F.normalize(self.embed(x), dim=1)
        weight = F.normalize(self.heads.weight, dim=1)
        return embedding, self.sharpness * F.linear(embedding, weight) + self.heads.bias


def folded(network: FlagNetwork) -> FlagNetwork:
    """The same network without norms, for export."""
    plain = FlagNetwork(network.size)
    weights = {k: v for k, v in network.state_dict().items() if ".norm." not in k}
    for i, layer in enumerate(network.layers):
        assert isinstance(layer, Layer)
        norm = layer.norm
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            assert layer.conv.bias is not None
            gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            weights[f"layers.{i}.conv.weight"] = layer.conv.weight * gain[:, None, None, None]
            weights[f"layers.{i}.conv.bias"] = (layer.conv.bias - norm.running_mean) * gain + norm.bias
    for layer in plain.layers:
        assert isinstance(layer, Layer)
        layer.norm = nn.Identity()
    plain.load_state_dict({k: v.detach() for k, v in weights.items()})
    return plain.eval()
