"""The flow against the strategies that run for real, in virtual time on the same scripts."""

from dataclasses import replace

import pytest

from a1_trt.benchmarks.strategies import Arrivals
from a1_trt.benchmarks.strategies import run as run_strategy
from a1_trt.config import make_pair
from a1_trt.core.conformal import make_controller
from a1_trt.runtime.virtual_time import run
from a1_trt.simulate.engine_model import EngineCosts, EngineLimits
from a1_trt.simulate.fleet import EnginePlan, Fleet
from a1_trt.simulate.flow import Flow
from a1_trt.simulate.text import ScriptText, script_problem
from a1_trt.simulate.workload import Lengths, draw
from a1_trt.types import Parameters
from tests.doubles.simulated import SimulatedEngine

COSTS = {"draft": EngineCosts(2e-4, 1e-3, 1e-5, 1e-5, 1e-8), "target": EngineCosts()}
LIMITS = EngineLimits(max_sequences=12, max_num_batched_tokens=256, kv_blocks=4096, max_context_tokens=20000)
IN_FLIGHT = {"draft": 4, "target": 3}
PARAMETERS = Parameters(5, 8, draft_tokens=40, target_tokens=40, seed=3, early_stop=False)


def for_real(name, workload, parameters):
    roles = {role: {"model": role, "prompt": "{problem}", "max_in_flight": IN_FLIGHT[role]} for role in IN_FLIGHT}
    pair = make_pair({"name": "p", **roles, "conformal": {"controller": "growing"}})
    text = ScriptText(workload.scripts, workload.prompts, parameters.seed, parameters.max_turns, 40 * 8)
    engines = {role: SimulatedEngine(role, text=text, costs=COSTS[role], limits=LIMITS) for role in COSTS}
    problems = [script_problem(number, n) for number, n in enumerate(workload.prompts)]
    arrivals = Arrivals(n_in_flight=len(problems))
    found = run(run_strategy(name, pair, engines, problems, parameters, arrivals=arrivals, seed=parameters.seed))
    usage = [result.usage for result in found.results]
    assert len(usage) == len(problems)
    return (
        found.wall_s,
        sum(each.draft_tokens for each in usage),
        sum(each.target_tokens for each in usage),
        sum(each.n_takeovers for each in usage),
    )


def by_flow(name, workload, parameters):
    plans = {role: EnginePlan(COSTS[role], LIMITS, max_in_flight=IN_FLIGHT[role]) for role in COSTS}
    flow = Flow(Fleet(plans), workload, parameters, name, controller=make_controller("growing"))
    end_s, counts = flow.run(), flow.tally.counts
    return end_s, counts["draft_tokens"], counts["target_tokens"], counts["n_takeovers"]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["a1", "sync-rank", "sync-threshold", "target-only", "draft-only"])
def test_a_strategy_takes_as_long_as_it_does_for_real(name, seed):
    workload = draw(5, 5, seed, Lengths(prompt_tokens=37, median_tokens=150))
    parameters = replace(PARAMETERS, seed=seed)
    assert by_flow(name, workload, parameters) == pytest.approx(for_real(name, workload, parameters), rel=1e-9)
