#!/usr/bin/env bash
# From a fresh clone to passed checks and tests:  test.sh [ARGUMENTS OF pytest]
set -euo pipefail
cd "$(dirname "$0")/.."
bash build_scripts/setup.sh tests lint
make --no-print-directory check
if .venv/bin/python -m pytest -m "not long and not gpu" "$@"; then exit 0; fi
# A tritonserver that died takes all tests after it along; those that failed get one more try, on a new server.
echo "a1_trt: some tests failed; trying these once more" >&2
exec .venv/bin/python -m pytest -m "not long and not gpu" --last-failed --last-failed-no-failures none "$@"
