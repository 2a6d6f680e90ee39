# What everybody runs. `make help` tells it.
# Installs what is missing first: with uv if there is one, else with venv and pip, both as locked.

ARGS ?=
NAME ?=
PYTHON ?= python3

UV := $(shell uv --version 2>/dev/null)
BIN := .venv/bin
READY := .venv/.ready
HELPERS := library measure real_data real_figures
BENCHES := $(filter-out $(HELPERS),$(basename $(notdir $(wildcard bench/*.py))))

.PHONY: help demo test lint bench real-data lock
.DEFAULT_GOAL := help

help:
	@echo 'make demo                 a year of a company'"'"'s customers, then live traffic'
	@echo 'make demo ARGS=--check    the same without a server: checks its numbers, then ends'
	@echo 'make test                 all tests;  ARGS="-k customer" only some of them'
	@echo 'make lint                 format, lint, types, import contracts'
	@echo 'make bench NAME=append    one benchmark, a JSON line a case;  without NAME all of them'
	@echo 'make real-data            imports real data sets and compares every known total'
	@echo 'make lock                 writes uv.lock and requirements.lock anew (needs uv)'

demo: $(READY)
	@$(BIN)/crm demo $(ARGS)

test: $(READY)
	@$(BIN)/pytest $(ARGS)

lint: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(READY)
	@set -e; for name in $(or $(NAME),$(BENCHES)); do $(BIN)/python bench/$$name.py $(ARGS); done

real-data: $(READY)
	@$(BIN)/python bench/real_data.py $(ARGS)

lock:
	uv lock
	uv export --frozen --all-groups --no-emit-project --no-header --no-annotate \
		--format requirements-txt --quiet --output-file requirements.lock

$(READY): pyproject.toml uv.lock requirements.lock
	@echo 'Installing what is missing into .venv …'
ifneq ($(UV),)
	@uv sync --frozen --quiet
else
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; PYTHON=… names one.")'
	@$(PYTHON) -m venv .venv || { echo 'Python has no venv here: install it (python3-venv), or uv.' >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
endif
	@touch $@
