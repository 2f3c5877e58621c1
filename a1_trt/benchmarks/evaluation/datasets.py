"""Where problems come from: a file of JSON lines, or a data set of the Hugging Face hub, whatever its fields are."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from a1_trt.benchmarks.problems import drawn, read_rows, to_problems
from a1_trt.benchmarks.records import GROUPS
from a1_trt.errors import ConfigError, InvalidRequestError
from a1_trt.types import Problem

Subset = Literal["full", "official"]
GPQA_FIELDS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
_LETTERS = "ABCD"


@dataclass(frozen=True, slots=True)
class HubDataset:
    id: str
    split: str
    config: str | None = None


HUB: Mapping[str, HubDataset] = MappingProxyType(
    {
        "math500": HubDataset("HuggingFaceH4/MATH-500", "test"),
        "aime24": HubDataset("simplescaling/aime24_nofigures", "train"),
        "aime25": HubDataset("simplescaling/aime25_nofigures", "train"),
        "amc23": HubDataset("math-ai/amc23", "test"),
        "amc": HubDataset("AI-MO/aimo-validation-amc", "train"),
        "olympiad": HubDataset("Hothan/OlympiadBench", "train", "OE_TO_maths_en_COMP"),
        "gpqa": HubDataset("Idavidrein/gpqa", "train", "gpqa_diamond"),
    }
)
"""Data sets by short name, each with the split that is evaluated on."""


@dataclass(frozen=True)
class Dataset:
    """Problems with answers, their groups by id ({"level": ..., "subject": ...}), and notes for readers of figures."""

    name: str
    problems: Sequence[Problem]
    groups: Mapping[str, Mapping[str, str]]
    notes: tuple[str, ...] = field(default=())


def read_dataset(data: str, *, subset: Subset = "full", seed: int = 42) -> Dataset:
    """A data set: a file of JSON lines, a name in `HUB` such as "math500" or "MATH-500", or an id on the hub.

    The "official" subset is the rows that the published code scores; the seed is that of the order of multiple-choice
    answers.
    """
    path = Path(data)
    name = set_name(data)
    if path.exists() or path.suffix in (".jsonl", ".json", ".ndjson"):
        rows: list[tuple[int, Mapping[str, Any]]] = list(read_rows(path))
    elif _short(data) in HUB or re.fullmatch(r"[\w.-]+/[\w.-]+", data):
        rows = list(enumerate(_hub_rows(_hub_dataset(data)), 1))
    else:
        remedy = f"give a file of JSON lines, an id such as owner/name, or one of {', '.join(HUB)}"
        message = f"there is no file {data}, and it is not the id of a data set"
        raise ConfigError(message, path=data, field="data", remedy=remedy)
    if not rows:
        raise ConfigError(f"{data} holds no problem", path=data, field="data", remedy="give some problems")
    rows, notes = (rows, ()) if subset == "full" else official_rows(name, rows)
    mapped = [(number, plain_row(row, seed)) for number, row in rows]
    problems = to_problems(data, mapped, with_answers=True)
    groups = {
        problem.id: {name: str(row[name]) for name in GROUPS if row.get(name) is not None}
        for problem, (_, row) in zip(problems, mapped, strict=True)
    }
    return Dataset(data, problems, groups, notes)


def set_name(data: str) -> str | None:
    text = _short(Path(data).name)
    return next((name for name in sorted(HUB, key=len, reverse=True) if name in text), None)


def official_rows(
    name: str | None, rows: Sequence[tuple[int, Mapping[str, Any]]]
) -> tuple[list[tuple[int, Mapping[str, Any]]], tuple[str, ...]]:
    """The rows that the published code scores, in its order, and what is to be known about them."""
    if name == "math500":
        if len(rows) != 500:
            message = f"the official subset is drawn from 500 rows, and there are {len(rows)}"
            raise InvalidRequestError(message, field="subset", remedy="give all of MATH-500 in its own order")
        return drawn(rows, 42, 100), ()
    first = {"aime24": 15, "aime25": 15, "amc": 50, "amc23": 50, "gpqa": 60, "olympiad": 50}.get(name or "")
    if first is None:
        message = "no official subset of this data set is known"
        raise InvalidRequestError(message, field="subset", remedy=f"choose from {', '.join(HUB)}")
    notes = []
    if name == "olympiad":
        rows = [
            row for row in rows if row[1].get("answer_type") == "Numerical" and not row[1].get("is_multiple_answer")
        ]
    if name == "amc23" or (name == "amc" and len(rows) != 83):
        notes.append("the published rows are the first 50 of AI-MO/aimo-validation-amc (83 rows), which is another set")
    if name == "gpqa":
        notes.append("the published loader leaves the right choice first; here the choices are shuffled")
    return list(rows[:first]), tuple(notes)


def plain_row(row: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """A row of the hub's MATH-500, AIME, AMC, OlympiadBench or GPQA, or a plain one, under this package's names."""
    if "Question" in row and GPQA_FIELDS[0] in row:
        return _multiple_choice(row, seed)
    answer = _first(row, "answer", "final_answer")
    if isinstance(answer, list):
        answer = answer[0] if len(answer) == 1 else ", ".join(map(str, answer))
    return _known(
        id=_first(row, "id", "unique_id"),
        problem=_first(row, "problem", "question"),
        answer=answer,
        level=row.get("level"),
        subject=_first(row, "subject", "type", "subfield"),
        task=row.get("task"),
    )


def shuffled_choices(right: str, wrong: Sequence[str], *, seed: int, question: str) -> tuple[list[str], int]:
    """The choices in an order by seed and question alone (rows may be left out), and the place of the right one."""
    choices = [right, *wrong]
    order = list(range(len(choices)))
    random.Random(f"{seed}:{question}").shuffle(order)  # noqa: S311 - an order, no secret
    return [choices[place] for place in order], order.index(0)


def _multiple_choice(row: Mapping[str, Any], seed: int) -> dict[str, Any]:
    question = str(row["Question"]).strip()
    right, *wrong = (str(row.get(name, "")).strip() for name in GPQA_FIELDS)
    choices, place = shuffled_choices(right, wrong, seed=seed, question=question)
    listed = "\n".join(f"({letter}) {choice}" for letter, choice in zip(_LETTERS, choices, strict=True))
    text = f"{question}\n\n{listed}\n\nAnswer with the letter of the right choice in \\boxed{{}}."
    number, subject = row.get("Record ID"), row.get("High-level domain")
    return _known(id=number, problem=text, answer=_LETTERS[place], subject=subject)


def _known(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _first(row: Mapping[str, Any], *names: str) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _hub_dataset(data: str) -> HubDataset:
    if "/" not in data:
        return HUB[_short(data)]
    return next((known for known in HUB.values() if known.id.lower() == data.lower()), HubDataset(data, ""))


def _short(text: str) -> str:
    """A name without its punctuation and century: "AIME-2024" is "aime24"."""
    return re.sub(r"20(2\d)", r"\1", re.sub(r"[^a-z0-9]", "", text.lower()))


def _hub_rows(wanted: HubDataset) -> list[dict[str, Any]]:
    try:
        datasets: Any = import_module("datasets")
    except ImportError:
        message = f"the package datasets, which loads {wanted.id}, is not installed"
        remedy = "pip install datasets, or give a file of JSON lines"
        raise ConfigError(message, path=wanted.id, field="datasets", remedy=remedy) from None
    try:
        splits = datasets.load_dataset(wanted.id, wanted.config)
        split = wanted.split or next(name for name in chain(("test", "train"), splits) if name in splits)
        return [dict(row) for row in splits[split]]
    except Exception as error:  # whatever the library, the network or the hub's permissions come up with
        remedy = "check the id and the network, and for a gated set log in; or give a file of JSON lines"
        message = f"{wanted.id} cannot be loaded: {error}"
        raise ConfigError(message, path=wanted.id, field="data", remedy=remedy) from error
