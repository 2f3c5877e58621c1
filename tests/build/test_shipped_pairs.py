"""The published pairs: their settings, and what becomes of them on each class of GPU."""

from __future__ import annotations

import itertools

import pytest

from a1_trt.build.hardware import known_models
from a1_trt.build.plan import GpuSpec, make_plan
from a1_trt.config import load_pair
from tests.build.test_plan import PROFILES, assert_sound

DRAFTS = ("r1-distill-qwen-1.5b", "r1-distill-llama-8b", "qwen2.5-7b-instruct", "llama-3.1-8b-instruct")
TARGETS = ("qwq-32b", "s1.1-32b", "r1-distill-llama-70b")
SHIPPED = [f"{draft}_{target}" for draft, target in itertools.product(DRAFTS, TARGETS)]
GPUS = ("h100-80g", "2 x h100-80g", "a100-80g", "l4-24g")


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_pair_fits_or_says_why_not(name, profile, gpu):
    plan = make_plan(load_pair(name), profile, GpuSpec.parse(gpu))
    assert_sound(plan)
    assert all(row.explanation for row in plan.memory)
    if not plan.fits:
        assert plan.short_gib > 0
        assert plan.remedies, "a shipped pair that does not fit has to say what would"


@pytest.mark.parametrize("name", SHIPPED)
def test_two_h100_hold_every_shipped_pair(name):
    assert make_plan(load_pair(name), "pytorch", GpuSpec.parse("2 x h100-80g")).fits


@pytest.mark.parametrize("name", [name for name in SHIPPED if name.endswith("-32b")])
def test_16_bits_of_the_32b_targets_fit_two_h100_and_not_one(name):
    chosen = {count: make_plan(load_pair(name), "pytorch", GpuSpec.parse(f"{count}xh100-80g")) for count in (1, 2)}
    assert chosen[2].quantization == {"draft": "none", "target": "none"}
    assert chosen[1].quantization["target"] != "none"
    assert any("calibrate" in text for text in chosen[1].warnings)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_pairs_carry_the_published_settings(name):
    pair = load_pair(name)
    assert pair.name == name
    assert (pair.scheduler.n_samples, pair.scheduler.max_turns, pair.conformal.alpha) == (16, 15, 0.4)
    assert (pair.draft.max_in_flight, pair.target.max_in_flight) == (16, 4)
    for role in (pair.draft, pair.target):
        assert (role.sampling.segment_tokens, role.sampling.temperature, role.prompt) == (500, 0.8, "chat")
        assert role.model in known_models()
