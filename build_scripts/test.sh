#!/usr/bin/env bash
# From a fresh clone to passed checks and tests:  test.sh [ARGUMENTS OF pytest]
set -euo pipefail
cd "$(dirname "$0")/.."
bash build_scripts/setup.sh tests lint
make --no-print-directory check
exec .venv/bin/python -m pytest -m "not long and not gpu" "$@"
