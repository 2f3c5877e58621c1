# The same lines that .ci/run and build_scripts/test.sh run.
BIN ?= .venv/bin

.PHONY: check format test long gpu docs

check:            ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format:
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test:             ## everything that needs no GPU, the real Triton server included
	$(BIN)/python -m pytest -m "not long and not gpu"

long:             ## statistical and load tests, minutes
	$(BIN)/python -m pytest -m long

gpu:              ## on a machine with an NVIDIA GPU and tensorrt_llm
	$(BIN)/python -m pytest -m gpu

docs:             ## docs/cli.md from the command tree
	$(BIN)/python build_scripts/cli_docs.py
