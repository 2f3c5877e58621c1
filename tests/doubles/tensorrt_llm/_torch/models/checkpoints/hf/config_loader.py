from tensorrt_llm._model import HfConfigLoader

__all__ = ["HfConfigLoader"]
