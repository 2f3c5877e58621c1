"""One declaration of a request's parameters, from which everything that names them follows."""

from __future__ import annotations

import math
import warnings
from dataclasses import fields, replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from a1_trt.cli.old_spellings import Command
from a1_trt.cli.options import parameter_options
from a1_trt.config import Pair, make_pair
from a1_trt.errors import ConfigError, InvalidRequestError
from a1_trt.parameters import DECLARED, Parameters, Scheduling, current
from a1_trt.requests import INPUTS, PAIR_ONLY, make_options, make_parameters
from a1_trt.triton.tensors import A1_INPUTS

ROOT = Path(__file__).parents[2]
HUGE = 10**400
MODELS = {"name": "p", "draft": {"model": "d"}, "target": {"model": "t"}}


def options() -> dict[str, click.Option]:
    @click.command()
    @parameter_options
    def command() -> None:
        """Nothing."""

    return {str(item.name): item for item in command.params if isinstance(item, click.Option)}


def test_every_parameter_is_declared_with_what_it_does_and_what_it_may_be() -> None:
    assert [item.name for item in fields(Parameters)] == list(DECLARED)
    for declaration in DECLARED.values():
        assert declaration.help.endswith(".")
        assert declaration.values


def test_inputs_of_the_served_model_follow_from_the_declaration() -> None:
    words = {int: ("INT32", "INT64"), float: ("FP32",), bool: ("BOOL",), str: ("STRING",)}
    for name, declaration in DECLARED.items():
        assert (name in INPUTS) is (name not in PAIR_ONLY)
        assert name in PAIR_ONLY or INPUTS[name] in words[declaration.kind]
    assert INPUTS["seed"] == "INT64"
    assert {tensor.name: tensor.data_type for tensor in A1_INPUTS} == INPUTS


def test_options_of_commands_follow_from_the_declaration() -> None:
    shown = options()
    assert set(shown) == {*DECLARED, "budget"} - set(PAIR_ONLY)
    for name, option in shown.items():
        if name == "budget":
            continue
        declaration = DECLARED[name]
        assert option.is_flag is (declaration.kind is bool)
        assert option.help is not None
        assert option.help.startswith(declaration.help)
        assert all(choice in option.help for choice in declaration.choices)


@pytest.mark.parametrize(
    ("word", "value"), [("--verify-answers", True), ("--no-verify-answers", False), ("--score-answers", True)]
)
def test_former_options_of_commands_are_taken_with_a_warning(word: str, value: bool) -> None:
    results: list[Parameters] = []

    @click.command(cls=Command)
    @parameter_options
    def command(**given: object) -> None:
        results.append(make_parameters(Parameters(), **given))  # type: ignore[arg-type]

    outcome = CliRunner().invoke(command, [word], catch_exceptions=False)
    assert results[0].score_answers is value
    assert ("is now" in outcome.output) is ("verify" in word)


def test_the_pair_file_takes_the_parameters_of_a_schedule_and_its_defaults_are_the_declared_ones() -> None:
    pair = make_pair(MODELS)
    assert pair.parameters() == Parameters()
    changed = {"n_samples": 3, "admission": "barrier", "early_stop": False, "takeover_from": "first_surprise"}
    scheduled = make_pair({**MODELS, "scheduler": changed})
    assert scheduled.parameters() == Parameters(**changed)  # type: ignore[arg-type]
    assert Pair.model_fields["scheduler"].annotation is Scheduling


@pytest.mark.parametrize("name", [*DECLARED, "budget"])
@pytest.mark.parametrize(
    "value",
    [HUGE, -HUGE, 10**5000, [10**5000], "x" * 10_000, math.nan, math.inf, b"1"],
    ids=lambda value: type(value).__name__,
)
def test_a_value_of_any_size_and_type_is_a_typed_error(name: str, value: object) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        make_parameters(Parameters(), **{name: value})
    assert caught.value.field == name
    assert caught.value.remedy
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "deadline_s", [HUGE, 10**5000, math.inf, math.nan, 0, -1.0, True, "5"], ids=lambda value: type(value).__name__
)
def test_a_deadline_of_any_size_and_type_is_a_typed_error(deadline_s: object) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        make_options(Parameters(), {}, deadline_s)  # type: ignore[arg-type]
    assert caught.value.field == "deadline_s"


def test_parameters_cannot_be_made_wrong_in_any_way() -> None:
    for make in (lambda: Parameters(alpha=1.5), lambda: replace(Parameters(), alpha=1.5)):
        with pytest.raises(InvalidRequestError, match=r"alpha is 1\.5"):
            make()


def test_options_keep_what_was_given_apart_from_what_the_pair_says() -> None:
    given = make_options(Parameters(), {"n_samples": 8, "budget": 2, "temperature": 1, "seed": None}, 5)
    assert given.given == {"n_samples": 8, "budget": 2, "temperature": 1.0}
    assert (given.parameters.alpha, given.parameters.max_turns, given.deadline_s) == (0.25, 15, 5.0)
    changed = given.changed(max_turns=2)
    assert (changed.parameters.max_turns, changed.given["max_turns"], changed.given["n_samples"]) == (2, 2, 8)


def test_former_spellings_mean_the_present_ones_and_say_so() -> None:
    with pytest.warns(DeprecationWarning, match="score_answers"):
        assert make_parameters(Parameters(), verify_answers=True).score_answers
    with pytest.warns(DeprecationWarning, match="first_surprise"):
        assert make_parameters(Parameters(), takeover_from="surprise").takeover_from == "first_surprise"
    with pytest.warns(DeprecationWarning, match="score_answers"):
        assert make_options(Parameters(), {"verify_answers": True}).given == {"score_answers": True}
    section = {"verify_answers": True, "takeover_from": "surprise"}
    with pytest.warns(DeprecationWarning, match=r"0\.4"):
        pair = make_pair({**MODELS, "scheduler": section})
    assert (pair.scheduler.score_answers, pair.scheduler.takeover_from) == (True, "first_surprise")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert current({"verify_answers": None, "score_answers": None}) == {"score_answers": None}
        assert current({"verify_answers": None, "score_answers": True}) == {"score_answers": True}


def test_a_parameter_under_both_of_its_names_is_refused() -> None:
    with pytest.warns(DeprecationWarning, match="score_answers"), pytest.raises(InvalidRequestError, match="twice"):
        make_parameters(Parameters(), score_answers=True, verify_answers=True)
    with pytest.warns(DeprecationWarning, match="score_answers"), pytest.raises(ConfigError, match="twice"):
        make_pair({**MODELS, "scheduler": {"score_answers": True, "verify_answers": False}})


def test_the_documentation_of_triton_has_a_row_for_every_input() -> None:
    text = (ROOT / "docs" / "triton.md").read_text(encoding="utf-8")
    for name, declaration in DECLARED.items():
        if name not in PAIR_ONLY:
            assert f"| `{name}` | {INPUTS[name]} | {declaration.values} | {declaration.help} |" in text.splitlines()


def test_the_documentation_of_the_endpoint_names_every_parameter() -> None:
    text = (ROOT / "docs" / "openai.md").read_text(encoding="utf-8")
    for name in {*DECLARED, "budget"} - set(PAIR_ONLY):
        assert f"`{name}`" in text
