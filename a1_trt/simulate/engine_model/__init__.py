"""A model of an engine in virtual time: in-flight batching, chunked prefill, prefix reuse in the KV cache."""

from a1_trt.simulate.engine_model.costs import EngineCosts, EngineLimits
from a1_trt.simulate.engine_model.sequences import EngineCounters
from a1_trt.simulate.engine_model.shared_device import Processor

__all__ = ["EngineCosts", "EngineCounters", "EngineLimits", "Processor"]
