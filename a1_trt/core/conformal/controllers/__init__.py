"""Controllers: rules that turn a score into a decision and keep the rejection rate.

::

    candidate.py   Candidate, Decision and the Controller interface
    pools.py       past scores by category
    pooled.py      growing, mondrian, static, window
    weighted.py    exponential, per-problem
    adaptive.py    aci, two-level
    baselines.py   published, random, counter
    limits.py      debt and budget, around any of them
    lru.py         a dict bounded by eviction of what was used least recently
    registry.py    all of them by name
"""

from a1_trt.core.conformal.controllers.candidate import Candidate, Controller, Decision
from a1_trt.core.conformal.controllers.registry import CONTROLLERS, ControllerSettings, make_controller

__all__ = ["CONTROLLERS", "Candidate", "Controller", "ControllerSettings", "Decision", "make_controller"]
