"""From torch modules to the bytes of an ONNX file: the one place that calls the exporter and puts graphs together."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import compose, helper
from torch import nn

from .recurrence import onnx_grus

OPSET = 20


def write_graph(
    module: nn.Module,
    example: tuple[torch.Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    target: Path,
    free: dict[str, Any] | None = None,
) -> None:
    """Write the graph of ``module`` as it runs ``example``, without a card.

    Args:
        free: for inputs of any length, the axes that are free: ``{input: {axis: name}}``. One frame is the least.
    """
    shapes = {
        name: {axis: torch.export.Dim(length, min=1) for axis, length in (free or {}).get(name, {}).items()}
        for name in inputs
    }
    with warnings.catch_warnings(), onnx_grus(module):
        warnings.simplefilter("ignore")  # the exporter's own deprecations, nothing that a user could act on
        program = torch.onnx.export(
            module.eval(),
            example,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=shapes if free else None,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    del model.graph.value_info[:]
    for node in model.graph.node:
        del node.metadata_props[:]  # the exporter's stack traces, which name the machine's own paths
        node.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    target.write_bytes(model.SerializeToString())


def take_turns(first: Path, second: Path, turn: str, next_turn: str, target: Path) -> None:
    """Write a graph that runs one of two with the same inputs and outputs, and the other the next time.

    Args:
        turn, next_turn: names of its state: one float, 0 where the first runs, then 1.
    """
    models = [onnx.load(file) for file in (first, second)]
    graph = models[0].graph
    branches = [compose.add_prefix_graph(model.graph, f"{i}.", rename_inputs=False) for i, model in enumerate(models)]
    for branch in branches:
        del branch.input[:]
    one = helper.make_tensor("one", onnx.TensorProto.FLOAT, (1,), [1.0])
    nodes = [
        helper.make_node("Cast", [turn], ["second"], to=onnx.TensorProto.BOOL),
        helper.make_node(
            "If", ["second"], [o.name for o in graph.output], else_branch=branches[0], then_branch=branches[1]
        ),
        helper.make_node("Sub", ["one", turn], [next_turn]),
    ]
    state = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (1,)) for name in (turn, next_turn)]
    inputs, outputs = [*graph.input, state[0]], [*graph.output, state[1]]
    model = helper.make_model(
        helper.make_graph(nodes, "turns", inputs, outputs, [one]),
        opset_imports=models[0].opset_import,
        ir_version=models[0].ir_version,
    )
    onnx.checker.check_model(model, full_check=True)
    target.write_bytes(model.SerializeToString())
