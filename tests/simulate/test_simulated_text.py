"""What the simulated model writes and thinks."""

import statistics

import pytest

from tests.doubles.simulated import CharacterTokenizer, RandomText


def chain(text, seed, max_tokens=300):
    ids, segments = text.tokenizer.encode("What is 6 * 7?"), []
    while not segments or not segments[-1].ended:
        segments.append(text.generate(ids, max_tokens=max_tokens, temperature=0.8, seed=seed))
        ids += segments[-1].token_ids
    return segments


def test_chains_answer_after_a_number_of_segments_drawn_from_the_seed():
    text = RandomText(segments=(2, 5), accuracy=0.5)
    chains = [chain(text, seed) for seed in range(200)]
    assert {len(segments) for segments in chains} == {2, 3, 4, 5}
    ends = [text.tokenizer.decode(segments[-1].token_ids).rpartition("\\boxed")[2] for segments in chains]
    assert set(ends) == {"{42}", "{41}", "{43}", "{7}"}
    assert 70 <= ends.count("{42}") <= 130
    assert all(len(segment.token_ids) == 300 for segments in chains for segment in segments[:-1])


def test_segments_have_the_lengths_asked_for():
    text = RandomText(segments=(3, 3), segment_tokens=100, spread=0.4)
    lengths = [len(segment.token_ids) for seed in range(200) for segment in chain(text, seed, 4000)[:-1]]
    assert statistics.median(lengths) == pytest.approx(100, abs=8)
    assert len(set(lengths)) > 50


def test_another_tokenizer_reads_the_same_chain():
    draft, target = RandomText(tokenizer=CharacterTokenizer("d")), RandomText(tokenizer=CharacterTokenizer("t"), seed=1)
    assert draft.tokenizer.fingerprint != target.tokenizer.fingerprint
    segments = chain(draft, 5)
    begun = "What is 6 * 7?" + "".join(draft.tokenizer.decode(segment.token_ids) for segment in segments[:-1])
    went_on = target.generate(target.tokenizer.encode(begun), max_tokens=300, temperature=0.8, seed=9)
    assert went_on.ended
    assert f"⟦{len(segments)}/{len(segments)} " in target.tokenizer.decode(went_on.token_ids)


def test_log_probs_depend_on_what_comes_before_only():
    text = RandomText()
    prompt = text.tokenizer.encode("What is 6 * 7?")
    first, second = (list(text.generate(prompt, max_tokens=80, temperature=1.0, seed=s).token_ids) for s in (1, 2))
    chained = first + second
    whole = text.score(prompt, chained)
    assert [*text.score(prompt, first), *text.score(prompt + first, second)] == whole
    for width in (1, 7, 50):
        pieces = [
            value
            for start in range(0, len(chained), width)
            for value in text.score(prompt + chained[:start], chained[start : start + width])
        ]
        assert pieces == whole


def test_a_mark_that_was_cut_short_does_not_confuse_the_scores():
    text = RandomText()
    prompt = text.tokenizer.encode("What is 6 * 7?")
    cut = list(text.generate(prompt, max_tokens=40, temperature=1.0, seed=1).token_ids[:6])
    segment = list(text.generate(prompt + cut, max_tokens=40, temperature=1.0, seed=2).token_ids)
    whole = text.score(prompt, cut + segment)
    for n_seen in (8, 20, 30):
        assert text.score(prompt + cut + segment[:n_seen], segment[n_seen:]) == whole[6 + n_seen :]


def test_segments_differ_in_perplexity():
    text = RandomText(nll=0.5, nll_spread=0.5)
    prompt = text.tokenizer.encode("What is 6 * 7?")
    means = []
    for seed in range(300):
        segment = text.generate(prompt, max_tokens=400, temperature=1.0, seed=seed).token_ids
        means.append(-statistics.fmean(text.score(prompt, segment)))
    assert statistics.median(means) == pytest.approx(0.5, abs=0.08)
    assert len(set(means)) == 300
    assert max(means) > 2 * min(means)
