"""The realtime engine: rings, hops, STFT, ONNX session, mix. numpy and onnxruntime, nothing else."""
