"""The chopper's loss: onsets to the frame, everything else to within a few frames.

Where a curve need not peak on the very frame, its greatest value round a target counts as the answer there, and the
frames just beyond, which share that value, are not asked::

    target     . . . . . . . . 1 . . . . . . . .
    asked      0 0 - - - - - - 1 - - - - - - 0 0       tolerance 3: answer = greatest value of ±3 frames

Source: Foscarin, Schlüter, Widmer, Beat This!, ISMIR 2024.
"""

from torch import Tensor
from torch.nn import functional as F

TOLERANCE = 3
"""Frames, for all but onsets and chops: what is annotated there is a score, and players stray from it."""

POSITIVE = {"onset": 2.0, "beat": 5.0, "downbeat": 12.0, "phrase": 40.0, "chop": 10.0}
"""What a frame where something begins weighs beside one where nothing does."""


def curve_loss(logits: Tensor, targets: Tensor, known: Tensor, curves: tuple[str, ...]) -> Tensor:
    """The sum over curves of weighted binary cross-entropy.

    Args:
        logits, targets: ``(batch, frames, curves)``.
        known: ``(batch, curves)``, 1 where an example knows a curve's targets.
    """
    total = logits.new_zeros(())
    for i, curve in enumerate(curves):
        exact = curve in ("onset", "chop")
        losses = (_plain if exact else _tolerant)(logits[..., i], targets[..., i], POSITIVE[curve])
        total = total + (losses * known[:, i]).sum() / known[:, i].sum().clamp_min(1)
    return total


def _plain(logits: Tensor, targets: Tensor, positive: float) -> Tensor:
    """``(batch, frames)`` to the loss of each example."""
    return F.binary_cross_entropy_with_logits(
        logits, targets, pos_weight=logits.new_tensor(positive), reduction="none"
    ).mean(1)


def _tolerant(logits: Tensor, targets: Tensor, positive: float) -> Tensor:
    answers = _greatest(logits, TOLERANCE)
    asked = targets + 1 - _greatest(targets, 2 * TOLERANCE)
    losses = F.binary_cross_entropy_with_logits(
        answers, targets, weight=asked, pos_weight=logits.new_tensor(positive), reduction="none"
    )
    return losses.mean(1)


def _greatest(x: Tensor, reach: int) -> Tensor:
    """Of every frame and ``reach`` frames to either side."""
    return F.max_pool1d(x[:, None], 2 * reach + 1, stride=1, padding=reach)[:, 0]
