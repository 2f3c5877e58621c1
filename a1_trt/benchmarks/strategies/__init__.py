"""Ways of solving problems with a draft and a target: this one and its peers, over the same engines.

`run` solves problems by one of `STRATEGIES` and says what happened when. All strategies get the same problems, seeds,
limits of calls in flight and stopping rule; each keeps past scores of its own.
"""

from a1_trt.benchmarks.strategies.arrivals import Arrivals
from a1_trt.benchmarks.strategies.context import StrategyContext, StrategySpec
from a1_trt.benchmarks.strategies.registry import STRATEGIES, strategy_of
from a1_trt.benchmarks.strategies.running import OnProgress, Run, fresh_controller, run
from a1_trt.benchmarks.strategies.timeline import CallRecord, Decision, SampleTime, Timeline

__all__ = [
    "STRATEGIES",
    "Arrivals",
    "CallRecord",
    "Decision",
    "OnProgress",
    "Run",
    "SampleTime",
    "StrategyContext",
    "StrategySpec",
    "Timeline",
    "fresh_controller",
    "run",
    "strategy_of",
]
