from tensorrt_llm._model import Qwen2ForCausalLM

__all__ = ["Qwen2ForCausalLM"]
