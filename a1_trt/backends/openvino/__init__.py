"""The CPU engine: openvino-genai's continuous-batching pipeline.

::

    tokenizer.py   the model's tokenizer
    gguf.py        what a .gguf file says about itself
    loading.py     model directory or .gguf file -> pipeline, or a ConfigError
    pipeline.py    what is asked of a pipeline, as values
    batcher.py     the pipeline's step loop in its own thread, requests from asyncio
    process.py     a pipeline in a process of its own; worker.py is that process
    engine.py      generate and score
"""

from a1_trt.backends.openvino.engine import OpenVinoEngine
from a1_trt.backends.openvino.loading import context_length
from a1_trt.backends.openvino.tokenizer import OpenVinoTokenizer

__all__ = ["OpenVinoEngine", "OpenVinoTokenizer", "context_length"]
