"""A1 as a Controller of TensorRT-LLM's own framework for inference-time compute, `tensorrt_llm.scaffolding`.

Nothing is decided here: every decision is the core's (`a1_trt.core.scheduler`), the same as in a `Session`. Needs
tensorrt_llm, which is imported with this package. Has not been run on a GPU.
"""

from a1_trt.backends.scaffolding.controllers import A1CandidateController, A1Controller, A1Output
from a1_trt.backends.scaffolding.tasks import A1Task, DraftTask, ScoreTask, TakeoverTask, WorkerTag
from a1_trt.backends.scaffolding.workers import DraftWorker, ScoreWorker, TargetWorker, make_workers

__all__ = [
    "A1CandidateController",
    "A1Controller",
    "A1Output",
    "A1Task",
    "DraftTask",
    "DraftWorker",
    "ScoreTask",
    "ScoreWorker",
    "TakeoverTask",
    "TargetWorker",
    "WorkerTag",
    "make_workers",
]
