"""What `engine plan` and `simulate` say of the same pair on the same GPUs: one sizing, one answer."""

import itertools

import pytest

from a1_trt.build.hardware import GpuSpec
from a1_trt.build.memory import Split
from a1_trt.build.plan import make_plan
from a1_trt.config import load_pair, make_pair
from a1_trt.errors import ConfigError
from a1_trt.simulate.config import Request, prepare
from a1_trt.simulate.engine_model.roofline import Assumptions
from a1_trt.simulate.layout import Deployment, Layout, RoleLayout, default_layout, divided_layout, parse_gpus
from a1_trt.simulate.report import layout_words
from a1_trt.simulate.workload import Lengths

DRAFTS = ("r1-distill-qwen-1.5b", "r1-distill-llama-8b", "qwen2.5-7b-instruct", "llama-3.1-8b-instruct")
TARGETS = ("qwq-32b", "s1.1-32b", "r1-distill-llama-70b")
PAIRS = [f"{draft}_{target}" for draft, target in itertools.product(DRAFTS, TARGETS)]
GPUS = ("h100-80gx1", "h100-80gx2", "h100-80gx4", "h100-80gx8", "a100-80gx2", "l4-24gx1")
SHORT = Lengths(median_tokens=100)


def deployed(pair, gpus):
    return Deployment.of(pair, default_layout(pair, gpus), Assumptions.stated())


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("name", PAIRS)
def test_a_plan_and_a_simulation_agree_on_what_fits(name, gpu):
    pair, gpus = load_pair(name), GpuSpec.parse(gpu)
    plan = make_plan(pair, "pytorch", gpus)
    if not plan.fits:
        with pytest.raises(ConfigError, match=f"{plan.short_gib:.1f} GiB are missing"):
            deployed(pair, gpus)
        return
    deployment = deployed(pair, gpus)
    assert deployment.layout.n_gpus <= gpus.count
    assert deployment.fit.quantization == plan.quantization
    for role, engines in deployment.plans().items():
        cache = engines.limits
        assert cache.kv_blocks * cache.block_tokens >= plan.sizes[role].kv_tokens
        assert cache.max_context_tokens == plan.sizes[role].max_seq_len
    if deployment.layout.colocated:  # as the plan places it, and then the KV caches are the plan's, too
        assert deployment.fit.kv_tokens == plan.kv_tokens


@pytest.mark.parametrize("gpu", ["H100x2", "h100-80gx2", "2 x h100-80g"])
def test_the_first_example_of_the_readme_is_simulated_in_every_spelling(gpu):
    request = Request("r1-distill-qwen-1.5b_qwq-32b", gpu=gpu, n_problems=1, n_samples=2, lengths=SHORT)
    prepared = prepare(request)
    assert prepared.document(prepared.run())["layout"]["gpus"] == 2


def test_engines_of_a_layout_are_those_of_the_plan_that_places_them_so():
    pair, gpus = load_pair("qwen2.5-7b-instruct_qwq-32b"), GpuSpec.parse("h100-80gx4")
    plan = make_plan(pair, "pytorch", gpus)  # the target on two GPUs, the draft on one of its own
    layout = Layout(gpus.gpu, RoleLayout(2, Split()), RoleLayout(3, Split(2)))
    engines = Deployment.of(pair, layout, Assumptions.stated()).plans()
    for role in ("draft", "target"):
        assert engines[role].limits.kv_blocks * 32 == plan.kv_tokens[role]
        assert engines[role].limits.max_num_batched_tokens == plan.sizes[role].max_num_tokens


def test_longer_chains_than_the_pairs_get_engines_for_them():
    limits = [
        prepare(
            Request("qwen2.5-7b-instruct_qwq-32b", gpu="H100x4", parameters={"max_turns": turns}, lengths=SHORT)
        ).plans["target"]
        for turns in (15, 30)
    ]
    assert limits[1].limits.max_context_tokens > 1.8 * limits[0].limits.max_context_tokens


def test_weights_of_a_layout_are_quantised_no_more_than_it_takes():
    pair, gpu = load_pair("r1-distill-qwen-1.5b_qwq-32b"), parse_gpus("H100").gpu
    quantized = {n: Deployment.of(pair, divided_layout(pair, gpu, 1, n), Assumptions.stated()) for n in (1, 2)}
    assert layout_words(quantized[1].document()) == "2 x h100-80g: draft 1 x tp1, target 1 x tp1 fp8"
    assert layout_words(quantized[2].document()) == "3 x h100-80g: draft 1 x tp1, target 1 x tp2"
    weights = [quantized[n].plans()["target"].costs.weights_s for n in (1, 2)]
    assert weights[0] < 1.1 * weights[1]  # half the bytes, from half the GPUs


def two(**target_gpu):
    models = {"draft": "Qwen/Qwen2.5-7B-Instruct", "target": "Qwen/QwQ-32B"}
    roles = {role: {"model": model, "max_in_flight": 4} for role, model in models.items()}
    roles["target"]["gpu"] = target_gpu
    return make_pair({"name": "p", **roles})


def test_a_pipeline_and_copies_are_placed_as_the_pair_says():
    layout = default_layout(two(pipeline_parallel=2, replicas=2), parse_gpus("H100x6"))
    assert (layout.target.n_engines, layout.target.split.pipeline, layout.n_gpus) == (2, 2, 6)


def test_scores_that_need_logits_wait_for_the_memory_that_the_plan_sets_aside():
    pair, gpus = two(scoring="context_logits", quantization="fp8"), GpuSpec.parse("h100-80gx2")
    limits = deployed(pair, gpus).plans()["target"].limits
    n_scoring = deployed(pair, gpus).fit.max_scoring_requests
    assert limits.logits_tokens == n_scoring * limits.max_context_tokens
    assert deployed(two(), GpuSpec.parse("h100-80gx4")).plans()["target"].limits.logits_tokens is None
