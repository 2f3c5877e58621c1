"""Repositories of every profile, rendered once a file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from a1_trt.config import load_pair
from a1_trt.triton.render import render
from a1_trt.triton.role_placement import RolePlacement

ROOT = Path(__file__).parents[2]
LLM = {"model": "/m", "max_seq_len": 2048, "kv_cache_config": {"enable_block_reuse": True}}
PLACEMENT = {
    "draft": RolePlacement(((0,),), 16, settings=LLM, parameters={"gpt_model_path": "/engines/draft"}),
    "target": RolePlacement(((1,), (2,)), 16, settings=LLM, parameters={"gpt_model_path": "/engines/target"}),
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    pair = load_pair(ROOT / "engines" / "reference")
    base = tmp_path_factory.mktemp("rendered")
    for profile in ("cpu", "pytorch", "tensorrt"):
        render(pair, base / profile, profile=profile, placement=None if profile == "cpu" else PLACEMENT)
    render(pair, base / "kubernetes", profile="tensorrt", placement=PLACEMENT, platform="kubernetes")
    return base


@pytest.fixture
def copied(rendered, tmp_path):
    def copy(profile):
        shutil.copytree(rendered / profile, tmp_path / profile)
        return tmp_path / profile

    return copy
