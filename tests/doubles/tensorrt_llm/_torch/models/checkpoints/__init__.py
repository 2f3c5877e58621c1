from tensorrt_llm._model import HfCheckpointLoader

__all__ = ["HfCheckpointLoader"]
