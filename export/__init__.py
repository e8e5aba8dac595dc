"""From torch to ONNX: export, quantisation, parity, cards."""
