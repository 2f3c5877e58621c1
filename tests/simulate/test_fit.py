"""Fitting: constants are found again, runs that were not seen are predicted, and records are read as they come."""

import json
import sys

import numpy as np
import pytest

from a1_trt.errors import ConfigError, InvalidRequestError
from a1_trt.files import write_document
from a1_trt.simulate.call_log import most_at_once, read_runs
from a1_trt.simulate.engines import engines_document, read_engines
from a1_trt.simulate.fit import fit_runs
from a1_trt.simulate.fleet_call import call_document
from a1_trt.simulate.least_squares import minimum
from a1_trt.simulate.prediction import Constants, plans_of, predict
from a1_trt.simulate.simulation import Settings, simulate
from a1_trt.simulate.workload import Lengths, draw
from a1_trt.types import Parameters

TRUE = {"draft": Constants(3e-4, 4e-5, 8e-6, 5e-4, 1.4), "target": Constants(2e-3, 5e-4, 9e-5, 5e-4, 1.7)}
IN_FLIGHT = {"draft": 12, "target": 6}
FIELDS = ["role", "kind", "problem", "sample", "turn", "wanted_s", "started_s", "ended_s"]
FIELDS += ["n_prompt_tokens", "n_new_tokens", "n_scored_tokens", "end"]


def cell(strategy, repeat, coupling="shared", **options):
    """A run with known constants, as a comparison keeps it."""
    calls = []
    outcome = simulate(
        plans_of(TRUE, IN_FLIGHT),
        draw(6, 4, repeat, Lengths(prompt_tokens=40, median_tokens=150)),
        Settings(
            Parameters(4, 8, draft_tokens=64, target_tokens=64, early_stop=False),
            strategy,
            coupling=coupling,
            **options,
        ),
        on_call=lambda call: calls.append(call_document(call)),
    )
    return {"strategy": strategy, "repeat": repeat, "wall_s": outcome.makespan_s, "calls": calls}


def written(tmp_path, cells, **above):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"slots": IN_FLIGHT, **above, "cells": cells}))
    return path


@pytest.mark.parametrize("strategy", ["a1", "sync-rank", "sync-threshold", "published", "target-only"])
@pytest.mark.parametrize("coupling", ["none", "shared"])
def test_a_replay_with_the_true_constants_is_the_run(tmp_path, strategy, coupling):
    options = {"controller": "published", "first_scores": [1.5, 1.6]} if strategy == "published" else {}
    (run,) = read_runs(written(tmp_path, [cell(strategy, 0, coupling, **options)]))
    prediction = predict(run, TRUE, coupling)
    # An end-of-text token takes an iteration that no record shows.
    assert prediction.makespan_s == pytest.approx(run.makespan_s, rel=0.05)


def test_problems_that_wait_for_their_turn_are_not_at_work(tmp_path):
    # As `bench compare` records it: every problem is there from the start, whichever strategy solves one after another.
    one = cell("sync-rank", 0)
    calls = [{**call, "wanted_s": 0.0} for call in one["calls"]]
    (run,) = read_runs(written(tmp_path, [{**one, "calls": calls}]))
    assert run.concurrency == 1
    assert predict(run, TRUE, "shared").makespan_s == pytest.approx(run.makespan_s, rel=0.05)


def test_open_loads_are_replayed_with_their_arrivals(tmp_path):
    path = written(tmp_path, [cell("a1", 0, arrivals=[0.0, 1.0, 2.0, 9.0, 9.1, 30.0])], plan={"rate_per_s": 0.5})
    (run,) = read_runs(path)
    assert run.is_open
    assert predict(run, TRUE, "shared").makespan_s == pytest.approx(run.makespan_s, rel=0.01)
    assert run.makespan_s > 30


@pytest.mark.long
def test_runs_that_were_not_seen_are_predicted(tmp_path):
    cells = [cell(strategy, repeat) for repeat in range(2) for strategy in ("a1", "target-only", "sync-rank")]
    steps = []
    found = fit_runs(
        read_runs(written(tmp_path, cells)),
        holdout=("sync-rank",),
        shared=True,
        on_step=lambda done, most: steps.append((done, most)),
    )
    assert {run["strategy"] for run in found["runs"] if run["held_out"]} == {"sync-rank"}
    assert found["largest_error"]["makespan_seen"] < 0.03
    assert found["largest_error"]["makespan_held_out"] < 0.12
    assert found["largest_error"]["ratio"] < 0.12
    assert steps[-1][0] == steps[-1][1]

    # What was fitted can be used as engines.
    write_document(tmp_path / "engines.json", found["engines"])
    plans, shared = read_engines(tmp_path / "engines.json")
    assert plans["target"].costs.overhead_s == found["constants"]["target"]["overhead_s"]
    assert shared == found["shared_processor"]


def test_every_other_run_is_held_out_where_no_strategy_is_named(tmp_path):
    cells = [cell("target-only", repeat) for repeat in range(3)]
    found = fit_runs(read_runs(written(tmp_path, cells)), shared=False)
    assert [run["held_out"] for run in found["runs"]] == [False, False, True]  # those that were seen come first
    assert "draft" not in found["constants"]  # nothing was asked of it
    with pytest.raises(InvalidRequestError, match="a1"):
        fit_runs(read_runs(written(tmp_path, cells)), holdout=("a1",))


def test_calls_of_every_other_problem_are_held_out_of_a_single_run(tmp_path):
    found = fit_runs(read_runs(written(tmp_path, [cell("a1", 0, "none")])), shared=False)
    (held_out,) = found["calls"]
    errors = [abs(said["error"]) for said in held_out["call_s"].values()]
    assert len(errors) == 12
    assert sum(errors) / len(errors) < 0.05


def test_calls_may_be_lists(tmp_path):
    one = cell("a1", 0)
    rows = [[call[name] for name in FIELDS] for call in one["calls"]]
    by_list = read_runs(written(tmp_path, [{**one, "calls": rows}], call_fields=FIELDS))
    assert by_list == read_runs(written(tmp_path, [one]))


def test_what_a_cut_call_had_done_is_estimated(tmp_path):
    one = cell("a1", 0)
    index = next(i for i, call in enumerate(one["calls"]) if call["kind"] == "score")
    whole = one["calls"][index]
    one["calls"][index] = {**whole, "end": "cancelled", "n_scored_tokens": 0}
    (run,) = read_runs(written(tmp_path, [one]))
    key = ("score", whole["problem"], whole["sample"], whole["turn"])
    (cut,) = [call for call in run.calls if (call.kind, call.problem, call.sample, call.turn) == key]
    assert cut.n_scored_tokens == whole["n_scored_tokens"]


@pytest.mark.parametrize(
    "document",
    [
        None,
        "{",
        "[]",
        "{}",
        '{"calls": [3]}',
        '{"calls": [{"role": "draft"}]}',
        '{"calls": [[1, 2]]}',
        json.dumps({"calls": [{**dict.fromkeys(FIELDS, 0), "role": "judge", "kind": "draft"}]}),
        json.dumps({"calls": [{**dict.fromkeys(FIELDS, -1), "role": "draft", "kind": "draft"}]}),
        "[" * 100_000,
    ],
)
def test_what_holds_no_run_is_refused(tmp_path, document):
    path = tmp_path / "run.json"
    if document is not None:
        path.write_text(document)
    with pytest.raises(InvalidRequestError):
        read_runs(path)


@pytest.mark.parametrize(
    ("name", "value"), [("role", "judge"), ("turn", -1), ("ended_s", "soon"), ("n_new_tokens", 1.5)]
)
def test_a_call_that_is_not_valid_is_refused_by_file_and_field(tmp_path, name, value):
    one = cell("a1", 0)
    one["calls"][3][name] = value
    with pytest.raises(InvalidRequestError, match=rf"run\.json is not valid: 3\.{name}: .*{value}"):
        read_runs(written(tmp_path, [one]))


ENGINES = engines_document(plans_of(TRUE, IN_FLIGHT), shared=True)


def changed(role="draft", section="costs", **values):
    document = json.loads(json.dumps(ENGINES))
    (document[role][section] if section else document[role]).update(values)
    return document


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "shared_processor: Field required"),
        ({**ENGINES, "draft": 3}, "draft: .*given '3'"),
        (changed(overhead_s=-1.0), "draft.costs.overhead_s: .*given '-1.0'"),
        (changed("target", weights_s="fast"), "target.costs.weights_s"),
        (changed(colour=1.0), "draft.costs: .*no colour"),
        (changed(section="limits", kv_blocks=0), "draft.limits.kv_blocks: .*given '0'"),
        (changed(section="limits", max_num_batched_tokens=1), "draft.limits: .*less than max_sequences"),
        (changed(section="limits", max_sequences=True), "draft.limits.max_sequences"),
        (changed(section=None, engines=0), "draft.engines"),
        (changed(section=None, call_s=1e9), "draft.call_s"),
    ],
)
def test_engines_that_are_not_valid_are_refused_by_file_and_field(tmp_path, document, field):
    path = tmp_path / "engines.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InvalidRequestError, match=rf"engines\.json holds no engines: {field}") as caught:
        read_engines(path)
    assert "simulate fit" in caught.value.remedy


def test_engines_are_read_as_they_were_written(tmp_path):
    write_document(tmp_path / "engines.json", ENGINES)
    assert read_engines(tmp_path / "engines.json") == (plans_of(TRUE, IN_FLIGHT), True)


def test_without_scipy_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ConfigError, match=r"a1_trt\[simulate\]"):
        fit_runs(read_runs(written(tmp_path, [cell("target-only", 0)])), shared=False)


def test_the_search_steps_over_small_jumps_and_is_not_bent_by_one_wild_residual():
    place = np.array([0.3, -0.7])

    def residuals(at):
        steps = np.round(at - place, 2)  # as when two events change places
        return np.array([*steps, *steps, 3.0 + 0.1 * at[0]])

    _, at = minimum(np.array([2.0, 1.0]), residuals)
    assert at == pytest.approx(place, abs=0.05)


def test_spans_that_touch_do_not_overlap():
    assert most_at_once([(0.0, 1.0), (1.0, 2.0)]) == 1
    assert most_at_once([]) == 1
