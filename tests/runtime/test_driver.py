"""Scheduler and driver in virtual time, on engines that the test scripts."""

import asyncio
from dataclasses import dataclass, field
from itertools import count

import pytest

from a1_trt.config import make_pair
from a1_trt.engine import Generation
from a1_trt.errors import CalibrationError, ContextLengthError, EngineError, EngineTimeout, EngineUnavailable
from a1_trt.requests import make_parameters
from a1_trt.runtime.calibration import read_log
from a1_trt.runtime.driver import _first_surprise, trim_partial_character
from a1_trt.runtime.session import Session, open_session
from a1_trt.runtime.virtual_time import run
from a1_trt.types import Parameters, Problem, ProblemFinished, SampleEnd, SegmentScored
from tests.doubles.simulated import SimulatedEngine
from tests.runtime.test_ledger import Letters

BOX = "\\boxed{%d}"


@dataclass
class Scripted:
    """An engine whose calls take the seconds and do what `script(verb, text, seed)` says."""

    script: object
    tokenizer: Letters = field(default_factory=Letters)
    max_context_tokens: int = 10_000
    running: int = 0
    peak: int = 0
    cancelled: int = 0
    log: list = field(default_factory=list)
    closed: bool = False

    async def _act(self, verb, prompt, seed=0):
        self.running += 1
        self.peak = max(self.peak, self.running)
        text = self.tokenizer.decode(prompt)
        try:
            seconds, outcome = self.script(verb, text, seed)
            self.log.append((asyncio.get_running_loop().time(), verb, text))
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def generate(self, prompt, *, max_tokens, temperature, seed):
        text = await self._act("generate", prompt, seed)
        return Generation(tuple(self.tokenizer.encode(text)[:max_tokens]), ended="boxed" in text)

    async def score(self, prompt, segment):
        value = await self._act("score", [*prompt, *segment])
        return [value] * len(segment)

    async def aclose(self):
        self.closed = True


def pair(**sections):
    document = {
        "name": "scripted",
        "draft": {"model": "d", "max_in_flight": 64},
        "target": {"model": "t", "max_in_flight": 64},
        "conformal": {"alpha": 0.3, "category": "none"},
    }
    return make_pair({**document, **sections})


def solve(draft, target, *, problem="Q", config=None, **parameters):
    async def main():
        async with Session(config or pair(), {"draft": draft, "target": target}, call_timeout_s=100.0) as session:
            return await session.solve(Problem(problem), make_parameters(session.pair.parameters(), **parameters))

    return run(main())


def answering(seconds=1.0, answer=1):
    return Scripted(lambda verb, text, seed: (seconds, BOX % answer if verb == "generate" else -0.1))


def test_samples_run_side_by_side_and_vote():
    result = solve(answering(2.0, 7), answering(), n_samples=8, early_stop=False)
    assert result.votes == (("7", 8),)
    assert result.wall_s == 2.0


def uneven(verb, text, seed):
    """Drafts of very different length: one sample in three is ten times slower."""
    if verb == "score":
        return 0.5, -0.1
    done = text.count("x")
    return (10.0 if seed % 3 == 0 else 1.0), ("x" if done < 3 else BOX % 1)


def test_the_barrier_costs_what_the_slowest_sample_costs():
    walls = {
        admission: solve(
            Scripted(uneven), Scripted(uneven), n_samples=12, early_stop=False, admission=admission, draft_tokens=9
        ).wall_s
        for admission in ("async", "barrier")
    }
    assert walls["async"] < walls["barrier"]


def test_admission_does_not_change_what_is_written_or_decided_when_calibration_is_fixed():
    fixed = pair(conformal={"alpha": 0.3, "category": "none", "controller": "static"})
    texts = {}
    for admission in ("async", "barrier"):
        result = solve(
            Scripted(uneven), Scripted(uneven), config=fixed, n_samples=6, early_stop=False, admission=admission
        )
        texts[admission] = [(each.text, [turn.takeover for turn in each.turns]) for each in result.trajectories]
    assert texts["async"] == texts["barrier"]


def test_limits_of_calls_in_flight_hold_over_all_problems():
    draft, target = Scripted(uneven), Scripted(uneven)
    config = pair(draft={"model": "d", "max_in_flight": 5}, target={"model": "t", "max_in_flight": 2})

    async def main():
        async with Session(config, {"draft": draft, "target": target}) as session:
            parameters = make_parameters(session.pair.parameters(), n_samples=6)
            return await asyncio.gather(*(session.solve(Problem("Q", id=str(n)), parameters) for n in range(5)))

    results = run(main())
    assert len(results) == 5
    assert draft.peak == 5
    assert target.peak <= 2


def test_a_settled_vote_cancels_calls_in_flight_on_the_engine():
    calls = count()

    def slow_third(verb, text, seed):
        return (1.0 if next(calls) < 2 else 1000.0), BOX % 3

    draft = Scripted(slow_third)
    result = solve(draft, answering(), n_samples=3)
    assert result.answer == "3"
    assert result.wall_s == 1.0
    assert draft.cancelled == 1
    assert draft.running == 0


@pytest.mark.parametrize("outcome", [EngineError("broken"), RuntimeError("a bug in an adapter")])
def test_an_engine_that_fails_harms_only_its_calls(outcome):
    calls = count()

    def script(verb, text, seed):
        return 1.0, (outcome if next(calls) == 0 else BOX % 2)

    result = solve(Scripted(script), answering(), n_samples=3, early_stop=False)
    assert [each.end for each in result.trajectories].count(SampleEnd.FAILED) == 1
    assert result.answer == "2"


def test_a_passing_fault_is_tried_again_with_the_same_seed():
    seeds = []

    def script(verb, text, seed):
        seeds.append(seed)
        return 1.0, (EngineUnavailable("restarting") if len(seeds) < 3 else BOX % 2)

    assert solve(Scripted(script), answering(), n_samples=1).answer == "2"
    assert len(set(seeds)) == 1
    assert len(seeds) == 3


def test_an_engine_that_hangs_is_given_up():
    with pytest.raises(EngineTimeout):
        solve(Scripted(lambda verb, text, seed: (1e9, "")), answering(), n_samples=2)


def test_when_every_sample_fails_the_first_error_is_raised():
    with pytest.raises(ContextLengthError) as caught:
        solve(Scripted(uneven, max_context_tokens=1), answering(), problem="long")
    assert caught.value.field == "problem"
    with pytest.raises(EngineError, match="broken"):
        solve(Scripted(lambda *_: (1.0, EngineError("broken"))), answering())


def test_a_chain_that_fills_the_context_ends_there():
    draft = Scripted(lambda verb, text, seed: (1.0, "xxxx"), max_context_tokens=10)
    result = solve(draft, answering(), n_samples=1, draft_tokens=4, alpha=1e-9)
    assert result.trajectories[0].end is SampleEnd.EXHAUSTED


def test_leaving_a_stream_stops_all_work_of_that_problem_and_no_other():
    draft, target = Scripted(uneven), Scripted(uneven)

    async def main():
        async with Session(pair(), {"draft": draft, "target": target}) as session:
            other = asyncio.create_task(session.solve(Problem("other", id="other")))
            async for event in (stream := session.stream(Problem("mine", id="mine"))):
                if isinstance(event, SegmentScored):
                    break
            await stream.aclose()
            await asyncio.sleep(0)
            mine = [text for _, verb, text in draft.log if "mine" in text]
            result = await other
            await asyncio.sleep(0.001)  # calls that the settled vote cancelled are still coming back
            assert [text for _, verb, text in draft.log if "mine" in text] == mine
            assert session.snapshot()["calls_in_flight"] == {"draft": 0, "target": 0}
            return result

    assert run(main()).answer == "1"


def test_cancelling_a_task_that_solves_stops_its_work():
    draft = Scripted(lambda *_: (100.0, "x"))

    async def main():
        async with Session(pair(), {"draft": draft, "target": answering()}) as session:
            task = asyncio.create_task(session.solve(Problem("Q")))
            await asyncio.sleep(1.0)
            assert draft.running == 16
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0.001)
            assert draft.running == 0
            assert draft.cancelled == 16

    run(main())


def test_closing_a_session_stops_everything_and_closes_the_engines():
    draft, target = Scripted(lambda *_: (100.0, "x")), answering()

    async def main():
        session = Session(pair(), {"draft": draft, "target": target})
        task = asyncio.create_task(session.solve(Problem("Q"), make_parameters(session.pair.parameters(), n_samples=2)))
        await asyncio.sleep(1.0)
        await session.aclose()
        await session.aclose()
        result = await task
        assert {each.end for each in result.trajectories} == {SampleEnd.CANCELLED}
        with pytest.raises(EngineUnavailable):
            await session.solve(Problem("Q"))

    run(main())
    assert draft.closed
    assert draft.running == 0


def test_the_same_seed_gives_the_same_timeline():
    def timeline():
        draft, target = Scripted(uneven), Scripted(uneven)
        result = solve(draft, target, n_samples=8, seed=3)
        return draft.log, target.log, result

    assert timeline() == timeline()


def test_draft_and_target_may_have_different_tokenizers():
    draft, target = Scripted(uneven, tokenizer=Letters(5)), Scripted(uneven, tokenizer=Letters(900))
    result = solve(draft, target, n_samples=2)
    assert result.answer == "1"
    assert {verb for _, verb, _ in target.log} >= {"score"}


def test_the_metrics_count_what_happened():
    draft, target = Scripted(uneven), Scripted(uneven)

    async def main():
        async with Session(pair(), {"draft": draft, "target": target}) as session:
            parameters = make_parameters(session.pair.parameters(), n_samples=4, early_stop=False)
            events = [event async for event in session.stream(Problem("Q"), parameters)]
            return events, session.snapshot()

    events, totals = run(main())
    usage = events[-1].result.usage
    assert isinstance(events[-1], ProblemFinished)
    assert totals["scored"] == usage.n_scored == sum(totals["p_value_counts"])
    assert totals["takeovers"] == usage.n_takeovers
    assert totals["tokens"] == {"draft": usage.draft_tokens, "target": usage.target_tokens}
    assert totals["calibration_size"] == usage.n_scored
    assert totals["samples"]["answered"] == 4


class Bytes(Letters):
    """A tokenizer with a token a byte, as byte-level BPE may have."""

    def encode(self, text, *, special=False):
        return list(text.encode())

    def decode(self, token_ids):
        return bytes(token_ids).decode(errors="replace")


@pytest.mark.parametrize("letter", ["e", "é", "€", "𝄞"])
def test_a_character_that_the_token_limit_cuts_is_left_to_the_next_turn(letter):
    def script(verb, text, seed):
        return 1.0, (-0.1 if verb == "score" else (letter * 3 if letter * 2 not in text else BOX % 1))

    draft = Scripted(script, tokenizer=Bytes())
    result = solve(draft, Scripted(script, tokenizer=Letters()), n_samples=1, draft_tokens=7, alpha=1e-9)
    assert "\ufffd" not in result.trajectories[0].text
    assert letter in result.trajectories[0].text


class Doubting(Scripted):
    """Finds the last token of everything it scores strange."""

    async def score(self, prompt, segment):
        await self._act("score", [*prompt, *segment])
        return [-0.1] * (len(segment) - 1) + [-9.0]


def rejected(draft_tokenizer, target_tokenizer):
    """The target's prompts, and the segment that it went on from, of one sample whose draft is never believed."""
    draft = Scripted(lambda verb, text, seed: (1.0, "3€"), tokenizer=draft_tokenizer)
    target = Doubting(lambda verb, text, seed: (1.0, BOX % 1), tokenizer=target_tokenizer)
    result = solve(draft, target, n_samples=1, alpha=1 - 1e-9, takeover_from="first_surprise")
    return [text for _, verb, text in target.log if verb == "generate"], result.trajectories[0].turns[0].segments[0]


def test_what_stands_of_a_rejected_segment_keeps_its_ids_where_both_models_know_them():
    prompts, shortened = rejected(Bytes(), Bytes())
    assert (shortened.text, shortened.token_ids) == ("3", (ord("3"),))  # nor is a character cut in two
    assert prompts[0].endswith("3")
    prompts, shortened = rejected(Letters(5), Letters(900))
    assert (shortened.text, shortened.token_ids) == ("3", ())
    assert prompts[0].endswith("3")


def test_a_character_that_is_no_cut_is_kept():
    assert trim_partial_character(Bytes(), (0xFF,) * 9) == ((0xFF,) * 9, "\ufffd" * 9)
    assert trim_partial_character(Bytes(), ()) == ((), "")


def test_a_pair_goes_on_from_stored_decisions_and_keeps_its_own(tmp_path):
    def at(**said):
        conformal = {"category": "none", "calibration": "kept.jsonl", **said}
        roles = {role: {"model": role} for role in ("draft", "target")}
        return make_pair({"name": "p", **roles, "conformal": conformal}, tmp_path / "pair.toml")

    async def decided(config):
        engines = {"draft": SimulatedEngine("draft"), "target": SimulatedEngine("target")}
        session = await open_session(config, engines=engines)
        async with session:
            before = len(session.controller)
            await session.solve(Problem("Q"), Parameters(n_samples=3, max_turns=2))
            return before, len(session.controller)

    with pytest.raises(CalibrationError, match="cannot be read"):
        run(decided(at()))
    start, first = run(decided(at(keep=True)))
    assert start == 0 < first
    again, second = run(decided(at(keep=True)))
    assert again == first < second
    assert run(decided(at()))[0] == second
    assert len(read_log(tmp_path / "kept.jsonl")) == second
    assert run(decided(at(controller="growing", store="histogram")))[0] == second
    with pytest.raises(CalibrationError, match="category"):
        run(decided(at(category="turn")))


@pytest.mark.parametrize(
    ("values", "index"),
    [((-0.1, -5.0, -0.2), 1), ((-0.1, -3.0, -6.0), 1), ((-0.1, -2.9, -6.0), 2), ((-1.0,), 0), ((0.0, 0.0), 0)],
)
def test_the_first_surprise_is_half_as_bad_as_the_worst(values, index):
    assert _first_surprise(values) == index


def test_every_request_is_told_of_with_its_call_its_tokens_and_how_it_ended():
    attempts = count()

    def draft(verb, text, seed):
        return (1.0, EngineUnavailable("busy")) if next(attempts) == 0 else (2.0, "some text")

    def target(verb, text, seed):
        return (1000.0, "") if verb == "generate" else (3.0, -1.0)

    requests, engines = [], {"draft": Scripted(draft), "target": Scripted(target)}

    async def main():
        async with Session(
            pair(), engines, on_call=requests.append, closes_engines=False, call_timeout_s=10.0
        ) as session:
            parameters = make_parameters(session.pair.parameters(), n_samples=1, alpha=0.999)
            with pytest.raises(EngineTimeout):
                await session.solve(Problem("Q"), parameters)

    run(main())
    seen = [
        (r.call.kind, r.end, r.n_new_tokens, r.n_scored_tokens, round(r.ended_s - r.started_s, 9)) for r in requests
    ]
    assert seen == [
        ("draft", "failed", 0, 0, 1.0),
        ("draft", "done", 9, 0, 2.0),
        ("score", "done", 0, 9, 3.0),
        ("takeover", "cancelled", 0, 0, 10.0),
    ]
    assert all(r.call.key.problem == 0 and r.n_prompt_tokens > 0 for r in requests)
    assert not any(engine.closed for engine in engines.values())
