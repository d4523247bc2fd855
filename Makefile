# `make help` lists the targets. GNU make 3.81 or later, Linux or macOS, Python 3.11 to 3.14.
# PYTHON=… picks the interpreter for a new .venv; otherwise the first one that fits is taken.

VENV := .venv
BIN := $(VENV)/bin
# 3.11 first: constraints.txt was made with it.
PYTHONS := $(if $(PYTHON),$(PYTHON),python3.11 python3.12 python3.13 python3.14 python3 python)
# It installs in less than half the time that the one of Python 3.11 needs (docs/RESULTS.md).
PIP := pip==26.3
# -qq: errors only. --no-compile: modules are compiled when first imported (most of them never are), so this must be allowed.
unexport PYTHONDONTWRITEBYTECODE
PIP_INSTALL := $(BIN)/python -m pip install -qq --no-compile --prefer-binary --no-input -c constraints.txt

# A file of tests to each core, in the order of their names: whole rounds (tests/flows), which take longest, come early.
PYTEST := $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# A dot every three seconds while pip works. It ends with its shell.
DOTS := { while sleep 3 && kill -0 $$$$; do printf .; done; } 2>/dev/null &

.DEFAULT_GOAL := help
.PHONY: help setup demo test pytest test-fast lint format bench docs clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/.dev  ## install everything that a developer needs into .venv
	@echo "$(VENV) is ready."

demo: $(VENV)/.runtime  ## learn two days of the sample stream on the embedded model, in demo/
	$(BIN)/selfparam demo demo

test: $(VENV)/.dev  ## lint and all tests
	@$(MAKE) --no-print-directory --jobs 2 lint pytest

pytest: $(VENV)/.dev  ## all tests, without lint
	$(PYTEST)

test-fast: $(VENV)/.dev  ## the tests that need no real model and no server
	$(PYTEST) -m "not slow"

lint: $(VENV)/.dev  ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev  ## let ruff mend and format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.runtime  ## learn the demo's days once more and print their tables (docs/RESULTS.md has the commands of all else)
	$(BIN)/python -m benchmarks sample/day-1.jsonl sample/day-2.jsonl --params sample/params.yaml

docs: $(VENV)/.runtime  ## write docs/SETTINGS.md from the code
	$(BIN)/python docs/settings.py

clean:  ## remove .venv, demo/, caches and build products
	rm -rf $(VENV) demo build dist *.egg-info .coverage .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find flows tasks models tests benchmarks -type d -name __pycache__ -prune -exec rm -rf {} +

# Stamps: written when an installation is complete, old as soon as the declared or pinned versions change.
$(VENV)/.runtime: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing selfparam and its dependencies into $(VENV) (some minutes the first time)"
	@$(DOTS) $(PIP_INSTALL) -e .; status=$$?; kill $$!; echo; exit $$status
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing selfparam, its dependencies and the tools for tests and lint into $(VENV) (some minutes the first time)"
	@$(DOTS) $(PIP_INSTALL) -e '.[dev]'; status=$$?; kill $$!; echo; exit $$status
	@touch $(VENV)/.runtime $@

$(BIN)/pip:
	@for python in $(PYTHONS); do \
	  if $$python -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' >/dev/null 2>&1; then \
	    echo "Making $(VENV) with $$($$python --version)"; \
	    $$python -m venv $(VENV) || exit; \
	    exec $(BIN)/python -m pip install -qq --no-input --upgrade $(PIP); \
	  fi; \
	done; \
	echo "No Python 3.11 to 3.14 with venv was found (looked for: $(PYTHONS))." >&2; \
	echo "Install one (Debian and Ubuntu: apt install python3-venv), or name yours: make PYTHON=/path/to/python3.12 ..." >&2; \
	exit 1
