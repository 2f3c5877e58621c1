"""What must hold of every simulated run, whatever the workload, the engines and the strategy."""

import threading
import time
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a1_trt.simulate.engine_model import EngineCosts, EngineLimits
from a1_trt.simulate.fleet import EnginePlan
from a1_trt.simulate.list_scheduling import list_makespan_s
from a1_trt.simulate.simulation import STRATEGIES, Settings, open_load, simulate
from a1_trt.simulate.workload import Lengths, draw
from a1_trt.types import Parameters

ROLES = ("draft", "target")

COSTS = st.builds(
    EngineCosts,
    overhead_s=st.floats(1e-5, 1e-2),
    weights_s=st.floats(0, 1e-2),
    prefill_s_per_token=st.floats(1e-6, 1e-3),
    decode_s_per_token_sequence=st.floats(1e-6, 1e-3),
    kv_s_per_context_token=st.floats(0, 1e-6),
    s_per_pair=st.floats(0, 1e-8),
    s_per_logit_row=st.floats(0, 1e-5),
    sync_s=st.floats(0, 1e-3),
    sync_s_per_token=st.floats(0, 1e-6),
    prefill_launch_s=st.floats(0, 1e-2),
    shared_slowdown=st.floats(1, 3),
)


@st.composite
def plans(draw_):
    max_sequences = draw_(st.integers(1, 12))
    limits = EngineLimits(
        max_sequences=max_sequences,
        max_num_batched_tokens=max_sequences + draw_(st.integers(0, 200)),
        kv_blocks=draw_(st.integers(150, 1000)),
        block_tokens=draw_(st.integers(4, 32)),
        max_context_tokens=600,
        prefix_reuse=draw_(st.booleans()),
        logits_tokens=draw_(st.none() | st.integers(1, 2000)),
    )
    return EnginePlan(draw_(COSTS), limits, draw_(st.integers(1, 3)), draw_(st.integers(1, 20)))


RUNS = {
    "pair": st.tuples(plans(), plans()),
    "strategy": st.sampled_from(sorted(STRATEGIES)),
    "shape": st.tuples(st.integers(1, 4), st.integers(1, 5)),
    "seed": st.integers(0, 1000),
    "alpha": st.floats(0.05, 0.95),
    "coupling": st.sampled_from(["none", "shared"]),
    "changes": st.fixed_dictionaries(
        {
            "score_answers": st.booleans(),
            "early_stop": st.booleans(),
            "optimistic": st.booleans(),
            "exact_budget": st.booleans(),
            "takeover_from": st.sampled_from(["end", "first_surprise"]),
        }
    ),
    "max_takeovers": st.none() | st.integers(1, 4),
    "load": st.none() | st.floats(1, 1000),
}


def simulated(pair, strategy, shape, seed, alpha, coupling, changes, max_takeovers, load):
    workload = draw(*shape, seed, Lengths(prompt_tokens=20, median_tokens=80))
    parameters = Parameters(shape[1], 6, alpha=alpha, draft_tokens=30, target_tokens=30, seed=seed, **changes)
    controlled = {"controller": "published", "first_scores": [1.5, 1.6, 1.7]} if strategy == "published" else {}
    calls = []
    outcome = simulate(
        dict(zip(ROLES, pair, strict=True)),
        workload,
        Settings(
            parameters,
            strategy,
            coupling=coupling,
            max_takeovers=max_takeovers,
            arrivals=open_load(shape[0], load, seed) if load else None,
            **controlled,
        ),
        on_call=calls.append,
    )
    return workload, outcome, calls


@settings(max_examples=150, deadline=None)
@given(**RUNS)
def test_every_run_keeps_the_books(**said):
    workload, outcome, calls = simulated(**said)
    changes = {**said["changes"], **STRATEGIES[said["strategy"]].parameters}
    counts, tokens = outcome.tally.counts, outcome.engine_tokens

    # Every token is produced once, by an engine, for a call; every segment is scored once at most. What was cut short,
    # or ended at the very time at which its problem was settled, is in no problem's books.
    done = [call for call in calls if call.end == "done"]
    n_cut = {role: sum(call.role == role for call in calls) for role in ROLES}
    for role in ROLES:
        n_cut[role] -= counts["draft_calls"] if role == "draft" else counts["score_calls"] + counts["takeover_calls"]
        assert tokens[role]["generated"] == sum(call.n_new for call in calls if call.role == role)
        n_done = sum(call.n_new for call in done if call.role == role)
        assert n_done == counts[f"{role}_tokens"] if not n_cut[role] else n_done >= counts[f"{role}_tokens"]
        assert outcome.busy_s[role] <= outcome.makespan_s * (1 + 1e-9)
        assert outcome.peak_blocks[role] <= outcome.kv_blocks[role]
    if not changes["early_stop"]:
        assert all(call.kind == "draft" for call in calls if call.end == "cancelled"), "these are drafts ahead"
        assert n_cut["target"] == 0
    scored = Counter((call.problem, call.sample, call.turn) for call in calls if call.kind == "score")
    assert max(scored.values(), default=1) == 1
    n_scored = sum(call.n_scored for call in done)
    assert n_scored == counts["scored_tokens"] if not n_cut["target"] else n_scored >= counts["scored_tokens"]
    assert counts["n_scored"] >= counts["n_takeovers"]
    assert len(outcome.tally.sample_s) == workload.n_samples

    # A chain's calls come one after another; with drafts ahead, those of each role.
    chains = defaultdict(list)
    for call in calls:
        assert call.wanted_s <= call.started_s <= call.ended_s
        chains[call.problem, call.sample, call.role if changes["optimistic"] else ""].append(call)
    for chain in chains.values():
        for one, other in pairwise(chain):
            assert one.ended_s <= other.wanted_s

    assert outcome.lower_bound_s <= outcome.makespan_s * (1 + 1e-9)


@settings(max_examples=30, deadline=None)
@given(**RUNS)
def test_the_same_seed_gives_the_same_run_to_the_bit(**said):
    (_, one, first), (_, other, second) = simulated(**said), simulated(**said)
    assert {**one.document(), "wall_s": 0} == {**other.document(), "wall_s": 0}
    assert [(call.kind, call.started_s, call.ended_s) for call in first] == [
        (call.kind, call.started_s, call.ended_s) for call in second
    ]


def test_no_real_clock_is_read_but_to_say_how_long_it_took(monkeypatch):
    plans_ = {role: EnginePlan() for role in ROLES}
    usual = simulate(plans_, draw(4, 4, 1), Settings()).document()
    clock, here = iter(range(0, 10**9, 12345)), threading.get_ident()
    for name in ("time", "monotonic", "perf_counter"):
        real = getattr(time, name)  # which other threads go on to read
        monkeypatch.setattr(
            time, name, lambda real=real: float(next(clock)) if threading.get_ident() == here else real()
        )
    odd = simulate(plans_, draw(4, 4, 1), Settings()).document()
    assert odd.pop("wall_s") == 12345.0  # two readings: before and after
    assert usual.pop("wall_s") < 12345.0
    assert odd == usual


# --- more capacity ----------------------------------------------------------------------------------------------------

# Graham's anomalies need calls that wait for each other or batches that slow each other down. Independent chains in an
# engine whose iteration takes as long whatever is in it have none: the next chain starts no later with one more slot.
STEADY = EngineCosts(1e-3, 0.0, 0.0, 0.0, 0.0)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1000), slots=st.integers(1, 8), more=st.integers(1, 8), n=st.integers(1, 20))
def test_more_slots_never_hurt_independent_chains(seed, slots, more, n):
    def makespan(n_slots, n_engines=1):
        limits = EngineLimits(max_sequences=n_slots, kv_blocks=4096, max_context_tokens=4000, prefix_reuse=False)
        plan = EnginePlan(STEADY, limits, n_engines, 4096)
        workload = draw(n, 1, seed, Lengths(prompt_tokens=8, median_tokens=60))
        return simulate(dict.fromkeys(ROLES, plan), workload, Settings(Parameters(1), "target-only")).makespan_s

    assert makespan(slots + more) <= makespan(slots) * (1 + 1e-9)


@settings(max_examples=100, deadline=None)
@given(durations=st.lists(st.floats(0, 100), min_size=1, max_size=40), slots=st.integers(1, 10))
def test_list_scheduling_is_within_grahams_bounds(durations, slots):
    one, other = list_makespan_s(durations, slots), list_makespan_s(durations, slots + 1)
    bound = max(max(durations), sum(durations) / slots)
    assert other <= one + 1e-9
    assert bound - 1e-9 <= one <= (2 - 1 / slots) * bound + 1e-9


@pytest.mark.parametrize("strategy", ["a1", "target-only"])
def test_more_engines_shorten_a_long_queue(strategy):
    plan = EnginePlan(EngineCosts(), EngineLimits(max_sequences=8), 1, 8)
    workload = draw(12, 8, 3)

    def makespan(n):
        more = dict.fromkeys(ROLES, replace(plan, n_engines=n, max_in_flight=8 * n))
        return simulate(more, workload, Settings(strategy=strategy)).makespan_s

    assert makespan(4) < 0.5 * makespan(1)
