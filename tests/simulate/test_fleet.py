"""Two drivers of one scheduler: a simulated run and the real session on engines that follow the same scripts.

The session, its driver and asyncio run on simulated engines in virtual time; `simulate` runs from its heap. They must
agree event by event and call by call.
"""

from collections import defaultdict
from dataclasses import replace

import pytest

from a1_trt.benchmarks.strategies import STRATEGIES, Arrivals, Timeline
from a1_trt.benchmarks.strategies import run as run_strategy
from a1_trt.config import make_pair
from a1_trt.runtime.virtual_time import run
from a1_trt.simulate.engine_model import EngineCosts, EngineLimits
from a1_trt.simulate.fleet import EnginePlan
from a1_trt.simulate.simulation import Settings, simulate
from a1_trt.simulate.text import script_problem
from a1_trt.simulate.workload import Lengths, draw
from a1_trt.types import Parameters, ProblemFinished, SegmentScored, SegmentWritten
from tests.doubles.simulated import SimulatedEngine
from tests.doubles.simulated.script import ScriptText

COSTS = {"draft": EngineCosts(2e-4, 1e-3, 1e-5, 1e-5, 1e-8, s_per_pair=1e-9), "target": EngineCosts()}
LIMITS = EngineLimits(max_sequences=12, max_num_batched_tokens=256, kv_blocks=4096, max_context_tokens=20000)
PARAMETERS = Parameters(5, 8, draft_tokens=40, target_tokens=40)
N_PROBLEMS = 6


def plain(event):
    """What of an event must be the same; texts are not, but their lengths are."""
    if isinstance(event, SegmentWritten):
        return event.sample, event.turn, event.segment.role, event.segment.n_tokens
    if isinstance(event, SegmentScored):
        cut = event.kept is not None
        score = round(event.score, 9)
        return event.sample, event.turn, score, event.p_value, event.takeover, event.forced, cut
    if not isinstance(event, ProblemFinished):
        return event
    return event.result.votes, event.result.usage, [len(t.turns) for t in event.result.trajectories]


def by_problem(events):
    """Times and events of each problem, in order."""
    problems = defaultdict(list)
    for time_s, problem, event in events:
        problems[problem].append((round(time_s, 9), type(event), plain(event)))
    return problems


def by_chain(calls):
    chains = defaultdict(list)
    for call in calls:
        times = (round(call.started_s, 9), round(call.ended_s, 9))
        if call.end == "cancelled" and times[0] == times[1]:
            continue  # asyncio may not even have begun it
        chains[call.problem, call.sample].append((call.kind, call.turn, call.end, *times))
    return {chain: sorted(made, key=lambda call: (call[1], call[0], call[2])) for chain, made in chains.items()}


def limits_of(name):
    """The published strategy calibrates on the same engines first: nothing may be left of that in their caches."""
    return replace(LIMITS, prefix_reuse=name != "published")


def for_real(monkeypatch, name, workload, parameters, in_flight):
    """Events, calls and the makespan of the strategy's session, and seconds and reused tokens of its engines."""
    events = []
    monkeypatch.setattr(Timeline, "add_event", lambda self, index, event: events.append((self.now_s, index, event)))
    roles = {role: {"model": role, "prompt": "{problem}", "max_in_flight": in_flight[role]} for role in in_flight}
    pair = make_pair({"name": "p", **roles, "conformal": {"controller": "growing"}})
    alone = STRATEGIES[name].parameters["strategy"] != "a1"
    text = ScriptText(workload, parameters.seed, parameters.max_turns, alone)
    engines = {role: SimulatedEngine(role, text=text, costs=COSTS[role], limits=limits_of(name)) for role in COSTS}
    problems = [script_problem(number, n) for number, n in enumerate(workload.prompts)]
    arrivals = Arrivals(n_in_flight=len(problems))
    done = run(run_strategy(name, pair, engines, problems, parameters, arrivals=arrivals, seed=parameters.seed))
    assert len(done.results) == N_PROBLEMS
    return events, done.calls, done.wall_s, [engine.counters for engine in engines.values()]


def simulated(name, workload, parameters, in_flight):
    """The same of a simulation."""
    events, calls = [], []
    plans = {role: EnginePlan(COSTS[role], limits_of(name), max_in_flight=in_flight[role]) for role in COSTS}
    first_scores = [script.score(0) for samples in workload.scripts[:4] for script in samples]
    fixed = {"controller": "published", "first_scores": first_scores} if name == "published" else {}
    settings = Settings(parameters, name, **{"controller": "growing", **fixed})
    outcome = simulate(plans, workload, settings, on_event=lambda *event: events.append(event), on_call=calls.append)
    return events, calls, outcome


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("a1", {}),
        ("a1", {"early_stop": False}),
        ("a1", {"score_answers": True, "alpha": 0.7}),
        ("a1", {"takeover_from": "first_surprise", "alpha": 0.6}),
        ("a1", {"optimistic": True}),
        ("a1", {"optimistic": True, "takeover_from": "first_surprise", "score_answers": True}),
        ("a1", {"exact_budget": True}),
        ("a1-barrier", {"takeover_from": "first_surprise"}),
        ("sync-rank", {}),
        ("sync-rank", {"early_stop": False, "score_answers": True}),
        ("sync-threshold", {"takeover_from": "first_surprise"}),
        ("sync-rank-overlapped", {"alpha": 0.7}),
        ("published", {}),
        ("target-only", {}),
        ("target-only", {"early_stop": False}),
        ("draft-only", {}),
    ],
)
def test_both_drivers_have_the_same_events_at_the_same_times(monkeypatch, name, changes, seed):
    in_flight = {"draft": 9, "target": 3} if seed % 2 else {"draft": 4, "target": 4}
    workload = draw(N_PROBLEMS, 5, seed, Lengths(prompt_tokens=37, median_tokens=150, agreement=0.8))
    parameters = replace(PARAMETERS, seed=seed, **changes)
    real_events, real_calls, wall_s, counters = for_real(monkeypatch, name, workload, parameters, in_flight)
    events, calls, outcome = simulated(name, workload, parameters, in_flight)
    assert by_problem(events) == by_problem(real_events)
    assert by_chain(calls) == by_chain(real_calls)
    assert outcome.makespan_s == pytest.approx(wall_s, abs=1e-9)
    if name != "published":  # it has used its engines before, to calibrate
        tokens = [outcome.engine_tokens[role] for role in COSTS]
        assert [each["generated"] for each in tokens] == [each.generated_tokens for each in counters]
        assert [each["reused"] for each in tokens] == [each.reused_tokens for each in counters]
        assert list(outcome.busy_s.values()) == pytest.approx([each.busy_s for each in counters])
    if name in ("a1", "target-only"):
        cut = any(call.end == "cancelled" for call in calls)
        assert cut == (parameters.early_stop or parameters.optimistic)
