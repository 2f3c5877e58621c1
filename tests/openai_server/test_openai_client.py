"""What the real client of OpenAI gets, from the reference pair over a real socket."""

from __future__ import annotations

import openai
import pytest

from a1_trt.core.reasoning import boxed, normalise

PROBLEM = "a = 3, b = a+4, c = b*2. What is c modulo 100?"
MESSAGES = [{"role": "user", "content": PROBLEM}]


def test_an_answer_comes_with_its_votes_and_a_chain_that_leads_to_it(reference) -> None:
    done = reference.openai().chat.completions.create(model="reference", messages=MESSAGES, seed=1)
    (choice,) = done.choices
    said = done.model_extra["a1"]
    votes = [tuple(vote) for vote in said["votes"]]
    assert choice.finish_reason == "stop"
    assert choice.message.content == said["answer"] == votes[0][0]
    assert normalise(boxed(choice.message.model_extra["reasoning_content"])) == choice.message.content
    assert sum(count for _, count in votes) <= said["n_samples"] == 16
    assert max(count for _, count in votes) == votes[0][1]


def test_usage_adds_up_by_role(reference) -> None:
    done = reference.openai().chat.completions.create(
        model="reference", messages=MESSAGES, seed=2, extra_body={"a1": {"alpha": 0.5, "n_samples": 8}}
    )
    by_role = done.model_extra["a1"]["usage"]
    written = by_role["draft"]["generated_tokens"] + by_role["target"]["generated_tokens"]
    assert done.usage.completion_tokens == written > 0
    assert done.usage.total_tokens == done.usage.prompt_tokens + written
    assert done.usage.prompt_tokens > 0
    assert by_role["target"]["scored_tokens"] > 0
    assert done.model_extra["a1"]["rejection_rate"] == by_role["n_takeovers"] / by_role["n_scored"]


def test_a_stream_holds_what_the_whole_response_would(reference) -> None:
    stream = reference.openai().chat.completions.create(
        model="reference", messages=MESSAGES, seed=3, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    with_choices, last = chunks[:-1], chunks[-1]
    content = "".join(chunk.choices[0].delta.content or "" for chunk in with_choices)
    reasoning = "".join(
        (chunk.choices[0].delta.model_extra or {}).get("reasoning_content", "") for chunk in with_choices
    )
    said = with_choices[-1].model_extra["a1"]
    assert with_choices[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in with_choices if chunk.choices[0].finish_reason] == ["stop"]
    assert content == said["answer"]
    assert normalise(boxed(reasoning)) == content
    assert last.choices == []
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens
    assert len({chunk.id for chunk in chunks}) == 1


def test_reasoning_is_streamed_before_the_vote_is_settled(simulated) -> None:
    """Samples that go on for ever: only what is streamed before the end can be seen at all."""
    endpoint = simulated(score_answers=False)
    stream = endpoint.openai().chat.completions.create(
        model="simulated", messages=MESSAGES, stream=True, extra_body={"a1": {"n_samples": 512, "early_stop": False}}
    )
    for chunk in stream:
        if (chunk.choices[0].delta.model_extra or {}).get("reasoning_content"):
            break
    assert endpoint.n_calls() > 0
    stream.close()
    endpoint.wait_until(busy=False)


def test_no_usage_in_a_stream_that_did_not_ask_for_it(reference) -> None:
    stream = reference.openai().chat.completions.create(model="reference", messages=MESSAGES, stream=True)
    assert all(chunk.usage is None and chunk.choices for chunk in stream)


def reasonings(done, n: int, *, stream: bool) -> list[str]:
    """The reasoning of each choice."""
    if not stream:
        assert [choice.index for choice in done.choices] == list(range(n))
        return [choice.message.model_extra["reasoning_content"] for choice in done.choices]
    found = [""] * n
    for chunk in done:
        for choice in chunk.choices:
            found[choice.index] += (choice.delta.model_extra or {}).get("reasoning_content", "")
    return found


@pytest.mark.parametrize("stream", [False, True])
def test_n_choices_are_all_of_n_samples(reference, stream: bool) -> None:
    done = reference.openai().chat.completions.create(
        model="reference", messages=MESSAGES, n=6, seed=4, temperature=2.5, stream=stream, max_tokens=128
    )
    found = reasonings(done, 6, stream=stream)
    assert len(set(found)) > 1
    if not stream:
        # A chain that ended without an answer has its text as content and no reasoning.
        chains = [choice.message for choice in done.choices if choice.message.model_extra["reasoning_content"]]
        answers = [normalise(chain.content) for chain in chains if chain.content]
        said = done.model_extra["a1"]
        assert said["n_samples"] == 6
        assert {answer: answers.count(answer) for answer in answers} == dict(said["votes"])
        assert answers[0] == said["answer"]


def test_fewer_choices_than_samples_are_those_that_the_vote_prefers(reference) -> None:
    done = reference.openai().chat.completions.create(
        model="reference", messages=MESSAGES, n=2, seed=4, extra_body={"a1": {"n_samples": 8}}
    )
    said = done.model_extra["a1"]
    assert said["n_samples"] == 8
    (answer, count), *_ = said["votes"]
    assert [choice.message.content for choice in done.choices][: min(2, count)] == [answer] * min(2, count)


def test_a_seed_repeats_the_samples_and_without_one_they_differ(reference) -> None:
    client = reference.openai()

    def texts(**fields) -> list[str]:
        done = client.chat.completions.create(
            model="reference",
            messages=MESSAGES,
            temperature=3.0,
            max_tokens=60,
            extra_body={"a1": {"n_samples": 4, "strategy": "draft_only"}},
            n=4,
            **fields,
        )
        return sorted(choice.message.model_extra["reasoning_content"] for choice in done.choices)

    assert texts(seed=5) == texts(seed=5) != texts(seed=6)
    assert texts() != texts()


def test_max_tokens_bounds_every_chain(reference) -> None:
    done = reference.openai().chat.completions.create(
        model="reference",
        messages=MESSAGES,
        max_completion_tokens=10,
        extra_body={"a1": {"n_samples": 2, "trajectories": True}},
    )
    for chain in done.model_extra["a1"]["trajectories"]:
        assert sum(part["n_tokens"] for turn in chain["turns"] for part in turn["segments"]) <= 10
    assert done.choices[0].finish_reason == "length"
    assert done.model_extra["a1"]["max_chain_tokens"] == 10


@pytest.mark.parametrize("a1", [{"strategy": "draft_only"}, {"draft_tokens": 8, "max_turns": 100, "alpha": 1e-9}])
def test_a_chain_may_use_all_of_max_tokens(reference, a1: dict) -> None:
    """With hardly any takeover all is the draft's, so the chains are the same however the others' scores come."""

    def answered(max_tokens: int | None) -> tuple[str | None, str, int]:
        done = reference.openai().chat.completions.create(
            model="reference",
            messages=MESSAGES,
            seed=3,
            max_tokens=max_tokens,
            extra_body={"a1": {**a1, "n_samples": 1, "trajectories": True}},
        )
        (chain,) = done.model_extra["a1"]["trajectories"]
        n_tokens = sum(part["n_tokens"] for turn in chain["turns"] for part in turn["segments"])
        return done.choices[0].message.content, done.choices[0].finish_reason, n_tokens

    content, reason, n_tokens = answered(None)
    assert content
    assert reason == "stop"
    assert answered(n_tokens) == answered(4 * n_tokens) == (content, reason, n_tokens)
    assert answered(n_tokens // 2) == ("", "length", n_tokens // 2)


def test_a_stop_sequence_ends_the_answer(reference) -> None:
    client = reference.openai()
    whole = client.chat.completions.create(model="reference", messages=MESSAGES, seed=7)
    answer = whole.choices[0].message.content
    assert len(answer) > 1
    cut = client.chat.completions.create(model="reference", messages=MESSAGES, seed=7, stop=[answer[1:]])
    assert cut.choices[0].message.content == answer[:1]


def test_the_model_is_listed_by_its_name(reference) -> None:
    client = reference.openai()
    assert [model.id for model in client.models.list()] == ["reference"]
    assert client.models.retrieve("reference").id == "reference"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4o")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}, "tools"),
        ({"logprobs": True}, "logprobs"),
        ({"top_p": 0.5}, "top_p"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"temperature": 9.0}, "temperature"),
        ({"n": 0}, "n"),
        ({"extra_body": {"a1": {"alpha": 1.5}}}, "a1.alpha"),
        ({"extra_body": {"a1": {"alpa": 0.5}}}, "a1.alpa"),
        ({"extra_body": {"a1": {"budget": 16}}}, "a1.budget"),
        ({"extra_body": {"top_k": 5}}, "top_k"),
    ],
)
def test_what_is_wrong_is_named(reference, fields, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        reference.openai().chat.completions.create(model="reference", messages=MESSAGES, **fields)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert reference.n_calls() == 0


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}],
        [{"role": "tool", "content": "4", "tool_call_id": "1"}],
        [{"role": "assistant", "content": "4"}],
        [{"role": "user", "content": "  "}],
        [],
    ],
)
def test_messages_that_are_no_problem(reference, messages) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        reference.openai().chat.completions.create(model="reference", messages=messages)
    assert caught.value.type == "invalid_request_error"


def test_parts_and_instructions_become_one_problem(reference) -> None:
    plain = [{"role": "system", "content": "Count."}, {"role": "user", "content": PROBLEM}]
    parts = [
        {"role": "developer", "content": "Count."},
        {"role": "user", "content": [{"type": "text", "text": PROBLEM}]},
    ]
    tokens = {
        reference.openai()
        .chat.completions.create(
            model="reference", messages=messages, extra_body={"a1": {"n_samples": 1}}, max_tokens=2
        )
        .usage.prompt_tokens
        for messages in (plain, parts)
    }
    assert len(tokens) == 1


def test_another_model_is_not_found(reference) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        reference.openai().chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert caught.value.code == "model_not_found"
