"""What GPUs can do (gpus.toml) and how large models are (models.toml), for plans and simulations."""

from a1_trt.build.hardware.gpus import Gpu, GpuSpec, known_gpus
from a1_trt.build.hardware.models import ModelDimensions, known_models, model_dimensions

__all__ = ["Gpu", "GpuSpec", "ModelDimensions", "known_gpus", "known_models", "model_dimensions"]
