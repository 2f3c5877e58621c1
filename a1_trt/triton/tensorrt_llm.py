"""TensorRT-LLM's own Triton model `tensorrt_llm`: its configuration, and what its parameters may be.

The backend takes a parameter that does not parse as one that is not there, so a wrong value is never an error there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a1_trt.triton.pbtxt import parse

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Setting:
    """What one parameter of the model may be.

    Args:
        kind: "int", "float", "bool" or "string": what its text has to be.
        allowed: The only values there are, where these are known.
        most: Largest number, where there is one; the smallest is 0.
        needed: It may not be empty.
        why: What goes wrong otherwise.
    """

    key: str
    kind: str
    allowed: Sequence[str] = ()
    most: float | None = None
    needed: bool = False
    pattern: str | None = None
    why: str = ""

    def fault(self, text: str) -> str | None:
        """What is wrong with a text for it; None when nothing is."""
        if not text:
            return (self.why or "and has to be given") if self.needed else None
        if self.allowed and text not in self.allowed:
            return self.why or f"not {' or '.join(self.allowed)}"
        if self.pattern and not re.fullmatch(self.pattern, text):
            return self.why
        if self.kind == "bool" and text not in ("true", "false"):
            return "not true or false"
        if self.kind == "int" and not self.pattern and not re.fullmatch(r"\d{1,18}", text):
            return "not a whole number"
        if self.kind == "float" and not self._is_float(text):
            return f"not a number from 0 to {self.most or 'any'}"
        return None

    def _is_float(self, text: str) -> bool:
        try:
            value = float(text)
        except ValueError:
            return False
        return math.isfinite(value) and 0.0 <= value <= (self.most or math.inf)


SETTINGS = tuple(Setting(**row) for row in json.loads((TEMPLATES / "tensorrt_llm_parameters.json").read_text("utf-8")))


def template() -> Any:
    """The model's configuration with usual parameters; name, batch size, engine and GPUs are to be filled in."""
    return parse((TEMPLATES / "tensorrt_llm.pbtxt").read_text(encoding="utf-8"))
