# make train   trains on synthetic speakers, with DATA=<archive> on the published faces.
# make demo    serves a page that draws faces from speech, with the weights that ship.
# make check   lints, checks types and runs the quick tests: about a minute once installed.
# make test    the same with the slow tests: a few minutes.
# make test-all  and with those that take long and matter less from day to day.
# Each sets up what it needs.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The first Python that the project supports.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
  if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; \
  then echo $$python; break; fi; done)
# JAX for the GPU's driver, where there is one.
CUDA := $(shell nvidia-smi 2>/dev/null | sed -n 's/.*CUDA Version: \([0-9]*\).*/\1/p')
ACCELERATOR := $(if $(CUDA),$(if $(filter 12,$(CUDA)),cuda12,cuda13))
empty :=
extras = $(subst $(empty) ,$(comma),$(strip $(1) $(ACCELERATOR)))
comma := ,
install = $(BIN)/pip install --quiet --disable-pip-version-check \
  --editable '.$(if $(call extras,$(1)),[$(call extras,$(1))])'
BIN := .venv/bin

.PHONY: help train demo check test test-all format

help:
	@sed -n 's/^# \(make.*\)/\1/p' Makefile

train: .venv/train.done
	$(BIN)/python main.py $(if $(DATA),--config=configs/youtubers.py \
	  --config.dataset.source="$(DATA)",--config=configs/demo.py) $(FLAGS)

demo: .venv/demo.done
	$(BIN)/python main.py --mode=demo $(FLAGS)

check: TESTS := not slow and not extra
test: TESTS := not extra

test-all: .venv/demo.done
check test test-all: .venv/test.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n auto -m '$(TESTS)' $(FLAGS)

format: .venv/test.done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A stamp for each set of packages: made anew when the project's needs change.
.venv/train.done: setup.cfg pyproject.toml | .venv/bin/pip
	@echo "Installing into .venv: a minute or two."
	@$(call install,)
	@touch $@

.venv/demo.done: setup.cfg pyproject.toml | .venv/bin/pip
	@echo "Installing into .venv: a minute or two."
	@$(call install,demo)
	@touch $@

.venv/test.done: setup.cfg pyproject.toml | .venv/bin/pip
	@echo "Installing into .venv: a minute or two."
	@$(call install,test eval download)
	@touch $@

.venv/bin/pip:
	@if [ -z "$(PYTHON)" ]; then \
	  echo "error: no Python 3.11, 3.12 or 3.13 found; install one, or name it: make PYTHON=/path/to/python" >&2; \
	  exit 2; fi
	$(PYTHON) -m venv .venv
