"""The reasoning in a stream is that of real chains, also where a takeover shortens what was written."""

from __future__ import annotations

import pytest

from a1_trt.openai_server.stream import _OUTVOTED

PROBLEM = "a = 15, b = a-42, c = b+7, d = c-b, e = d*8. What is e modulo 100?"


def streamed(endpoint, **a1) -> tuple[str, dict]:
    stream = endpoint.openai().chat.completions.create(
        model="reference",
        messages=[{"role": "user", "content": PROBLEM}],
        stream=True,
        extra_body={"a1": {"n_samples": 4, "trajectories": True, **a1}},
    )
    reasoning = ""
    for chunk in stream:
        reasoning += (chunk.choices[0].delta.model_extra or {}).get("reasoning_content", "")
        said = (chunk.model_extra or {}).get("a1")
    assert said is not None
    return reasoning, said


@pytest.mark.parametrize("seed", range(6))
def test_reasoning_is_a_chain_and_an_outvoted_one_is_followed_by_the_winner(reference, seed: int) -> None:
    reasoning, said = streamed(reference, seed=seed, alpha=0.6, draft_tokens=24, temperature=1.2)
    texts = {
        "".join(part["text"] for turn in chain["turns"] for part in turn["segments"]): chain["answer"]
        for chain in said["trajectories"]
    }
    *outvoted, last = reasoning.split(_OUTVOTED)
    if said["answer"] is not None:
        assert last in texts
        assert texts[last] is not None
    for text in outvoted:
        assert any(each.startswith(text) for each in texts)
