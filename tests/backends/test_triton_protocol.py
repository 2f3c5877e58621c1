"""What TensorRT-LLM's own Triton model is asked, and what is made of its answers, against the recorded contract."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a1_trt.backends.triton.connection import DTYPES, make_request, read_response
from a1_trt.backends.triton.protocol import TOKENS_PER_BLOCK, Dialect
from a1_trt.errors import EngineError, ScoreShapeError
from a1_trt.triton.tensors import ENGINE_INPUTS, ENGINE_OUTPUTS
from tests.places import CONTRACTS

CONTRACT = json.loads((CONTRACTS / "triton_tensorrt_llm_model.json").read_text())
INPUTS = {tensor["name"]: tensor for tensor in CONTRACT["inputs"]}
OUTPUTS = {tensor["name"]: tensor for tensor in CONTRACT["outputs"]}
THEIRS = (frozenset(INPUTS), frozenset(OUTPUTS))
OURS = (frozenset(tensor.name for tensor in ENGINE_INPUTS), frozenset(tensor.name for tensor in ENGINE_OUTPUTS))
IDS = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=40)


def dialects():
    yield Dialect.of(*THEIRS, (7, 8, 9))
    yield Dialect.of(*THEIRS, (7,), context_logits=True)


@settings(max_examples=50, deadline=None)
@given(prompt=IDS, segment=IDS, seed=st.integers(0, 2**63), temperature=st.floats(0, 5), n=st.integers(1, 9999))
def test_every_tensor_is_one_of_the_contract_with_its_type_and_shape(prompt, segment, seed, temperature, n):
    for dialect in dialects():
        for question in (
            dialect.generate(prompt, max_tokens=n, temperature=temperature, seed=seed),
            dialect.score(prompt, segment),
            dialect.stop(prompt),
        ):
            assert set(question.outputs) <= OUTPUTS.keys()
            request = make_request("target", question.prompt, question.tensors, question.outputs, "id")
            names = [tensor.name for tensor in request.inputs]
            assert len(names) == len(set(names))
            assert {name for name, tensor in INPUTS.items() if not tensor["optional"]} <= set(names)
            for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
                wanted = INPUTS[tensor.name]
                assert f"TYPE_{tensor.datatype}" == wanted["data_type"]
                shape = list(tensor.shape)
                assert shape[0] == 1
                assert len(shape) == 1 + len(wanted["dims"])
                assert all(size in (-1, got) for size, got in zip(wanted["dims"], shape[1:], strict=True))
                assert len(raw) == np.prod(shape) * np.dtype(DTYPES[tensor.datatype]).itemsize


def said(question, name):
    return question.tensors[name][1] if name in question.tensors else None


def test_a_temperature_is_not_ignored():
    """With neither top_k nor top_p the backend is greedy, whatever the temperature."""
    for dialect in dialects():
        warm = dialect.generate([1], max_tokens=3, temperature=0.7, seed=4)
        assert (said(warm, "temperature"), said(warm, "runtime_top_p")) == ([0.7], [1.0])
        assert said(warm, "runtime_top_k") is None
        cold = dialect.generate([1], max_tokens=3, temperature=0.0, seed=4)
        assert (said(cold, "temperature"), said(cold, "runtime_top_k")) == (None, [1])


def test_a_text_ends_and_the_prompt_stays_out_of_it():
    many, one = dialects()
    question = many.generate([1], max_tokens=3, temperature=0.7, seed=4)
    assert (said(question, "end_id"), said(question, "pad_id")) == ([7], [7])
    assert said(question, "stop_words_list") == [[8, 9], [1, 2]]
    assert said(question, "exclude_input_in_output") == [True]
    assert said(question, "streaming") == [False]
    assert said(one.generate([1], max_tokens=3, temperature=0.7, seed=4), "stop_words_list") is None


def test_a_model_that_is_not_told_what_ends_a_text_is_refused():
    with pytest.raises(EngineError) as caught:
        Dialect.of(*THEIRS)
    assert caught.value.field == "end_id"
    assert caught.value.remedy
    assert Dialect.of(*OURS).scoring == "log_probs"


@pytest.mark.parametrize(
    ("inputs", "outputs", "context_logits"),
    [
        (OURS[0] - {"draft_input_ids"}, OURS[1], False),
        (OURS[0], OURS[1] - {"output_log_probs"}, False),
        (THEIRS[0] - {"return_generation_logits"}, THEIRS[1], False),
        (THEIRS[0], THEIRS[1] - {"kv_cache_reused_blocks"}, True),
    ],
)
def test_a_model_that_cannot_score_is_told_apart(inputs, outputs, context_logits):
    with pytest.raises(EngineError) as caught:
        Dialect.of(frozenset(inputs), frozenset(outputs), (7,), context_logits=context_logits)
    assert caught.value.field in (THEIRS[0] | THEIRS[1]) - (inputs & outputs)


def logits(n_rows, n_vocabulary, seed=0):
    return np.random.default_rng(seed).normal(0, 4, (n_rows, n_vocabulary)).astype(np.float32)


def log_softmax(rows):
    rows = rows.astype(np.float64)
    return rows - np.log(np.exp(rows - rows.max(1, keepdims=True)).sum(1, keepdims=True)) - rows.max(1, keepdims=True)


@settings(max_examples=60, deadline=None)
@given(n_segment=st.integers(1, 30), n_rows=st.integers(0, 40), seed=st.integers(0, 99), lead=st.integers(0, 2))
def test_drafts_are_scored_from_exactly_their_rows(n_segment, n_rows, seed, lead):
    dialect, _ = dialects()
    segment = np.random.default_rng(seed + 1).integers(0, 50, n_segment).tolist()
    rows = logits(n_rows, 50, seed)
    answer = {"generation_logits": rows.reshape((1,) * lead + rows.shape)}
    if n_rows == n_segment + 1:
        wanted = log_softmax(rows)[np.arange(n_segment), segment]
        assert dialect.read_score(answer, 5, segment) == pytest.approx(wanted, abs=1e-6)
    else:
        with pytest.raises(ScoreShapeError) as caught:
            dialect.read_score(answer, 5, segment)
        assert caught.value.field == "generation_logits"


@settings(max_examples=60, deadline=None)
@given(
    n_prompt=st.integers(1, 100), n_segment=st.integers(1, 20), n_blocks=st.integers(0, 4), missing=st.integers(-2, 2)
)
def test_context_logits_are_read_only_where_they_were_written(n_prompt, n_segment, n_blocks, missing):
    _, dialect = dialects()
    segment = list(range(n_segment))
    rows = logits(n_prompt + n_segment, 50)
    wanted = log_softmax(rows)[n_prompt - 1 : -1][np.arange(n_segment), segment]
    rows[: n_blocks * TOKENS_PER_BLOCK] = np.nan  # whatever was in that memory
    rows = rows[missing:] if missing > 0 else np.concatenate([rows, rows[:-missing]])
    answer = {"context_logits": rows[None], "kv_cache_reused_blocks": np.array([[n_blocks]])}
    if missing == 0 and n_blocks * TOKENS_PER_BLOCK <= n_prompt - 1:
        assert dialect.read_score(answer, n_prompt, segment) == pytest.approx(wanted, abs=1e-6)
    else:
        with pytest.raises(ScoreShapeError):
            dialect.read_score(answer, n_prompt, segment)


@pytest.mark.parametrize("spoiled", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_no_score(spoiled):
    dialect, _ = dialects()
    rows = logits(4, 10)
    rows[1, 3] = spoiled
    with pytest.raises(ScoreShapeError):
        dialect.read_score({"generation_logits": rows[None, None]}, 5, [1, 2, 3])


def test_a_token_that_has_no_logit_is_no_score():
    dialect, _ = dialects()
    with pytest.raises(ScoreShapeError, match="token 10"):
        dialect.read_score({"generation_logits": logits(2, 10)[None, None]}, 5, [10])


def test_several_beams_are_no_score():
    dialect, _ = dialects()
    with pytest.raises(ScoreShapeError):
        dialect.read_score({"generation_logits": np.stack([logits(2, 10)] * 2)[None]}, 5, [1])


def test_logits_of_16_bits_are_read_as_well():
    from tritonclient.grpc import service_pb2

    rows = logits(3, 10).astype(np.float16)
    response = service_pb2.ModelInferResponse()
    response.outputs.add(name="generation_logits", datatype="FP16", shape=(1, 1, 3, 10))
    response.raw_output_contents.append(rows.tobytes())
    answer = read_response(response, ("generation_logits",))
    dialect, _ = dialects()
    wanted = log_softmax(rows)[[0, 1], [4, 5]]
    assert dialect.read_score(answer, 5, [4, 5]) == pytest.approx(wanted, abs=1e-6)
