"""Draft or target inside this process, on a GPU: TensorRT-LLM's LLM API (PyTorch backend).

::

    runtime.py         the package tensorrt_llm: version, settings -> LLM, what a checkpoint says about itself
    tokenizer.py       a checkpoint's tokenizer, by transformers
    scorers/           ways to get the log-probs of prompt tokens, and the guards around them
    model.py           Qwen2 and Llama whose forward returns them
    token_logprobs.py  the tensor function in that forward
    room.py            GPU memory that requests hold, bounded
    requests.py        one request: parameters, submission, its end
    failures.py        what the library raises, as typed errors
    engine.py          generate and score
    canary.py          scores compared before anything is served
"""

from a1_trt.backends.tensorrt_llm.canary import CanaryReport
from a1_trt.backends.tensorrt_llm.engine import TensorRtLlmEngine
from a1_trt.backends.tensorrt_llm.runtime import ModelShape
from a1_trt.backends.tensorrt_llm.tokenizer import TransformersTokenizer

__all__ = ["CanaryReport", "ModelShape", "TensorRtLlmEngine", "TransformersTokenizer"]
