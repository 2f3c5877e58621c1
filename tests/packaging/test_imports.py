"""Importing the package is cheap, and its names are what it says they are."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

import a1_trt

HEAVY = (
    "fastapi",
    "grpc",
    "httpx",
    "jinja2",
    "matplotlib",
    "openvino",
    "openvino_genai",
    "rich",
    "tensorrt_llm",
    "torch",
    "transformers",
    "tritonclient",
    "uvicorn",
)


def modules_after(code: str) -> set[str]:
    """Top-level modules that are loaded after `code` has run in a fresh interpreter."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code", ["import a1_trt", "import a1_trt; a1_trt.Client; a1_trt.Session; a1_trt.CalibrationSet"]
)
def test_importing_pulls_nothing_heavy(code: str) -> None:
    assert not modules_after(code) & set(HEAVY)


def test_the_command_line_starts_without_engines_and_servers() -> None:
    assert not modules_after("import a1_trt.cli") & (set(HEAVY) - {"rich"})


def test_public_names_are_sorted_and_exist() -> None:
    assert sorted(a1_trt.__all__) == a1_trt.__all__
    for name in a1_trt.__all__:
        assert getattr(a1_trt, name) is not None
    assert dir(a1_trt) == a1_trt.__all__


def test_every_error_of_the_tree_is_public() -> None:
    def tree(root: type) -> set[str]:
        return {root.__name__}.union(*(tree(child) for child in root.__subclasses__()))

    assert tree(a1_trt.A1Error) <= set(a1_trt.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Cleint"):
        _ = a1_trt.Cleint


def test_the_version_is_the_installed_one() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", a1_trt.__version__)


def test_a_checkout_that_is_not_installed_can_be_imported() -> None:
    script = (
        "import importlib.metadata as metadata\n"
        "def absent(name): raise metadata.PackageNotFoundError(name)\n"
        "metadata.version = absent\n"
        "import a1_trt\n"
        "print(a1_trt.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0+unknown"
