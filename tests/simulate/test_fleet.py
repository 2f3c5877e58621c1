"""The fleet's heap against the real scheduler, driver and event loop: the same timeline to the bit."""

import asyncio
from dataclasses import replace

import pytest

from a1_trt.config import make_pair
from a1_trt.core.conformal import make_controller
from a1_trt.runtime.session import Session
from a1_trt.runtime.virtual_time import run
from a1_trt.simulate.engine_model import EngineCosts, EngineLimits
from a1_trt.simulate.fleet import EnginePlan, Fleet
from a1_trt.simulate.flow import Flow
from a1_trt.simulate.text import ScriptText, script_problem
from a1_trt.simulate.workload import Lengths, draw
from a1_trt.types import Parameters
from tests.doubles.simulated import SimulatedEngine

COSTS = {"draft": EngineCosts(2e-4, 1e-3, 1e-5, 1e-5, 1e-8, s_per_pair=1e-9), "target": EngineCosts()}
LIMITS = EngineLimits(max_sequences=12, max_num_batched_tokens=256, kv_blocks=4096, max_context_tokens=20000)
IN_FLIGHT = {"draft": 9, "target": 3}


def pair():
    roles = {role: {"model": role, "prompt": "{problem}", "max_in_flight": IN_FLIGHT[role]} for role in IN_FLIGHT}
    return make_pair({"name": "p", **roles, "conformal": {"controller": "growing"}})


def for_real(workload, parameters):
    """Makespan, engine seconds and tokens of the scheduler, driver and session that also run real engines."""

    async def main():
        alone = parameters.target_tokens * parameters.max_turns
        text = ScriptText(workload.scripts, workload.prompts, parameters.seed, parameters.max_turns, alone)
        engines = {role: SimulatedEngine(role, text=text, costs=COSTS[role], limits=LIMITS) for role in COSTS}
        async with Session(pair(), engines) as session:
            problems = [script_problem(number, n) for number, n in enumerate(workload.prompts)]
            results = await asyncio.gather(*(session.solve(problem, parameters) for problem in problems))
            now_s = asyncio.get_running_loop().time()
        usage = [result.usage for result in results]
        return (
            now_s,
            [engines[role].counters.busy_s for role in COSTS],
            [engines[role].counters.reused_tokens for role in COSTS],
            sum(each.n_scored for each in usage),
            sum(each.n_takeovers for each in usage),
            sum(each.draft_tokens for each in usage),
            sum(each.target_tokens for each in usage),
            sorted(result.wall_s for result in results),
        )

    return run(main())


def by_fleet(workload, parameters, strategy, concurrency=None):
    plans = {role: EnginePlan(COSTS[role], LIMITS, max_in_flight=IN_FLIGHT[role]) for role in COSTS}
    fleet = Fleet(plans)
    controller = make_controller("growing")
    flow = Flow(fleet, workload, parameters, strategy, concurrency=concurrency, controller=controller)
    end_s = flow.run()
    counters = [fleet.batches(role)[0].counters for role in COSTS]
    counts = flow.tally.counts
    return (
        end_s,
        [each.busy_s for each in counters],
        [each.reused_tokens for each in counters],
        counts["n_scored"],
        counts["n_takeovers"],
        counts["draft_tokens"],
        counts["target_tokens"],
        sorted(flow.tally.latencies_s.values()),
    )


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("strategy", "changes"),
    [
        ("a1", {}),
        ("a1", {"score_answers": True, "alpha": 0.7}),
        ("target-only", {"strategy": "target_only"}),
        ("draft-only", {"strategy": "draft_only"}),
        ("a1-barrier", {"admission": "barrier"}),
    ],
)
def test_it_has_the_timeline_of_the_real_scheduler(strategy, changes, seed):
    workload = draw(6, 5, seed, Lengths(prompt_tokens=37, median_tokens=150))
    parameters = Parameters(5, 8, draft_tokens=40, target_tokens=40, seed=seed, early_stop=False)
    real = for_real(workload, replace(parameters, **changes))
    mine = replace(parameters, score_answers=changes.get("score_answers", False), alpha=changes.get("alpha", 0.4))
    assert by_fleet(workload, mine, strategy, concurrency=6) == real
