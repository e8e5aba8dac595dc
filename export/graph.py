"""From a torch module to the bytes of an ONNX file: the one place that calls the exporter."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

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
    with warnings.catch_warnings():
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
