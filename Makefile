# persona-ray: `make demo` runs the main job, `make test` the tests. Needs Python 3.11 and a C++ compiler.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
FULL ?=
QUICK := -m "not drill and not gpu"

export RAY_USAGE_STATS_ENABLED := 0
export TOKENIZERS_PARALLELISM := false
export HF_HUB_OFFLINE := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test drills gpu lint types contracts check audit lock clean

help: ## say what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

setup: $(VENV)/.installed ## virtual environment with the pinned dependencies

build/uv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "persona-ray needs Python 3.11: make PYTHON=/path/to/python3.11"; exit 2; }
	@echo "== uv $(UV_VERSION)"
	@$(PYTHON) -m venv build/uv
	@build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/.installed: requirements.lock pyproject.toml | build/uv/bin/uv
	@echo "== dependencies (about 6 GB once; bytecode compiled)"
	@test -x $(BIN)/python || build/uv/bin/uv venv --quiet --python $(PYTHON) $(VENV)
	@build/uv/bin/uv pip sync --quiet --python $(BIN)/python --compile-bytecode --require-hashes requirements.lock
	@build/uv/bin/uv pip install --quiet --no-deps --python $(BIN)/python --editable .
	@touch $@

demo: setup ## the main job on the shipped archive, ending with a report (FULL=1: recognise every call anew)
	@$(BIN)/persona-ray run --config configs/demo.yaml --fresh $(if $(FULL),--set asr.reuse_transcripts=false)

# One half of the unit tests, by time, and the browser's after it. Both run beside the tests that wait for Ray.
FIRST := tests/unit/launch tests/unit/training tests/unit/objectives tests/unit/cli

test: setup ## the tests that every change needs
	@mkdir -p build
	@tests() { $(BIN)/python -m pytest $(QUICK) "$$@"; }; \
	  { tests $(FIRST); half=$$?; tests tests/browser || half=1; exit $$half; } >build/unit-1.log 2>&1 & first=$$!; \
	  tests tests/unit $(FIRST:%=--ignore=%) >build/unit-2.log 2>&1 & second=$$!; \
	  tests tests/cluster; failed=$$?; \
	  echo "== unit tests, which ran beside them, in two halves"; \
	  wait $$first || failed=1; cat build/unit-1.log; \
	  wait $$second || failed=1; cat build/unit-2.log; \
	  exit $$failed

drills: setup ## faults and soak: slower tests
	@$(BIN)/python -m pytest -m "drill and not gpu"

gpu: setup ## pretraining and fine-tuning on a GPU, against the CPU
	@$(BIN)/python -m pytest -m gpu -rs

lint: setup ## style
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup ## mypy, strict
	@$(BIN)/mypy

contracts: setup ## who may import whom
	@$(BIN)/lint-imports

check: lint types contracts test ## everything that CI runs

audit: ## known vulnerabilities of the pinned dependencies; says so where they cannot be looked up
	@$(PYTHON) .ci/audit

lock: build/uv/bin/uv ## pin the dependencies anew
	@build/uv/bin/uv pip compile --quiet pyproject.toml --extra dev --extra s3 --extra synth --python-version 3.11 \
	  --generate-hashes --no-annotate --no-header --no-emit-index-url --output-file requirements.lock

clean: ## remove what was built and run
	@rm -rf build runs .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
