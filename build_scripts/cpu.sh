#!/usr/bin/env bash
# From a fresh clone to a served pair that solves problems, on a CPU:  cpu.sh [ARGUMENTS OF a1-trt demo]
set -euo pipefail
cd "$(dirname "$0")/.."
bash build_scripts/setup.sh
exec .venv/bin/a1-trt demo "$@"
