"""Dynamic int8: weights as signed bytes per output channel, activations quantised on the way; or in the file alone."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic


def quantise(source: Path, target: Path, weights: Collection[str] | None = None) -> None:
    """Write ``target``, a copy of the fp32 model whose MatMuls are int8, or those by some weights alone.

    The shapes that the exporter noted are dropped first: the quantiser stumbles over those it changes. Weights have
    seven bits: sums of two products with eight overflow on processors without VNNI.
    """
    model = onnx.load(source)
    del model.graph.value_info[:]
    products = [node for node in model.graph.node if node.op_type == "MatMul"]
    quantize_dynamic(
        model,
        target,
        op_types_to_quantize=["MatMul"],
        nodes_to_quantize=None if weights is None else [node.name for node in products if node.input[1] in weights],
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )


def store_int8(source: Path, target: Path, least: int = 1 << 14) -> None:
    """Write ``target``, a copy whose large tables and weights are kept as int8 and computed with in fp32.

    Each row of a table and each column of a weight has a scale of its own. onnxruntime unfolds the weights once, when
    it opens the file; a table is unfolded where it is read. This is for size: a quarter of the bytes at little loss.
    `quantise`, which computes in int8 too, is for speed.
    """
    model = onnx.load(source)
    graph = model.graph
    stored = {i.name: i for i in graph.initializer if len(i.dims) == 2 and i.dims[0] * i.dims[1] >= least}
    nodes: list[onnx.NodeProto] = []
    done: dict[str, str] = {}

    def keep(name: str, axis: int) -> None:
        values = numpy_helper.to_array(stored[name])
        scale = np.maximum(np.abs(values).max(axis, keepdims=True) / 127, 1e-12).astype(np.float32)
        graph.initializer.remove(stored.pop(name))
        graph.initializer.append(numpy_helper.from_array(np.rint(values / scale).astype(np.int8), f"{name}.int8"))
        graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))

    for node in graph.node:
        if node.op_type == "Gather" and node.input[0] in stored:
            name, out = node.input[0], node.output[0]
            keep(name, 1)
            nodes += [
                helper.make_node("Gather", [f"{name}.int8", node.input[1]], [f"{out}.int8"]),
                helper.make_node("Gather", [f"{name}.scale", node.input[1]], [f"{out}.scale"]),
                helper.make_node("Cast", [f"{out}.int8"], [f"{out}.float"], to=onnx.TensorProto.FLOAT),
                helper.make_node("Mul", [f"{out}.float", f"{out}.scale"], [out]),
            ]
            continue
        for i, name in enumerate(node.input):
            if node.op_type in ("MatMul", "Gemm") and i == 1 and name in stored:
                turned = any(a.name == "transB" and a.i for a in node.attribute)
                keep(name, 1 if turned else 0)
                done[name] = f"{name}.unfolded"
                nodes += [
                    helper.make_node("Cast", [f"{name}.int8"], [f"{name}.float"], to=onnx.TensorProto.FLOAT),
                    helper.make_node("Mul", [f"{name}.float", f"{name}.scale"], [done[name]]),
                ]
            if name in done:
                node.input[i] = done[name]
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    target.write_bytes(model.SerializeToString())
