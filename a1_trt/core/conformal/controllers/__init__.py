"""Controllers: rules that turn a score into a decision and keep the rejection rate; `registry` has all by name."""

from a1_trt.core.conformal.controllers.candidate import Candidate, Controller, Decision
from a1_trt.core.conformal.controllers.registry import CONTROLLERS, ControllerSettings, make_controller

__all__ = ["CONTROLLERS", "Candidate", "Controller", "ControllerSettings", "Decision", "make_controller"]
