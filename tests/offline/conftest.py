"""A synthetic trace for every test, and the published one where it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.places import SHARED

PUBLISHED = SHARED / "traces" / "math.npz"


@pytest.fixture(scope="session")
def published() -> Path:
    if not PUBLISHED.exists():
        pytest.skip("../shared/traces is not here")
    return PUBLISHED


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
