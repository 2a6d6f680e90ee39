# What everybody runs. `make help` tells it.
# Installs what is missing first: with uv if there is one, else with venv and pip, both as locked.

ARGS ?=
NAME ?=
PYTHON ?= python3

UV := $(shell uv --version 2>/dev/null)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps
# Stamps: what it takes to run, and what it takes to work on it.
RUN := .venv/.ready-run
DEV := .venv/.ready-dev
HELPERS := library measure real_data real_figures cdnow ranking repeat_curves churn_report
HELPERS += sla_helpdesk sla_peers
HELPERS += brokers peers busy rebuild_events rebuild_cases rebuild_growth rebuild_lag rebuild_workers
BENCHES := $(filter-out $(HELPERS),$(basename $(notdir $(wildcard bench/*.py))))

# Compiled modules are kept whatever the environment says: without them every start is slow.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test faults lint bench real-data churn-report lock
.DEFAULT_GOAL := help

help:
	@echo 'make demo                 a year of a company'"'"'s customers, then live traffic'
	@echo 'make demo ARGS=--check    the same without a server: checks its numbers, then ends'
	@echo 'make test                 all tests;  ARGS="-k customer" only some of them'
	@echo 'make faults               kill and freeze everything;  ARGS="--rounds 200 --seed 7"'
	@echo 'make lint                 format, lint, types, import contracts'
	@echo 'make bench NAME=append    one benchmark, a JSON line a case;  without NAME all of them'
	@echo 'make real-data            imports real data sets and compares every known total'
	@echo 'make churn-report         published tables of customer value, and churn alerts against the future'
	@echo 'make lock                 writes all locks anew (needs uv)'

demo: $(RUN)
	@$(BIN)/crm demo $(ARGS)

# Three processes on two cores: in one of them tests mostly wait for a broker that was killed.
test: $(DEV)
	@$(BIN)/pytest -n 3 --dist loadscope --no-loadscope-reorder $(ARGS)

faults: $(DEV)
	@$(BIN)/python -m tests.faults $(ARGS)

lint: $(DEV)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(DEV)
	@set -e; for name in $(subst -,_,$(or $(NAME),$(BENCHES))); do $(BIN)/python bench/$$name.py $(ARGS); done

real-data: $(DEV)
	@$(BIN)/python bench/real_data.py $(ARGS)

churn-report: $(DEV)
	@$(BIN)/python bench/churn_report.py $(ARGS)

lock:
	uv lock
	uv export $(EXPORT) --no-dev --output-file requirements.lock
	uv export $(EXPORT) --all-groups --output-file requirements-dev.lock

EXPORT := --frozen --quiet --no-emit-project --no-header --no-annotate --format requirements-txt

ifneq ($(UV),)

$(RUN): pyproject.toml uv.lock
	@echo 'Installing what it takes to run into .venv …'
	@uv sync --frozen --quiet --no-dev --inexact
	@touch $@

$(DEV): pyproject.toml uv.lock
	@echo 'Installing what it takes to test into .venv …'
	@uv sync --frozen --quiet
	@touch $(RUN) $@

else

$(RUN): pyproject.toml requirements.lock | .venv/bin/pip
	@echo 'Installing what it takes to run into .venv …'
	@$(PIP) -r requirements.lock
	@$(PIP) --editable .
	@touch $@

$(DEV): pyproject.toml requirements-dev.lock | $(RUN)
	@echo 'Installing what it takes to test into .venv …'
	@$(PIP) -r requirements-dev.lock
	@touch $(RUN) $@

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; PYTHON=… names one.")'
	@$(PYTHON) -m venv .venv || { echo 'Python has no venv here: install it (python3-venv), or uv.' >&2; exit 1; }

endif
