"""From torch modules to the bytes of an ONNX file: the one place that calls the exporter and puts graphs together."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, compose, helper
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


def take_turns(
    before: Path, turns: Sequence[Path], after: Path, outputs: Sequence[str], turn: str, target: Path
) -> None:
    """Write a graph that runs ``before``, then one of two, and then ``after``. What one gives and another takes has the
    same name in both. An output that only one of the two has is zeros where the other runs.

    Args:
        outputs: those of the whole.
        turn: a new input, of whose one dimension it is also the name: the first of the two runs if that is 1, the other
            if it is 2.
    """
    first, last, *others = (onnx.load(file) for file in (before, after, *turns))
    graphs = [model.graph for model in (first, *others, last)]
    inputs = {i.name: i for graph in graphs for i in graph.input}
    given = {o.name: o for graph in graphs for o in graph.output}
    said = list(dict.fromkeys(o.name for model in others for o in model.graph.output))
    branches = []
    for i, model in enumerate(others):
        have = {o.name for o in model.graph.output}
        for name in said:
            if name not in have:
                shape = [d.dim_value for d in given[name].type.tensor_type.shape.dim]
                model.graph.initializer.append(
                    helper.make_tensor(f"{name}.shape", TensorProto.INT64, [len(shape)], shape)
                )
                model.graph.node.append(helper.make_node("ConstantOfShape", [f"{name}.shape"], [name]))
        del model.graph.output[:]
        model.graph.output.extend(given[name] for name in said)
        branches.append(compose.add_prefix_graph(model.graph, f"{i}.", rename_inputs=False))
        del branches[-1].input[:]
    begins, ends = (
        compose.add_prefix_graph(model.graph, f"{name}.", rename_inputs=False, rename_outputs=False)
        for name, model in (("before", first), ("after", last))
    )
    nodes = [
        *begins.node,
        helper.make_node("Shape", [turn], [f"{turn}.length"]),
        helper.make_node("Sub", [f"{turn}.length", f"{turn}.first"], [f"{turn}.later"]),
        helper.make_node("Cast", [f"{turn}.later"], [f"{turn}.second"], to=TensorProto.BOOL),
        helper.make_node("If", [f"{turn}.second"], said, else_branch=branches[0], then_branch=branches[1]),
        *ends.node,
    ]
    takes = [i for name, i in inputs.items() if name not in given]
    takes.append(helper.make_tensor_value_info(turn, TensorProto.FLOAT, (turn,)))
    constants = [*begins.initializer, *ends.initializer]
    constants.append(helper.make_tensor(f"{turn}.first", TensorProto.INT64, (1,), [1]))
    graph = helper.make_graph(nodes, "turns", takes, [given[name] for name in outputs], constants)
    model = helper.make_model(graph, opset_imports=first.opset_import, ir_version=first.ir_version)
    onnx.checker.check_model(model, full_check=True)
    target.write_bytes(model.SerializeToString())
