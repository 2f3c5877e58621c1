"""A draft or a target that a Triton server holds, over gRPC.

::

    connection.py  a channel to one model, and its requests and responses
    protocol.py    which tensors a model is asked with, and how a score is read from its answer
    engine.py      generate and score

The tensors are those of TensorRT-LLM's `tensorrt_llm` model, so one adapter talks to that model and to this project's
own, which has a part of them. Which of the two is there is read from the model's configuration.
"""

from a1_trt.backends.triton.engine import TritonEngine

__all__ = ["TritonEngine"]
