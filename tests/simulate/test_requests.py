"""From words to runs, sweeps and plans; and their commands."""

import json

import pytest
from click.testing import CliRunner

from a1_trt.cli import main
from a1_trt.errors import ConfigError, InvalidRequestError
from a1_trt.simulate.config import ALL_STRATEGIES, Request, prepare
from a1_trt.simulate.layout import default_layout, open_pair, parse_gpus
from a1_trt.simulate.paper import paper_table
from a1_trt.simulate.plan import Goal, make_plan
from a1_trt.simulate.sweep import split_layout, sweep
from a1_trt.simulate.workload import Lengths
from tests.simulate.trace_files import write

PAIR = "Qwen/Qwen2.5-7B-Instruct+Qwen/QwQ-32B"
SMALL = {"n_problems": 6, "n_samples": 4, "gpu": "H100x8", "lengths": Lengths(median_tokens=300)}


def outcome(**changes):
    prepared = prepare(Request(PAIR, **{**SMALL, **changes}))
    return prepared.document(prepared.run())


@pytest.mark.parametrize("strategy", ALL_STRATEGIES)
def test_every_strategy_runs(strategy):
    said = outcome(strategy=strategy)
    assert said["simulated"] is True
    assert 0 < said["lower_bound_s"] <= said["makespan_s"]
    assert all(0 <= share <= 1 + 1e-9 for share in said["utilisation"].values())


def test_each_strategy_does_what_its_name_says():
    said = {strategy: outcome(strategy=strategy, n_samples=16) for strategy in ALL_STRATEGIES}
    assert said["target-only"]["tokens"]["draft"] == said["draft-only"]["tokens"]["target"] == 0
    assert said["sync-rank"]["makespan_s"] > said["published"]["makespan_s"] > said["a1"]["makespan_s"]
    assert said["token-speculative"]["makespan_s"] < said["target-only"]["makespan_s"]
    assert said["sync-threshold"]["tokens"]["draft"] > 0


def test_the_wanted_rate_of_takeovers_is_kept():
    for alpha in (0.2, 0.6):
        said = outcome(n_problems=40, n_samples=8, parameters={"alpha": alpha, "score_answers": True})
        assert said["rejection_rate"] == pytest.approx(alpha, abs=0.06)


@pytest.mark.parametrize(
    ("text", "name", "count"),
    [
        ("H100x8", "h100-80g", 8),
        ("8 x h100-80g", "h100-80g", 8),
        ("a100", "a100-80g", 1),
        ("L4x1000", "l4-24g", 1000),
        ("b200 x 2", "b200-180g", 2),
        ("H200", "h200-141g", 1),
    ],
)
def test_gpus_are_named_as_people_name_them(text, name, count):
    gpus = parse_gpus(text)
    assert (gpus.gpu.name, gpus.count) == (name, count)


@pytest.mark.parametrize("text", ["", "H101x8", "H100x0", "2xH100x2", "x8", "H100x99999999999", "H100y8", "8"])
def test_gpus_that_are_none_are_refused(text):
    with pytest.raises(ConfigError):
        parse_gpus(text)


def test_a_third_of_the_gpus_is_the_drafts():
    layout = default_layout(open_pair(PAIR), parse_gpus("H100x8"))
    assert (layout.draft.n_gpus, layout.target.n_gpus, layout.colocated) == (2, 6, False)
    small = "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B+Qwen/Qwen2.5-7B-Instruct"
    assert default_layout(open_pair(small), parse_gpus("H100")).colocated
    with pytest.raises(ConfigError, match="GiB are missing") as caught:
        default_layout(open_pair(PAIR), parse_gpus("H100"))
    assert "fits with" in caught.value.remedy


@pytest.mark.parametrize("split", ["8", "0:4", "2:7", "a:b", "1:2:3", "3:3"])
def test_splits_that_are_none_are_refused(split):
    with pytest.raises(InvalidRequestError):
        split_layout(split, Request(PAIR, gpu="H100x8"))


@pytest.mark.parametrize(
    "changes",
    [
        {"strategy": "magic"},
        {"n_problems": 0},
        {"n_problems": 10**9},
        {"parameters": {"alpha": 2.0}},
        {"load_per_min": -1.0},
        {"controller": "magic"},
        {"gpu": None},
        {"assumptions": {"magic": 1.0}},
    ],
)
def test_requests_that_make_no_sense_are_refused(changes):
    with pytest.raises(InvalidRequestError):
        outcome(**changes)


def test_a_sweep_has_every_combination():
    request = Request(PAIR, **{**SMALL, "n_samples": None})
    axes = {"strategy": ["a1", "target-only"], "samples": [1, 4], "replicas": [1, 2], "split": ["2:2", "2:4"]}
    found = sweep(request, axes)
    assert len(found["points"]) == 16
    for point in found["points"]:
        assert point["layout"]["draft"]["engines"] == 2 * point["at"]["replicas"]
        assert point["samples"] == point["at"]["samples"]
        assert (point["speedup"] == 1.0) == (point["at"]["strategy"] == "target-only")
    with pytest.raises(InvalidRequestError):
        sweep(request, {})


def test_calls_in_flight_are_what_batches_are_made_of():
    found = sweep(Request(PAIR, **{**SMALL, "n_samples": 16}), {"in_flight": ["4:2", "64:32"]})["points"]
    assert [point["engines"]["target"]["max_in_flight"] for point in found] == [6, 96]
    assert found[1]["makespan_s"] < found[0]["makespan_s"] / 2
    with pytest.raises(InvalidRequestError, match="in_flight"):
        sweep(Request(PAIR, **SMALL), {"in_flight": ["4"]})


def plan(load=4.0, latency_s=120.0, **changes):
    return make_plan(Request(PAIR, **{**SMALL, "n_problems": 20}), Goal(load, latency_s, **changes))


def test_a_plan_takes_the_cheapest_layout_that_meets_the_goal():
    found = plan()
    best = found["best"]
    assert best["meets"]
    assert best["latency_p95_s"] <= 120.0
    assert all(row["cost_per_hour"] >= best["cost_per_hour"] for row in found["runners_up"])
    assert {row["change"] for row in found["sensitivity"]} >= {"load x 2", "efficiencies x 0.8"}
    # What was not good enough was cheaper or slower, not overlooked: a harder goal never costs less.
    assert plan(load=40.0, latency_s=60.0)["best"]["cost_per_hour"] >= best["cost_per_hour"]


def test_a_goal_that_nothing_meets_names_the_nearest_layout():
    found = plan(latency_s=0.1)
    assert found["best"] is None
    assert not found["nearest"]["meets"]
    assert found["sensitivity"] == []


def test_kinds_of_gpus_are_compared_by_price():
    found = plan(others=("A100x8",), prices={"h100": 100.0, "a100": 1.0})
    assert found["best"]["layout"]["gpu"] == "a100-80g"
    with pytest.raises(InvalidRequestError, match="price"):
        plan(others=("A100x8",))


def test_the_papers_table_has_both_figures():
    found = paper_table("H100", seed=1, most_problems=8)
    assert [row["dataset"] for row in found["rows"]] == ["MATH100", "AMC23", "AIME24", "AIME25"]
    assert [row["paper"]["marginal"] for row in found["rows"]] == [7.19, 10.42, 5.71, 14.5]
    for row in found["rows"]:
        assert row["speedup"]["a1"]["sync-rank"] > row["speedup"]["published"]["sync-rank"] > 1


# --- commands ---------------------------------------------------------------------------------------------------------


def command(*words):
    return CliRunner().invoke(main, ["simulate", *(str(word) for word in words)])


def test_a_run_from_the_command_line(tmp_path):
    words = ("run", "reference", "--gpu", "L4x3", "--strategy", "a1", "--problems", 4, "--samples", 4, "--seed", 1)
    words += ("--lengths", "median_tokens=60", "--lengths", "prompt_tokens=20")  # so that no context is full
    said = command(*words, "--output", tmp_path / "run.json", "--calls", tmp_path / "calls.json")
    assert said.exit_code == 0, said.output
    document = json.loads((tmp_path / "run.json").read_text())
    keys = "makespan_s lower_bound_s utilisation tokens rejection_rate events wall_s"
    assert document.keys() >= set(keys.split())
    assert document["utilisation"].keys() == {"draft", "target"}
    assert (document["problems"], document["samples"], document["seed"]) == (4, 4, 1)
    calls = json.loads((tmp_path / "calls.json").read_text())["calls"]
    done = [call for call in calls if call["end"] == "done"]
    assert len(done) == sum(document["calls"].values())
    assert (len(done) < len(calls)) == (document["stopped_samples"] > 0)
    again = command(*words, "--json")
    assert {**json.loads(again.stdout), "wall_s": 0, "command": ""} == {**document, "wall_s": 0, "command": ""}


def test_a_trace_from_the_command_line(tmp_path):
    path = write(tmp_path / "trace.npz")
    words = ("run", "r1-distill-llama-8b_qwq-32b", "--gpu", "H100x3", "--trace", path, "--problems", 2, "--samples", 3)
    document = json.loads(command(*words, "--seed", 0, "--json").stdout)
    assert (document["problems"], document["samples"]) == (2, 3)
    said = command("barrier", path, "--slots", 4, "--json")
    assert json.loads(said.stdout)["gain"] >= 1


def test_a_fit_from_the_command_line(tmp_path):
    calls = tmp_path / "calls.json"
    command("run", "reference", "--gpu", "L4x3", "--problems", 3, "--samples", 3, "--calls", calls)
    fitted = command("fit", calls, "--apart", "--output", tmp_path / "engines.json", "--json")
    assert fitted.exit_code == 0, fitted.output
    assert json.loads(fitted.stdout)["runs"][0]["n_calls"] > 0
    said = command("run", "reference", "--engines", tmp_path / "engines.json", "--problems", 2, "--json")
    assert json.loads(said.stdout)["layout"] is None


def test_pages_need_nothing_else(tmp_path):
    words = ("sweep", PAIR, "--gpu", "H100x4", "--problems", 2, "--vary", "strategy=a1,target-only")
    said = command(*words, "--vary", "samples=1,2", "--plot", tmp_path / "sweep.html")
    assert said.exit_code == 0, said.output
    words = ("plan", PAIR, "--gpu", "H100x4", "--problems", 8, "--load", 2, "--latency", 200, "--alpha", "0.3:0.4")
    said = command(*words, "--json", "--plot", tmp_path / "plan.html")
    assert json.loads(said.stdout)["best"]["alpha"] in (0.3, 0.4)
    for name in ("sweep", "plan"):
        page = (tmp_path / f"{name}.html").read_text()
        assert "<svg" in page
        assert "simulated" in page
        assert "http-equiv" not in page
        assert "src=" not in page


@pytest.mark.parametrize(
    "words",
    [
        ("run", "nothing", "--gpu", "H100"),
        ("run", "reference", "--gpu", "H99x2"),
        ("run", "reference"),
        ("run", "reference", "--gpu", "L4", "--trace", "missing.npz"),
        ("run", "reference", "--gpu", "L4", "--lengths", "median=3"),
        ("run", "reference", "--gpu", "L4", "--lengths", "spread"),
        ("run", "reference", "--gpu", "L4", "--set", "overhead_s=fast"),
        ("run", "reference", "--gpu", "L4", "--split", "1:1:1"),
        ("sweep", "reference", "--gpu", "L4", "--vary", "colour=red"),
        ("plan", "reference", "--gpu", "L4", "--load", "1", "--latency", "1", "--alpha", "0.5:0.3"),
        ("fit", "missing.json"),
        ("barrier", "missing.npz"),
        ("paper", "--gpu", "H99"),
    ],
)
def test_mistakes_are_said_in_a_line(words):
    said = command(*words)
    assert said.exit_code == 2
    assert said.stdout == ""
    assert said.stderr.startswith("a1-trt: error")
    assert len(said.stderr.splitlines()) == 1
