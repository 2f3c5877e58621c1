"""The CPU engine: openvino-genai's continuous-batching pipeline, in processes of its own."""

from a1_trt.backends.openvino.engine import OpenVinoEngine
from a1_trt.backends.openvino.loading import context_length
from a1_trt.backends.openvino.tokenizer import OpenVinoTokenizer

__all__ = ["OpenVinoEngine", "OpenVinoTokenizer", "context_length"]
