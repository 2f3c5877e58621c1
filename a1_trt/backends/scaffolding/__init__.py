"""A1 as a Controller of TensorRT-LLM's own framework for inference-time compute, `tensorrt_llm.scaffolding`.

::

    tasks.py        a call as a Task
    bridge.py       one scheduler for all requests; hands its calls to the samples that they are for
    controllers.py  A1Controller, and A1CandidateController for one sample
    workers.py      carry the tasks out
    output.py       the answer as the framework's results look

Nothing is decided here: every decision is the core's (`a1_trt.core.scheduler`), the same as in a `Session`. Needs
tensorrt_llm, which is imported with this package. Has not been run on a GPU.
"""

from a1_trt.backends.scaffolding.controllers import A1CandidateController, A1Controller
from a1_trt.backends.scaffolding.output import A1Output
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
