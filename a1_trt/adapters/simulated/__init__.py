"""A simulated engine for virtual time: in-flight batching, chunked prefill, prefix reuse in the KV cache."""

from a1_trt.adapters.simulated.costs import EngineCosts, EngineLimits
from a1_trt.adapters.simulated.engine import Fault, SimulatedEngine
from a1_trt.adapters.simulated.processor import Processor
from a1_trt.adapters.simulated.sequences import EngineCounters
from a1_trt.adapters.simulated.text import CharacterTokenizer, RandomText, SimulatedText

__all__ = [
    "CharacterTokenizer",
    "EngineCosts",
    "EngineCounters",
    "EngineLimits",
    "Fault",
    "Processor",
    "RandomText",
    "SimulatedEngine",
    "SimulatedText",
]
