# Everything that a newcomer needs: `make demo`, then `make test`. Stamps make a second run quick.
# Works as root and not: real servers (PostgreSQL, mail) are tested as root only, and say so in one loud line otherwise.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_WORKERS ?= 2
PYTEST_ARGS ?=
# A private package index of this machine, if any, must not change what is installed: the locks hold hashes.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test fax check approve bench soak wheel wheel-compiled lock packages reference clean

help:
	@echo "make demo            install, then the whole story with built-in partners (artefacts in demo-out/)"
	@echo "make test            install what tests need, then every test"
	@echo "make fax             of the tests, those with calls through a real HylaFAX and two soft modems"
	@echo "make check           ruff, mypy, import-linter and the fast tests"
	@echo "make approve CASE=x  rewrite the expected outputs of fixtures/cases/x, after a look at them"
	@echo "make bench           figures of speed"
	@echo "make soak            spoilt documents through every parser, MINUTES each (3); goes on where it stopped"
	@echo "make wheel           dist/*.whl: traitdunion, and mssante on its own"
	@echo "make reference       docs/reference, generated"
	@echo "make lock            new locks from pyproject.toml"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed (set PYTHON=…)"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3-venv is needed: apt-get install python3-venv"; exit 2; }

$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(VENV)/.runtime
	$(BIN)/tdu demo --out demo-out

# Debian packages of tests, as root only. policy-rc.d: none of them may start a system daemon.
packages:
	@if [ "$$(id -u)" != 0 ]; then \
	    echo ">>> NOT ROOT: tests with real servers (PostgreSQL, mail) are skipped. For all of them: sudo make test"; \
	else sh tests/install-debian-packages.sh tests/debian-packages.txt; fi

test: $(VENV)/.dev packages
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile --timeout 300 $(PYTEST_ARGS)

fax: $(VENV)/.dev packages
	$(BIN)/python -m pytest -n 0 -m fax --timeout 300 $(PYTEST_ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check adapter mssante tests docs
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile -q -m "not (conformance or crash or e2e or slow)" tests/unit tests/architecture tests/golden $(PYTEST_ARGS)

approve: $(VENV)/.dev
	@test -n "$(CASE)" || { echo "which one? make approve CASE=slug"; exit 2; }
	TDU_APPROVE=$(CASE) $(BIN)/python -m pytest -q tests/golden -k "$(CASE)"
	git diff --stat -- fixtures/cases/$(CASE)

bench: $(VENV)/.dev
	$(BIN)/python -m pytest -q -s -o python_files="bench_*.py" tests/bench --timeout 1800 $(PYTEST_ARGS)

# Its state and what broke stay in .soak/; its last table is what docs/reference/figures.md shows.
soak: $(VENV)/.dev
	nice -n 10 $(BIN)/python -W ignore -m tests.soak --minutes $(or $(MINUTES),3)

wheel: $(VENV)/.runtime
	$(BIN)/python -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir dist . ./mssante

# The same with the busiest modules as machine code (ADR 0014): needs a C compiler, and is for one Python and one kind of machine.
wheel-compiled: $(VENV)/.dev
	TDU_COMPILED=1 $(BIN)/python -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir dist .

reference: $(VENV)/.runtime
	$(BIN)/python docs/generate_reference.py
	$(BIN)/python docs/generate_samples.py

# uv resolves for every platform and Python from 3.11 on; the locks themselves need only pip.
lock: | $(BIN)/python
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet "uv>=0.5"
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(LOCK_ARGS) \
	    --extra install pyproject.toml -o requirements.lock
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(LOCK_ARGS) \
	    --extra install --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	rm -rf .venv-lock

clean:
	rm -rf $(VENV) .venv-lock dist build demo-out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
