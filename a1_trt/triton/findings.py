"""What is wrong with a repository, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

RENDER = "render the repository again with 'a1-trt deploy render'"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Args:
        model: The Triton model it is about; empty for the repository.
        field: The tensor, parameter, file or key.
        code: missing, extra, dtype, dims, reshape, optional, ragged, placeholder, parse, value, reuse, instances,
            address, file, changed, or live for what a running server does.
        message: The field, what it is, and what it would be when rendered.
    """

    model: str
    field: str
    code: str
    message: str
    remedy: str = RENDER

    def __str__(self) -> str:
        return f"{f'{self.model}: ' if self.model else ''}{self.message}; {self.remedy}"


@dataclass(slots=True)
class Report:
    directory: str
    profile: str | None = None
    models: tuple[str, ...] = ()
    problems: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self)}
