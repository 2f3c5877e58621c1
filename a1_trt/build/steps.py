"""A step of a build: a command that makes one directory, or files that are written."""

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from a1_trt.config import Pair
from a1_trt.types import Role

EXAMPLES = "A1_TRT_TENSORRT_LLM_EXAMPLES"
"""Environment variable: TensorRT-LLM's examples directory, where it is not that of NVIDIA's container."""
_EXAMPLES_IN_CONTAINER = "/app/tensorrt_llm/examples"


@dataclass(frozen=True, slots=True)
class Step:
    name: str  # "fetch", "convert", "quantize", "build", "configure" or "warm-up"
    role: Role
    output: Path  # takes this name when the step has succeeded, never before
    # empty where only files are written; the argument that equals `output` is where it writes
    argv: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = ()  # directories that it reads
    files: dict[str, str] = field(default_factory=dict)  # name in `output` -> text, for a step without a command
    gpus: tuple[int, ...] = ()  # that it may use, by their index among those of the plan; all when empty
    keeps_partial: bool = False  # what an interrupted command leaves is of use to the next try
    explanation: str = ""

    @property
    def title(self) -> str:
        return f"{self.role}-{self.name}"

    @property
    def line(self) -> str:
        """The command as it would be typed, quoted; or the files that are written."""
        if self.argv:
            visible = f"CUDA_VISIBLE_DEVICES={','.join(map(str, self.gpus))} " if self.gpus else ""
            return visible + shlex.join(self.argv)
        return f"# writes {', '.join(str(self.output / name) for name in self.files)}"


def examples() -> str:
    return os.environ.get(EXAMPLES, _EXAMPLES_IN_CONTAINER)


def checkpoint(pair: Pair, role: Role, output: Path) -> tuple[Path, list[Step]]:
    """Where a role's checkpoint is, and the step that fetches it where it is a Hugging Face id."""
    model = pair.role(role).model
    directory = (pair.path.resolve().parent if pair.path else Path()) / Path(model).expanduser()
    if directory.is_dir() or "/" not in model or model.startswith((".", "/", "~")):
        return directory, []
    place = output / "checkpoints" / role
    argv = ("hf", "download", model, "--local-dir", str(place))
    return place, [Step("fetch", role, place, argv, keeps_partial=True, explanation=f"download {model}")]
