"""Dynamic int8: weights as signed bytes per output channel, activations quantised on the way."""

from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic


def quantise(source: Path, target: Path) -> None:
    """Write ``target``, a copy of the fp32 model whose MatMuls are int8.

    The shapes that the exporter noted are dropped first: the quantiser stumbles over those it changes.
    """
    model = onnx.load(source)
    del model.graph.value_info[:]
    quantize_dynamic(
        model,
        target,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )
