"""Names that a room exports are documented."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import a1_trt

ROOMS = ["a1_trt", *(f"a1_trt.{module.name}" for module in pkgutil.iter_modules(a1_trt.__path__))]


@pytest.mark.parametrize("room", ROOMS)
def test_exported_classes_and_functions_say_what_they_are(room: str) -> None:
    module = importlib.import_module(room)
    exported = {name: getattr(module, name) for name in getattr(module, "__all__", [])}
    named = {name: value for name, value in exported.items() if inspect.isclass(value) or inspect.isfunction(value)}
    assert inspect.getdoc(module)
    assert [name for name, value in named.items() if not value.__doc__] == []


@pytest.mark.parametrize("name", [name for name in a1_trt.__all__ if not name.startswith("_")])
def test_methods_of_the_public_names_say_what_they_do(name: str) -> None:
    value = getattr(a1_trt, name)
    if not inspect.isclass(value):
        return
    methods = {key: member for key, member in vars(value).items() if inspect.isfunction(member) and key[0] != "_"}
    assert [key for key, member in methods.items() if not inspect.getdoc(member)] == []
