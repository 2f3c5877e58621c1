"""Draft or target inside this process, on a GPU: TensorRT-LLM's LLM API (PyTorch backend)."""

from a1_trt.backends.tensorrt_llm.canary import CanaryReport
from a1_trt.backends.tensorrt_llm.engine import TensorRtLlmEngine
from a1_trt.backends.tensorrt_llm.runtime import ModelShape
from a1_trt.backends.tensorrt_llm.tokenizer import TransformersTokenizer

__all__ = ["CanaryReport", "ModelShape", "TensorRtLlmEngine", "TransformersTokenizer"]
