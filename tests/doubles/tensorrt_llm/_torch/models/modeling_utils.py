from tensorrt_llm._model import MODEL_CLASS_MAPPING, ModelConfig, register_auto_model

__all__ = ["MODEL_CLASS_MAPPING", "ModelConfig", "register_auto_model"]
