"""GRUs as the one node of ONNX that they are: the exporter traces torch's step by step, half a minute for a clip."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

ORDER = [1, 0, 2]
"""Gates of ONNX, update, reset and new, among torch's."""


class OnnxGru(nn.Module):
    """A `torch.nn.GRU` of one layer, both ways, batch first, from zero state, in an export: ``(batch, steps, width)``
    to outputs.

    Source: https://onnx.ai/onnx/operators/onnx__GRU.html, with ``linear_before_reset``, which is torch's.
    """

    inward: Tensor
    back: Tensor
    bias: Tensor

    def __init__(self, gru: nn.GRU) -> None:
        super().__init__()
        assert (gru.num_layers, gru.batch_first, gru.bidirectional) == (1, True, True)
        self.hidden, self.bidirectional = gru.hidden_size, True  # which `run_gru` asks
        named = dict(gru.named_parameters())

        def both(name: str) -> Tensor:
            gates = [named[f"{name}_{way}"].detach().unflatten(0, (3, -1)) for way in ("l0", "l0_reverse")]
            return torch.stack([gate[ORDER].flatten(0, 1) for gate in gates])

        self.register_buffer("inward", both("weight_ih"))
        self.register_buffer("back", both("weight_hh"))
        self.register_buffer("bias", torch.cat([both("bias_ih"), both("bias_hh")], dim=1))

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        in_rows: Tensor = self.steps(x.transpose(0, 1)).permute(2, 0, 1, 3).flatten(2)
        return in_rows, None

    def steps(self, x: Tensor) -> Tensor:
        """``(steps, batch, width)`` to ``(steps, 2, batch, hidden)``."""
        steps, batch, _ = x.shape
        outputs: Tensor = torch.onnx.ops.symbolic(
            "GRU",
            (x, self.inward, self.back, self.bias),
            {"hidden_size": self.hidden, "direction": "bidirectional", "linear_before_reset": 1},
            dtype=x.dtype,
            shape=(steps, 2, batch, self.hidden),
        )
        return outputs


@contextmanager
def onnx_grus(module: nn.Module) -> Iterator[None]:
    """For as long as this lasts, its GRUs are nodes of ONNX: it can be exported, and not run."""
    found = [
        (part, name, child)
        for part in module.modules()
        for name, child in part.named_children()
        if isinstance(child, nn.GRU)
    ]
    try:
        for part, name, child in found:
            setattr(part, name, OnnxGru(child))
        yield
    finally:
        for part, name, child in found:
            setattr(part, name, child)
