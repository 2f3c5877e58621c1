"""What GPUs can do and how large models are: data with its sources, for plans and simulations.

::

    gpus.toml    gpus.py     memory, bandwidth, peak arithmetic; GpuSpec: how many of which
    models.toml  models.py   layers, heads, vocabulary
"""

from a1_trt.build.hardware.gpus import Gpu, GpuSpec, known_gpus
from a1_trt.build.hardware.models import ModelDimensions, known_models, model_dimensions

__all__ = ["Gpu", "GpuSpec", "ModelDimensions", "known_gpus", "known_models", "model_dimensions"]
