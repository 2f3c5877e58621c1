"""A draft or a target that a Triton server holds, over gRPC.

The tensors are those of TensorRT-LLM's `tensorrt_llm` model, so one adapter talks to that model and to this project's
own, which has a part of them. Which of the two is there is read from the model's configuration.
"""

from a1_trt.backends.triton.engine import TritonEngine

__all__ = ["TritonEngine"]
