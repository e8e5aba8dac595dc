"""A GRU layer whose gradient is by hand: on a CPU torch's own spends most of a training step accumulating the
gradient of the recurrent weights hop by hop, which here is one product at the end.

::

    r, z = sigmoid(i_rz + h_rz)     h_* = W h[t-1] + b, i_* = the layer's input already multiplied by its weights
    n    = tanh(i_n + r * h_n)
    h[t] = n + z * (h[t-1] - n)

The parameters are those of `torch.nn.GRU`, which runs instead on an accelerator, and both ways.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def run_gru(gru: nn.GRU, inputs: Tensor) -> Tensor:
    """``(batch, frames, width)`` to the last layer's outputs of the same shape, from zero state."""
    if inputs.device.type != "cpu" or gru.bidirectional:
        outputs: Tensor = gru(inputs)[0]
        return outputs
    hidden, named = inputs.transpose(0, 1), dict(gru.named_parameters())
    for i in range(gru.num_layers):
        inward = F.linear(hidden, named[f"weight_ih_l{i}"], named[f"bias_ih_l{i}"])
        hidden = _Layer.apply(inward, named[f"weight_hh_l{i}"], named[f"bias_hh_l{i}"])  # type: ignore[no-untyped-call]
    return hidden.transpose(0, 1)


class _Layer(torch.autograd.Function):
    """Time goes first in every array, so that a hop is contiguous."""

    @staticmethod
    def forward(ctx: Any, inward: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        frames, batch, width = inward.shape[0], inward.shape[1], weight.shape[1]
        across = weight.to(inward.dtype).t().contiguous()
        offset = bias.to(inward.dtype)
        gates = inward.new_empty(frames, batch, 2 * width)  # reset, update
        new, around = inward.new_empty(2, frames, batch, width)
        hidden = inward.new_zeros(frames + 1, batch, width)
        for t in range(frames):
            back = torch.addmm(offset, hidden[t], across)
            gate = torch.add(inward[t, :, : 2 * width], back[:, : 2 * width], out=gates[t]).sigmoid_()
            around[t] = back[:, 2 * width :]
            torch.addcmul(inward[t, :, 2 * width :], gate[:, :width], around[t], out=new[t]).tanh_()
            torch.lerp(new[t], hidden[t], gate[:, width:], out=hidden[t + 1])
        ctx.save_for_backward(gates, new, around, hidden, weight)
        return hidden[1:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gates, new, around, hidden, weight = ctx.saved_tensors
        width, across = weight.shape[1], weight.to(gates.dtype)
        reset, update = gates.split(width, dim=-1)
        into_new = (1 - update) * (1 - new.square())
        into_update = (hidden[:-1] - new) * update * (1 - update)
        into_reset = around * reset * (1 - reset)
        inward = gates.new_empty(*gates.shape[:2], 3 * width)
        back = gates.new_empty(gates.shape[1], 3 * width)
        flow = torch.zeros_like(hidden[0])
        for t in reversed(range(len(gates))):
            flow = flow + gradients[0][t]
            d_new = torch.mul(flow, into_new[t], out=inward[t, :, 2 * width :])
            torch.mul(flow, into_update[t], out=inward[t, :, width : 2 * width])
            torch.mul(d_new, into_reset[t], out=inward[t, :, :width])
            back[:, : 2 * width] = inward[t, :, : 2 * width]
            torch.mul(d_new, reset[t], out=back[:, 2 * width :])
            flow = torch.addmm(flow * update[t], back, across)
        backs = torch.cat([inward[..., : 2 * width], inward[..., 2 * width :] * reset], dim=-1).flatten(0, 1)
        d_weight = backs.t() @ hidden[:-1].flatten(0, 1)
        return inward, d_weight.to(weight.dtype), backs.sum(0, dtype=weight.dtype)
