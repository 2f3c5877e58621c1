"""Ways of solving problems with a draft and a target: this one and its peers, over the same engines.

`run` solves problems by one of `STRATEGIES` and says what happened when. All strategies get the same problems, seeds,
limits of calls in flight and stopping rule; each keeps past scores of its own.
"""

from a1_trt.benchmarks.strategies.arrivals import Arrivals
from a1_trt.benchmarks.strategies.context import Recipe, Stage
from a1_trt.benchmarks.strategies.registry import STRATEGIES
from a1_trt.benchmarks.strategies.running import OnProgress, Run, fresh_controller, recipe_of, run
from a1_trt.benchmarks.strategies.timeline import CallRecord, Decision, RecordedEngine, SampleTime, Timeline

__all__ = [
    "STRATEGIES",
    "Arrivals",
    "CallRecord",
    "Decision",
    "OnProgress",
    "Recipe",
    "RecordedEngine",
    "Run",
    "SampleTime",
    "Stage",
    "Timeline",
    "fresh_controller",
    "recipe_of",
    "run",
]
