"""What every engine promises (`a1_trt.engine.Engine`), tested on each of them alike."""

from __future__ import annotations

import asyncio
import math

import pytest

from a1_trt.engine import Generation
from a1_trt.errors import A1Error, ContextLengthError, EngineError

pytestmark = pytest.mark.contract
TEXT = "12 + 30 = 42\n7 * 6 = 42\n100 - 58 = 42\n" * 4
TOLERANCE = 1e-3


@pytest.fixture
def tokens(subject):
    return subject.encode(TEXT)


def test_a_score_has_one_log_prob_for_each_token(subject, tokens):
    for n_prompt, n_segment in [(1, 1), (1, 40), (5, 31), (31, 1), (32, 32), (33, 2), (64, 33)]:
        values = subject.run(subject.engine.score(tokens[:n_prompt], tokens[n_prompt : n_prompt + n_segment]))
        assert len(values) == n_segment
        assert all(math.isfinite(value) and value <= 0 for value in values)


def test_a_score_does_not_depend_on_what_was_asked_before(subject):
    tokens = subject.encode("90 - 3 * 2\n" + TEXT)[:70]

    async def scenario():
        engine = await subject.open()
        try:
            whole = await engine.score(tokens[:1], tokens[1:])
        finally:
            await engine.aclose()
        for width in (1, 7, 16, 31, 32, 33):  # turn after turn, as a chain grows
            pieces = []
            for start in range(1, len(tokens), width):
                pieces += await subject.engine.score(tokens[:start], tokens[start : start + width])
            assert pieces == pytest.approx(whole, abs=TOLERANCE)

    subject.run(scenario())


def test_a_score_does_not_depend_on_what_else_is_in_flight(subject, tokens):
    """Engines have been seen to read a score from the wrong rows as soon as another sequence is decoding."""
    spans = [(tokens[: 20 + i], tokens[20 + i : 50 + 2 * i]) for i in range(6)]

    async def alone():
        engine = await subject.open()
        try:
            return [await engine.score(*span) for span in spans]
        finally:
            await engine.aclose()

    async def beside_writing():
        writing = [
            asyncio.create_task(subject.engine.generate(tokens[:9], max_tokens=60, temperature=1.5, seed=seed))
            for seed in range(8)
        ]
        scores = []
        for span in spans:  # spread over the time in which the others decode
            await asyncio.sleep(0.005)
            scores.append(await subject.engine.score(*span))
        together = await asyncio.gather(*(subject.engine.score(*span) for span in spans))
        await asyncio.gather(*writing)
        return scores, together

    wanted = subject.run(alone())
    for scores in subject.run(beside_writing()):
        for got, want in zip(scores, wanted, strict=True):
            assert got == pytest.approx(want, abs=TOLERANCE)


def test_the_same_segment_scores_the_same_again(subject, tokens):
    async def scenario():
        first = await subject.engine.score(tokens[:20], tokens[20:60])
        again = await subject.engine.score(tokens[:20], tokens[20:60])
        together = await asyncio.gather(*(subject.engine.score(tokens[:20], tokens[20:60]) for _ in range(5)))
        for values in [again, *together]:
            assert values == pytest.approx(first, abs=TOLERANCE)

    subject.run(scenario())


def test_segments_that_begin_alike_score_alike_up_to_there(subject):
    tokens = subject.encode("44 + 1\n" + TEXT)
    other = tokens[80:81]

    async def scenario():
        for n_common in (1, 20, 31, 32, 33, 50):
            one = await subject.engine.score(tokens[:10], tokens[10 : 10 + n_common + 8])
            two = await subject.engine.score(tokens[:10], tokens[10 : 10 + n_common] + other)
            assert len(two) == n_common + 1
            assert two[:n_common] == pytest.approx(one[:n_common], abs=TOLERANCE)

    subject.run(scenario())


def test_a_returned_score_may_be_changed(subject, tokens):
    async def scenario():
        first = await subject.engine.score(tokens[:9], tokens[9:30])
        kept = list(first)
        first.clear()
        assert await subject.engine.score(tokens[:9], tokens[9:30]) == pytest.approx(kept, abs=TOLERANCE)

    subject.run(scenario())


def test_all_next_tokens_have_a_probability_and_greedy_takes_the_largest(subject, tokens):
    if subject.vocabulary is None:
        pytest.skip("not a language model")

    async def scenario():
        prompt = tokens[:24]
        written = await subject.engine.generate(prompt, max_tokens=1, temperature=0.0, seed=0)
        scores = await asyncio.gather(*(subject.engine.score(prompt, [t]) for t in range(subject.vocabulary)))
        (token,) = written.token_ids
        assert scores[token][0] == pytest.approx(max(value for (value,) in scores), abs=TOLERANCE)
        assert sum(math.exp(value) for (value,) in scores) == pytest.approx(1.0, abs=1e-3)

    subject.run(scenario())


def test_sampling_follows_the_scored_probabilities(subject, tokens):
    if subject.vocabulary is None:
        pytest.skip("not a language model")
    prompt, n = subject.encode("12 + "), 600

    async def scenario():
        draws = await asyncio.gather(
            *(subject.engine.generate(prompt, max_tokens=1, temperature=1.0, seed=seed) for seed in range(n))
        )
        seen = [draw.token_ids[0] for draw in draws if draw.token_ids]
        favourite = max(set(seen), key=seen.count)
        (value,) = await subject.engine.score(prompt, [favourite])
        probability = math.exp(value)
        spread = math.sqrt(n * probability * (1 - probability))
        assert abs(seen.count(favourite) - n * probability) < 5 * spread + 1

    subject.run(scenario())


def _generate(subject, tokens, *seeds, temperature=1.0, max_tokens=24) -> list[Generation]:
    async def scenario():
        return await asyncio.gather(
            *(
                subject.engine.generate(tokens[:12], max_tokens=max_tokens, temperature=temperature, seed=seed)
                for seed in seeds
            )
        )

    return subject.run(scenario())


def test_the_same_seed_writes_the_same_alone_and_in_a_batch(subject, tokens):
    seeds = [3, 2**32 + 3, 2**62 + 1, *range(10, 18)]
    alone = [_generate(subject, tokens, seed)[0] for seed in seeds]
    assert _generate(subject, tokens, *seeds) == alone


def test_other_seeds_write_other_tokens(subject, tokens):
    written = _generate(subject, tokens, *range(20), 2**40)
    assert len({generation.token_ids for generation in written}) > 1


def test_greedy_ignores_the_seed(subject, tokens):
    assert len(set(_generate(subject, tokens, 1, 2, 3, temperature=0.0))) == 1


def test_no_more_than_max_tokens_are_written(subject, tokens):
    for max_tokens in (1, 2, 17):
        for written in _generate(subject, tokens, *range(8), max_tokens=max_tokens):
            assert len(written.token_ids) <= max_tokens
            assert written.ended or len(written.token_ids) == max_tokens


def test_a_text_that_ends_does_so_wherever_the_limit_is(subject, tokens):
    for seed, long in enumerate(_generate(subject, tokens, *range(12), max_tokens=60)):
        if long.ended:
            assert _generate(subject, tokens, seed, max_tokens=len(long.token_ids) + 1) == [long]


@pytest.mark.parametrize("verb", ["generate", "score"])
def test_what_does_not_fit_the_context_is_refused(subject, tokens, verb):
    limit = subject.engine.max_context_tokens
    long = (tokens * (limit // len(tokens) + 1))[:limit]
    call = (
        subject.engine.generate(long, max_tokens=1, temperature=0.0, seed=0)
        if verb == "generate"
        else subject.engine.score(long[:-5], long[:6])
    )
    with pytest.raises(ContextLengthError) as caught:
        subject.run(call)
    assert str(limit) in caught.value.message
    assert caught.value.field
    assert caught.value.remedy


def test_a_prompt_up_to_the_edge_of_the_context_is_taken(subject, tokens):
    limit = min(subject.engine.max_context_tokens, 4096)
    long = (tokens * (limit // len(tokens) + 1))[:limit]

    async def scenario():
        written = await subject.engine.generate(long[:-1], max_tokens=1, temperature=0.0, seed=0)
        assert written.ended or len(written.token_ids) == 1
        assert len(await subject.engine.score(long[:-9], long[-9:])) == 9

    subject.run(scenario())


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("prompt", lambda engine, ids: engine.generate([], max_tokens=4, temperature=0.0, seed=0)),
        ("prompt", lambda engine, ids: engine.score([], ids)),
        ("segment", lambda engine, ids: engine.score(ids, [])),
        ("max_tokens", lambda engine, ids: engine.generate(ids, max_tokens=0, temperature=0.0, seed=0)),
    ],
)
def test_nothing_to_work_on_is_refused(subject, tokens, field, call):
    with pytest.raises(A1Error) as caught:
        subject.run(call(subject.engine, tokens[:3]))
    assert caught.value.field == field
    assert caught.value.remedy


def test_many_calls_at_once_all_complete(subject, tokens):
    async def scenario():
        writing = [
            subject.engine.generate(tokens[: 5 + i % 40], max_tokens=1 + i % 30, temperature=0.9, seed=i)
            for i in range(40)
        ]
        scoring = [subject.engine.score(tokens[: 1 + i], tokens[1 + i : 12 + 2 * i]) for i in range(20)]
        outcomes = await asyncio.gather(*writing, *scoring)
        assert [len(outcome) for outcome in outcomes[40:]] == [11 + i for i in range(20)]

    subject.run(scenario())


def test_cancelling_frees_the_slots(subject, tokens):
    async def scenario():
        room = subject.engine.max_context_tokens - 12
        calls = [
            asyncio.ensure_future(
                subject.engine.generate(tokens[:12], max_tokens=min(room, 400), temperature=1.0, seed=seed)
            )
            for seed in range(100)
        ]
        await asyncio.sleep(0.01)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        written = await subject.engine.generate(tokens[:12], max_tokens=3, temperature=0.0, seed=0)
        assert written.ended or len(written.token_ids) == 3
        async with asyncio.timeout(60):
            while subject.in_flight():
                await asyncio.sleep(0.001)
        return sum(call.cancelled() for call in calls)

    assert subject.run(scenario()) > 0


def test_a_cancelled_call_leaves_the_others_alone(subject, tokens):
    expected = _generate(subject, tokens, *range(0, 12, 2))

    async def scenario():
        calls = [
            asyncio.ensure_future(subject.engine.generate(tokens[:12], max_tokens=24, temperature=1.0, seed=seed))
            for seed in range(12)
        ]
        await asyncio.sleep(0)
        for call in calls[1::2]:
            call.cancel()
        return await asyncio.gather(*calls[::2])

    assert subject.run(scenario()) == expected


def test_closing_twice_does_nothing_more(subject, tokens):
    async def scenario():
        engine = await subject.open()
        await engine.generate(tokens[:4], max_tokens=2, temperature=0.0, seed=0)
        await engine.aclose()
        await engine.aclose()

    subject.run(scenario())


def test_a_call_after_closing_is_a_typed_error(subject, tokens):
    async def scenario():
        engine = await subject.open()
        await engine.aclose()
        with pytest.raises(EngineError):
            await engine.generate(tokens[:4], max_tokens=2, temperature=0.0, seed=0)
        with pytest.raises(EngineError):
            await engine.score(tokens[:4], tokens[4:6])

    subject.run(scenario())


def test_closing_fails_what_is_in_flight_rather_than_hanging(subject, tokens):
    async def scenario():
        engine = await subject.open()
        calls = [
            asyncio.ensure_future(engine.generate(tokens[:12], max_tokens=400, temperature=1.0, seed=seed))
            for seed in range(40)
        ]
        await asyncio.sleep(0)  # they begin; nobody can have an answer before this task waits again
        await engine.aclose()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(outcome, Generation | EngineError) for outcome in outcomes)
        assert any(isinstance(outcome, EngineError) for outcome in outcomes)

    subject.run(scenario())


def test_text_survives_encoding(subject):
    tokenizer = subject.engine.tokenizer
    for text in ("12 + 30", " leading", "trailing \n", "\n\n", "a  b", "x = 7; y = x * x"):
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        for cut in range(len(ids) + 1):
            assert tokenizer.decode(ids[:cut]) + tokenizer.decode(ids[cut:]) == text
