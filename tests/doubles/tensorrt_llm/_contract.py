"""Classes that accept exactly what tests/contracts/tensorrt_llm_api.json says: names, types and defaults."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

CONTRACT = json.loads((Path(__file__).parents[2] / "contracts" / "tensorrt_llm_api.json").read_text(encoding="utf-8"))
_PLAIN = {"int": int, "float": (int, float), "str": str, "bool": bool, "dict": dict, "Path": Path}


def accepts(value: Any, kind: str) -> bool:
    """Whether a value is of a type as the contract writes it; classes are known by their name."""
    kind = kind.strip().strip('"')
    wrapped = re.fullmatch(r"(Optional|Union|List|Dict)\[(.*)\]", kind)
    if not wrapped:
        if kind in ("int", "float") and isinstance(value, bool):
            return False
        if kind in _PLAIN:
            return isinstance(value, _PLAIN[kind])
        return kind == "Any" or kind in {one.__name__ for one in type(value).__mro__}
    name, inside = wrapped.groups()
    if name == "Optional":
        return value is None or accepts(value, inside)
    if name == "Union":
        return any(accepts(value, part) for part in _parts(inside))
    if name == "List":
        return isinstance(value, list) and all(accepts(item, inside) for item in value)
    key, item = _parts(inside)
    return isinstance(value, dict) and all(accepts(k, key) and accepts(v, item) for k, v in value.items())


def _parts(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for i, sign in enumerate(text):
        depth += {"[": 1, "]": -1}.get(sign, 0)
        if sign == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [*parts, text[start:]]


def check(field: dict[str, Any], value: Any, error: type[Exception] = ValueError) -> None:
    """Refuse a value that its field does not take."""
    name = field["name"]
    if not accepts(value, field["type"]):
        raise error(f"{name}: {value!r} is no {field['type']}")
    allowed = field.get("allowed")
    if allowed and value not in allowed:
        raise error(f"{name}: {value!r} is none of {allowed}")
    if value is not None and "min" in field and value < field["min"]:
        raise error(f"{name}: {value!r} is below {field['min']}")
    if value is not None and "max" in field and value > field["max"]:
        raise error(f"{name}: {value!r} is above {field['max']}")


def fill(fields: list[dict[str, Any]], given: dict[str, Any], error: type[Exception] = ValueError) -> dict[str, Any]:
    """Checked values of all fields, given or by default."""
    known = {field["name"]: field for field in fields}
    unknown = [name for name in given if name not in known]
    if unknown:
        raise error(f"unknown argument {unknown[0]!r}")
    missing = [name for name, field in known.items() if field["default"] == "__required__" and name not in given]
    if missing:
        raise error(f"missing argument {missing[0]!r}")
    for name, value in given.items():
        check(known[name], value, error)
    return {name: given.get(name, field["default"]) for name, field in known.items()}


def strict_class(name: str, error: type[Exception] = ValueError) -> type:
    """A class with the fields of a contract's section, keyword arguments only, frozen to those names."""
    said = CONTRACT[name]
    fields = said["fields"] if isinstance(said, dict) else said

    def __init__(self: Any, **given: Any) -> None:  # noqa: N807
        for key, value in fill(fields, given, error).items():
            object.__setattr__(self, key, value)

    def __setattr__(self: Any, key: str, value: Any) -> None:  # noqa: N807
        raise AttributeError(f"{name}.{key} is set after construction")

    return type(name, (), {"__init__": __init__, "__setattr__": __setattr__})
