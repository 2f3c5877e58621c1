"""Where things are; tests may be run from any clone and any working directory."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "engines" / "reference"
PROBLEMS = REFERENCE / "problems.jsonl"
DOUBLES = ROOT / "tests" / "doubles"
CONTRACTS = ROOT / "tests" / "contracts"
SHARED = ROOT.parent / "shared"
"""Published traces and data sets, which may be absent: tests that read them are marked `long`."""

COMMAND = Path(sys.executable).with_name("a1-trt")
