"""A wider query-live out of a narrower one that has learned already."""

from torch import Tensor

from .network import LiveQuery, LiveSize


def grown(old: dict[str, Tensor], network: LiveQuery) -> dict[str, Tensor]:
    """The state of a narrower network spread over the units of ``network``, which then computes the very same.

    New units keep the weights that they have in ``network``, and nothing listens to them yet. A state of the same size
    comes back as it is.

    Source: Chen et al., "Net2Net", ICLR 2016.

    Raises:
        KeyError, RuntimeError: it is the state of something else.
    """
    size = LiveSize(old["enter.bias"].numel(), old["leave.bias"].numel())
    return {
        name: _spread(old[name], value, _parts(name, size), _parts(name, network.size))
        for name, value in network.state_dict().items()
    }


def _parts(name: str, size: LiveSize) -> list[int] | None:
    """Rows of a parameter, by what they belong to: a gate, or the gains or offsets of one place; None for one whole."""
    if name.startswith(("first.", "second.")):
        return [size.width] * 3
    if name.startswith("condition.second."):
        return [size.width] * 4 + [size.wide] * 2
    return None


def _spread(old: Tensor, new: Tensor, old_parts: list[int] | None, new_parts: list[int] | None) -> Tensor:
    if old.shape == new.shape:
        return old
    new = new.clone()
    for held, part in zip(old.split(old_parts or len(old)), new.split(new_parts or len(new)), strict=True):
        if held.dim() > 1:
            part[: len(held), held.shape[1] :] = 0
            part[: len(held), : held.shape[1]] = held
        else:
            part[: len(held)] = held
    return new
