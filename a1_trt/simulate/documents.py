"""JSON files that simulations read and write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from a1_trt.errors import InvalidRequestError
from a1_trt.files import write_whole

_MAX_BYTES = 1 << 30


def read_document(path: Path, field: str) -> Any:
    """What a JSON file holds.

    Raises:
        InvalidRequestError: It cannot be read, is too large or no JSON.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InvalidRequestError(f"{path} has more than {_MAX_BYTES} bytes", field=field)
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidRequestError(
            f"{path} cannot be read: {error.strerror}", field=field, remedy="give a JSON file"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"{path} is no JSON: {error}", field=field, remedy="give a JSON file") from None


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file that is whole or not there at all.

    Raises:
        InvalidRequestError: It cannot be written.
    """
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file that is whole or not there at all.

    Raises:
        InvalidRequestError: It cannot be written.
    """
    try:
        write_whole(path, text)
    except OSError as error:
        raise InvalidRequestError(
            f"{path} cannot be written: {error.strerror}", field="output", remedy="choose another place"
        ) from None
