# make train   trains on synthetic speakers, with DATA=<archive> on the published faces.
# make demo    serves a page that draws faces from speech, with the weights that ship.
# make doctor  looks for what is wrong with this machine: GPU, driver, memory, disk, locks.
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
# With JAX for the GPU, where there is one that it can use.
install = accelerator=$$($(BIN)/python wav2pix_jax/runtime/machine.py); \
  extras=$$(echo $(1) $$accelerator | tr ' ' ,); \
  $(BIN)/pip install --quiet --disable-pip-version-check --editable ".$${extras:+[$$extras]}"
BIN := .venv/bin

.PHONY: help train demo doctor check test test-all format

help:
	@sed -n 's/^# \(make.*\)/\1/p' Makefile

train: .venv/train.done
	$(BIN)/python main.py $(if $(DATA),--config=configs/youtubers.py \
	  --config.dataset.source="$(DATA)",--config=configs/demo.py) $(FLAGS)

demo: .venv/demo.done
	$(BIN)/python main.py --mode=demo $(FLAGS)

doctor: .venv/train.done
	$(BIN)/python main.py --mode=doctor $(FLAGS)

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
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
	  echo "error: $(PYTHON) cannot make virtual environments; install what it lacks" \
	    "(Debian, Ubuntu: apt install python3-venv), or name another: make PYTHON=/path/to/python" >&2; \
	  exit 2; }
