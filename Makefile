# Two commands matter: `make run` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# pytest rewrites each test module before it runs it, and has to be let keep what it made
CACHED := PYTHONDONTWRITEBYTECODE=
QUICK := not slow and not model and not browser
SETUP := PYTHON=$(PYTHON) VENV=$(VENV) scripts/setup

.DEFAULT_GOAL := help
.PHONY: help run up test test-fast check format prove conformance system clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(VENV)/.run-ready ## set up, then run the main job: make run GOAL="..."
	@$(BIN)/codin model pull --if-needed
	@$(BIN)/codin run --config examples/team/codin.toml $(if $(value GOAL),-- "$$GOAL")

up: $(VENV)/.run-ready ## set up, then serve the example team and its web page
	@$(BIN)/codin model pull --if-needed
	@$(BIN)/codin up --config examples/team/codin.toml

test: check $(VENV)/.test-ready ## set up, then run all tests
	@$(BIN)/codin model pull --if-absent
	@$(CACHED) $(BIN)/pytest -m "$(QUICK)" -q -n 4 --dist loadfile
	@$(CACHED) $(BIN)/pytest -m "not ($(QUICK)) and not alone" -q -n 2 --dist loadfile
	@$(CACHED) $(BIN)/pytest -m "alone and not ($(QUICK))"

test-fast: $(VENV)/.test-ready ## the quick tests, some at a time
	@$(CACHED) $(BIN)/pytest -m "$(QUICK)" -q -n 4 --dist loadfile

check: $(VENV)/.test-ready ## lint, format, strict types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.test-ready ## format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

prove: $(VENV)/.test-ready ## the long proofs: the planner's exam, ten goals, a hundred kills
	@$(BIN)/codin model pull --if-absent
	@$(BIN)/codin eval plans --at-least 28
	@$(BIN)/python examples/eval/prove.py
	@$(BIN)/python -m codin.testing.kills --store sqlite
	@$(BIN)/python -m codin.testing.kills --store postgres
	@$(BIN)/python -m codin.testing.chaos --store sqlite
	@$(BIN)/python -m codin.testing.chaos --store postgres
	@CODIN_TEST_PODMAN=whole CODIN_TEST_ESCAPES=whole $(BIN)/pytest \
		tests/sandbox/test_podman.py tests/sandbox/test_escapes.py

conformance: $(VENV)/.test-ready ## run the public A2A conformance kit: make conformance KIT=path
	@VENV=$(VENV) scripts/conformance "$(KIT)"

system: ## install the Debian packages that some features need (as root)
	@scripts/system

$(VENV)/.run-ready: pyproject.toml scripts/setup
	@$(SETUP) run

$(VENV)/.test-ready: pyproject.toml scripts/setup
	@$(SETUP) test

clean: ## remove what was set up and built here
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
