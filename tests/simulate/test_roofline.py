"""The roofline of a model on GPUs, by hand, and how it must behave."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a1_trt.build.hardware import Gpu, known_gpus, known_models, model_dimensions
from a1_trt.errors import ConfigError, InvalidRequestError
from a1_trt.simulate.engine_model.costs import EngineCosts
from a1_trt.simulate.engine_model.roofline import Assumptions, PlacedModel, engine_costs

EXACT = replace(
    Assumptions.stated(),
    arithmetic_efficiency=1.0,
    bandwidth_efficiency=1.0,
    link_efficiency=1.0,
    overhead_s=1e-3,
    all_reduce_latency_s=1e-5,
)
ROUND = Gpu("round", 100.0, 90, bandwidth_gb_s=1000, link_gb_s=200, tflops={"bf16": 100, "fp8": 200})


def qwq(t=1, **changes):
    return PlacedModel(model_dimensions("Qwen/QwQ-32B"), ROUND, t, **changes)


def test_the_constants_by_hand():
    costs = engine_costs(qwq(2), EXACT)
    # 64 layers of width 5120: 40 + 8 + 8 heads of 128 in, 40 out, and three matrices of 5120 x 27648.
    layers = 64 * (5120 * 128 * (40 + 8 + 8 + 40) + 3 * 5120 * 27648)
    head = 5120 * 152064
    assert costs.prefill_s_per_token == pytest.approx(2 * layers / 200e12)
    assert costs.s_per_logit_row == pytest.approx(2 * head / 200e12)
    assert costs.s_per_pair == pytest.approx(4 * 64 * 40 * 128 / 200e12)
    assert costs.weights_s == pytest.approx(2 * (layers + head) / 2000e9)
    assert costs.kv_s_per_context_token == pytest.approx(2 * 64 * 8 * 128 * 2 / 2000e9)
    # Two all-reduces a layer; two GPUs move 2 x 1/2 of 5120 16-bit numbers over 100 GB/s one way.
    assert costs.sync_s == pytest.approx(2 * 64 * 1e-5)
    assert costs.sync_s_per_token == pytest.approx(2 * 64 * 2 * 5120 / 100e9)


def test_one_gpu_waits_for_no_other():
    costs = engine_costs(qwq(1), EXACT)
    assert (costs.sync_s, costs.sync_s_per_token) == (0.0, 0.0)


def test_quantised_weights_are_read_sooner_and_multiplied_as_the_gpu_can():
    wide, narrow = engine_costs(qwq(), EXACT), engine_costs(qwq(quantization="fp8"), EXACT)
    assert narrow.prefill_s_per_token == wide.prefill_s_per_token / 2
    assert 0.5 < narrow.weights_s / wide.weights_s < 0.55  # the head stays in 16 bits
    # A GPU without fp4 arithmetic multiplies 4-bit weights as it can.
    small = engine_costs(qwq(quantization="nvfp4"), EXACT)
    assert small.prefill_s_per_token == wide.prefill_s_per_token
    assert small.weights_s < narrow.weights_s


def test_batch_effects_come_out_of_the_model():
    costs = engine_costs(
        PlacedModel(model_dimensions("Qwen/QwQ-32B"), known_gpus()["h100-80g"], 2), Assumptions.stated()
    )

    def step(n):
        return costs.iteration_s(prefill_tokens=0, decoding=n, context_tokens=1000 * n)

    assert step(16) < 1.1 * step(1)  # the weights are read once for all
    assert step(4096) > 10 * step(1)  # arithmetic and keys and values are not


def test_more_gpus_than_heads_hold_heads_twice():
    costs = [engine_costs(qwq(t), EXACT).kv_s_per_context_token for t in (4, 8, 16)]
    assert costs[0] == 2 * costs[1] == 2 * costs[2]  # 8 heads of keys and values


def test_a_gpu_without_a_data_sheet_is_refused():
    with pytest.raises(ConfigError, match="not known"):
        engine_costs(replace(qwq(), gpu=Gpu("odd", 80.0, 90)), EXACT)


@pytest.mark.parametrize("changes", [{"speed": 1.0}, {"overhead_s": -1.0}, {"overhead_s": float("nan")}])
def test_assumptions_are_checked(changes):
    with pytest.raises(InvalidRequestError):
        Assumptions.stated(changes)


@pytest.mark.parametrize("model", sorted(known_models()))
@pytest.mark.parametrize("gpu", sorted(known_gpus()))
def test_every_known_model_has_costs_on_every_known_gpu(model, gpu):
    costs = engine_costs(PlacedModel(known_models()[model], known_gpus()[gpu], 2), Assumptions.stated())
    assert 1e-4 < costs.iteration_s(prefill_tokens=0, decoding=1, context_tokens=1000) < 1.0


@settings(max_examples=200, deadline=None)
@given(
    t=st.sampled_from([1, 2, 4, 8]),
    tokens=st.integers(0, 8192),
    decoding=st.integers(0, 256),
    context=st.integers(0, 10**6),
    more=st.integers(1, 5000),
)
def test_more_work_never_takes_less_time(t, tokens, decoding, context, more):
    costs = engine_costs(qwq(t), Assumptions.stated())

    def step(**changes):
        said = {"prefill_tokens": tokens, "decoding": decoding, "context_tokens": context, **changes}
        return costs.iteration_s(**said)

    assert step(prefill_tokens=tokens + more) >= step()
    assert step(decoding=decoding + more) >= step()
    assert step(context_tokens=context + more) >= step()
    assert step(prefill_pairs=more) >= step()
    assert step(prefill_rows=more) >= step()


@settings(max_examples=100, deadline=None)
@given(
    costs=st.builds(
        EngineCosts, s_per_pair=st.floats(0, 1e-6), sync_s=st.floats(0, 1e-3), sync_s_per_token=st.floats(0, 1e-5)
    ),
    n=st.integers(1, 50),
    decoding=st.integers(1, 64),
    context=st.integers(0, 10**6),
    slowdown=st.floats(1, 3),
)
def test_a_run_of_iterations_is_their_sum_to_the_bit(costs, n, decoding, context, slowdown):
    time, ends = 1.25, [1.25]
    for step in range(n):
        one = costs.iteration_s(prefill_tokens=0, decoding=decoding, context_tokens=context + step * decoding)
        time += one * slowdown
        ends.append(time)
    assert costs.decode_ends(1.25, n, decoding, context, slowdown) == ends
