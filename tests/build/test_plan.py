"""Plans: the memory model's laws, placements, and what is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a1_trt.build.hardware import known_gpus, known_models, model_dimensions
from a1_trt.build.memory import RESERVE, Split, activations, kv_bytes_per_token, weights
from a1_trt.build.plan import GpuSpec, make_plan
from a1_trt.build.quantization import FORMATS
from a1_trt.build.sizes import CHUNK_TOKENS, PROMPT_TOKENS
from a1_trt.config import load_pair, make_pair
from a1_trt.errors import ConfigError
from a1_trt.types import ROLES

PROFILES = ("tensorrt", "pytorch")


def pair_of(draft="Qwen/Qwen2.5-7B-Instruct", target="Qwen/QwQ-32B", **gpu):
    return make_pair(
        {
            "name": "p",
            "draft": {"model": draft, "gpu": gpu.get("draft_gpu", {})},
            "target": {"model": target, "max_in_flight": 4, "gpu": gpu.get("target_gpu", {})},
        }
    )


def held_by_gpu(plan):
    """GPU -> GiB that the plan puts on it."""
    rows = {role: sum(row.gib for row in plan.memory if row.role == role) for role in ROLES}
    gpus = plan.placement["draft"].gpus | plan.placement["target"].gpus
    return {gpu: sum(rows[role] for role in ROLES if gpu in plan.placement[role].gpus) for gpu in gpus}


def assert_sound(plan):
    """No GPU holds more than there is of it, nor a KV cache less than its requests need; or the plan says no."""
    usable = plan.gpu.gpu.memory_gib * (1 - RESERVE)
    over = max(held - usable for held in held_by_gpu(plan).values())
    assert plan.fits == (over <= 1e-6)
    if plan.fits:
        assert all(plan.kv_tokens[role] >= plan.sizes[role].kv_tokens for role in ROLES)
        assert plan.short_gib <= 0
        assert not plan.remedies
    else:
        assert plan.short_gib == pytest.approx(over, abs=0.01)
    for role in ROLES:
        split = plan.placement[role].split
        assert all(len(replica) == split.n_gpus for replica in plan.placement[role].replicas)
        assert max(plan.placement[role].gpus) < plan.gpu.count


def test_remedies_are_true():
    plan = make_plan(pair_of(), "pytorch", GpuSpec.parse("h100-80g"))
    assert not plan.fits
    same, more = plan.remedies
    assert 'target.gpu.quantization = "' in same
    changed = pair_of(
        **{
            f"{role}_gpu": {"quantization": same.split(f'{role}.gpu.quantization = "')[1].split('"')[0]}
            for role in ROLES
            if f"{role}.gpu" in same
        }
    )
    assert make_plan(changed, "pytorch", GpuSpec.parse("h100-80g")).fits
    assert make_plan(pair_of(), "pytorch", GpuSpec.parse(more.removeprefix("fits with "))).fits


DRAFT_MODELS = st.sampled_from(sorted(known_models()))
SPECS = st.builds(GpuSpec, st.sampled_from(sorted(known_gpus().values(), key=str)), st.sampled_from([1, 2, 3, 4, 8]))


@settings(deadline=None, max_examples=25)
@given(
    DRAFT_MODELS,
    DRAFT_MODELS,
    SPECS,
    st.sampled_from(PROFILES),
    st.integers(1, 256),
    st.integers(1, 64),
    st.sampled_from(["auto", "none", "int4_awq"]),
    st.sampled_from(["auto", "context_logits"]),
    st.sampled_from(["auto", "fp8"]),
)
def test_whatever_the_pair_a_plan_is_sound(draft, target, spec, profile, n_draft, n_target, quantization, scoring, kv):
    gpu = {"quantization": quantization, "kv_cache_dtype": kv}
    gpu["quantization"] = (
        "none" if quantization == "int4_awq" and not FORMATS[quantization].runs_on(spec.gpu) else quantization
    )
    pair = make_pair(
        {
            "name": "p",
            "draft": {"model": draft, "max_in_flight": n_draft, "gpu": gpu},
            "target": {"model": target, "max_in_flight": n_target, "gpu": {**gpu, "scoring": scoring}},
        }
    )
    plan = make_plan(pair, profile, spec)
    assert_sound(plan)
    assert 1 <= plan.max_scoring_requests <= n_target
    for role in ROLES:
        sizes = plan.sizes[role]
        assert sizes.max_num_tokens >= sizes.max_batch_size
        assert sizes.max_seq_len <= model_dimensions(pair.role(role).model).max_context_tokens
    if profile == "pytorch":
        assert plan.sizes["target"].max_num_tokens >= plan.sizes["target"].max_seq_len


def test_context_logits_cost_what_they_are():
    scored = {"target_gpu": {"scoring": "context_logits"}}
    plain = make_plan(pair_of(), "pytorch", GpuSpec.parse("8 x h100-80g"))
    whole = make_plan(pair_of(**scored), "pytorch", GpuSpec.parse("8 x h100-80g"))
    length, vocabulary = whole.sizes["target"].max_seq_len, 152064
    held = whole.max_scoring_requests * length * vocabulary * 4 / 2**30
    assert held < whole.memory_gib()["target"]["logits"] < 2.5 * held
    assert plain.memory_gib()["target"]["logits"] < 1.0


def test_fewer_scores_at_once_where_logits_leave_room_for_no_more():
    pair = pair_of(target_gpu={"scoring": "context_logits", "quantization": "fp8"})
    plans = [make_plan(pair, "pytorch", GpuSpec.parse(f"{count}xh100-80g")) for count in (1, 2, 4)]
    assert plans[-1].fits
    fitting = [plan.max_scoring_requests for plan in plans if plan.fits]
    assert fitting == sorted(fitting)
    assert any(plan.max_scoring_requests < 4 for plan in plans)


def test_weights_divide_and_shrink():
    model = model_dimensions("Qwen/QwQ-32B")
    whole, half = weights(model, Split(), "none").gib, weights(model, Split(2), "none").gib
    assert whole == pytest.approx(2 * model.n_parameters / 2**30)
    assert whole / 2 < half < whole * 0.53  # each GPU holds the embedding
    assert weights(model, Split(), "fp8").gib == pytest.approx(
        (model.n_layer_parameters + 4 * model.n_embedding_parameters) / 2**30
    )
    assert weights(model, Split(), "int4_awq").gib < weights(model, Split(), "nvfp4").gib


def test_kv_cache_of_a_token():
    model = model_dimensions("deepseek-ai/DeepSeek-R1-Distill-Llama-70B")
    assert kv_bytes_per_token(model, Split(), "auto") == 2 * 80 * 8 * 128 * 2
    assert kv_bytes_per_token(model, Split(2), "fp8") == 80 * 8 * 128
    assert kv_bytes_per_token(model, Split(16), "auto") == kv_bytes_per_token(model, Split(8), "auto")


def test_activations_grow_with_tokens_at_once():
    plan = make_plan(pair_of(), "pytorch", GpuSpec.parse("2 x h100-80g"))
    model = model_dimensions("Qwen/QwQ-32B")
    sizes = plan.sizes["target"]
    assert activations(model, Split(), sizes).gib > activations(model, Split(2), sizes).gib > 0.5


def test_lengths_follow_the_pair():
    pair = pair_of(draft="deepseek-ai/DeepSeek-R1-Distill-Llama-8B", target="deepseek-ai/DeepSeek-R1-Distill-Llama-70B")
    sizes = make_plan(pair, "pytorch", GpuSpec.parse("8 x h100-80g")).sizes
    assert sizes["target"].max_seq_len == 256 * math.ceil((PROMPT_TOKENS + 15 * 500) / 256)
    assert sizes["draft"].max_num_tokens == CHUNK_TOKENS
    crossed = make_plan(pair_of(), "pytorch", GpuSpec.parse("8 x h100-80g")).sizes
    assert crossed["target"].max_seq_len > sizes["target"].max_seq_len
    assert "tokenizer" in crossed["target"].why["max_seq_len"]


def test_takeovers_and_scores_are_part_of_the_explanation():
    why = make_plan(pair_of(), "pytorch", GpuSpec.parse("2 x h100-80g")).sizes["target"].why["max_batch_size"]
    assert "16 scores" in why
    assert "B = 7 takeovers" in why  # ceil(0.4 x 16)


def test_roles_get_gpus_of_their_own_where_these_suffice():
    plan = make_plan(pair_of(), "pytorch", GpuSpec.parse("4 x h100-80g"))
    assert not plan.placement["draft"].gpus & plan.placement["target"].gpus
    assert plan.placement["target"].split.tensor == 2
    assert any("GPU 3 holds nothing" in text for text in plan.warnings)


def test_replicas_and_parallelism_are_placed_as_asked():
    pair = pair_of(draft_gpu={"replicas": 2}, target_gpu={"replicas": 2, "tensor_parallel": 2, "pipeline_parallel": 1})
    place = make_plan(pair, "pytorch", GpuSpec.parse("6 x h100-80g")).placement
    assert place["draft"].replicas == ((0,), (1,))
    assert place["target"].replicas == ((2, 3), (4, 5))


def test_shared_gpus_do_not_depend_on_who_starts_first():
    plan = make_plan(load_pair("r1-distill-qwen-1.5b_qwq-32b"), "pytorch", GpuSpec.parse("h100-80g"))
    table, total = plan.memory_gib(), plan.gpu.gpu.memory_gib
    for role, other in (ROLES, ROLES[::-1]):
        cache = plan.settings[role]["kv_cache_config"]
        own = sum(table[role][part] for part in ("weights", "runtime", "activations"))
        free_alone, free_second = total - own, total - own - sum(table[other].values())
        wanted = table[role]["kv_cache"]
        assert cache["free_gpu_memory_fraction"] * free_second <= wanted * 1.02  # never more than planned
        assert cache["free_gpu_memory_fraction"] * free_alone >= wanted  # then the number of tokens is the limit
        assert cache["max_tokens"] == plan.kv_tokens[role]


@pytest.mark.parametrize(("fraction", "fits"), [(0.5, True), (0.02, False), (0.99, False)])
def test_a_fraction_of_ones_own_is_held_to_the_same_rules(fraction, fits):
    pair = pair_of(target_gpu={"kv_cache_fraction": fraction, "tensor_parallel": 2})
    plan = make_plan(pair, "pytorch", GpuSpec.parse("4 x h100-80g"))
    assert plan.settings["target"]["kv_cache_config"]["free_gpu_memory_fraction"] == fraction
    assert plan.fits == fits
    assert (plan.short_gib <= 0) == fits


@pytest.mark.parametrize(
    ("gpu", "quantization", "needs"),
    [
        ("a100-80g", "fp8", "8.9"),
        ("a10-24g", "fp8", "8.9"),
        ("h100-80g", "nvfp4", "10.0"),
        ("l4-24g", "nvfp4", "10.0"),
        ("b200-180g", "int4_awq", "8.0 to 9.0"),
    ],
)
def test_quantisation_that_the_gpu_cannot_do_is_refused(gpu, quantization, needs):
    with pytest.raises(ConfigError, match=needs) as caught:
        make_plan(pair_of(target_gpu={"quantization": quantization}), "pytorch", GpuSpec.parse(gpu))
    assert caught.value.field == "target.gpu.quantization"
    assert quantization not in caught.value.remedy
    assert "auto" in caught.value.remedy


@pytest.mark.parametrize(("gpu", "quantization"), [("h100-80g", "fp8"), ("l4-24g", "fp8"), ("b200-180g", "nvfp4")])
def test_quantisation_that_the_gpu_can_do_is_taken(gpu, quantization):
    plan = make_plan(pair_of(target_gpu={"quantization": quantization}), "pytorch", GpuSpec.parse(gpu))
    assert plan.quantization["target"] == quantization


@pytest.mark.parametrize(
    ("gpu", "field"),
    [
        ({"tensor_parallel": 3}, "target.gpu.tensor_parallel"),
        ({"tensor_parallel": 16}, "target.gpu.tensor_parallel"),
        ({"pipeline_parallel": 64, "replicas": 2}, "target.gpu"),
        ({"tensor_parallel": 8}, "target.gpu"),
        ({"replicas": 9}, "target.gpu"),
        ({"scoring": "external_draft"}, "target.gpu.scoring"),
    ],
)
def test_what_cannot_be_placed_is_refused(gpu, field):
    with pytest.raises(ConfigError) as caught:
        make_plan(pair_of(target_gpu=gpu), "pytorch", GpuSpec.parse("4 x h100-80g"))
    assert caught.value.field == field
    assert caught.value.remedy


def test_an_unknown_model_is_refused_by_its_key():
    with pytest.raises(ConfigError) as caught:
        make_plan(pair_of(draft="nobody/nothing"), "pytorch", GpuSpec.parse("h100-80g"))
    assert caught.value.field == "draft.model"


def test_a_quantised_checkpoint_is_taken_as_it_is(machine):
    (machine.root / "pair" / "small" / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "FP8"}}')
    machine.write_pair("")
    (machine.hub / "Qwen" / "QwQ-32B").rename(machine.root / "pair" / "large")
    machine.pair_file.write_text(machine.pair_file.read_text().replace("Qwen/QwQ-32B", "large"))
    plan = make_plan(machine.pair, "pytorch", GpuSpec.parse("h100-80g"))
    assert plan.quantization["draft"] == "fp8"
    assert not [step for step in plan.steps if step.name == "quantize"]
    with pytest.raises(ConfigError, match="quantised already"):
        make_plan(machine.pair, "tensorrt", GpuSpec.parse("h100-80g"))


def test_a_context_that_is_short_is_used_as_it_is():
    plan = make_plan(load_pair("reference"), "pytorch", GpuSpec.parse("l4-24g"))
    assert plan.fits
    assert plan.sizes["draft"].max_seq_len == 1024
    assert "made for 1024" in plan.sizes["draft"].why["max_seq_len"]
    assert not any("tokenizers" in text for text in plan.warnings)  # both directories hold the same


def test_a_context_without_room_for_turns_is_refused():
    with pytest.raises(ConfigError, match="too few"):
        make_plan(
            make_pair(
                {
                    "name": "p",
                    "draft": {"model": "Qwen/Qwen2.5-7B-Instruct", "sampling": {"segment_tokens": 16384}},
                    "target": {"model": "Qwen/QwQ-32B"},
                }
            ),
            "pytorch",
            GpuSpec.parse("l4-24g"),
        )


def test_a_longer_context_than_the_models_is_refused():
    pair = make_pair(
        {
            "name": "p",
            "draft": {"model": "Qwen/Qwen2.5-7B-Instruct", "max_context_tokens": 40000},
            "target": {"model": "Qwen/QwQ-32B"},
        }
    )
    with pytest.raises(ConfigError) as caught:
        make_plan(pair, "pytorch", GpuSpec.parse("8 x h100-80g"))
    assert caught.value.field == "draft.max_context_tokens"


def test_the_environment_changes_a_plan(monkeypatch):
    monkeypatch.setenv("A1_TRT_TARGET__GPU__QUANTIZATION", "fp8")
    plan = make_plan(load_pair("r1-distill-qwen-1.5b_qwq-32b"), "pytorch", GpuSpec.parse("2 x h100-80g"))
    assert plan.quantization["target"] == "fp8"


def test_scores_of_quantised_weights_are_told_apart():
    prints = {
        pair_of(target_gpu=gpu).fingerprint()
        for gpu in ({}, {"quantization": "fp8"}, {"quantization": "int4_awq"}, {"kv_cache_dtype": "fp8"})
    }
    assert len(prints) == 4
    assert pair_of(target_gpu={"replicas": 2}).fingerprint() in prints
