from tensorrt_llm._model import LlamaForCausalLM

__all__ = ["LlamaForCausalLM"]
