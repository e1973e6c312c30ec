# `make demo` and `make test` need Python 3.11 or newer and make; everything else they install themselves:
# into the active virtual environment, else into .venv.
PYTHON ?= python3
VENV := $(if $(VIRTUAL_ENV),$(VIRTUAL_ENV),.venv)
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.voipsync-runtime
DEVELOPMENT := $(VENV)/.voipsync-development

.PHONY: install demo test lint coverage bench chaos

install: $(RUNTIME)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): requirements.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(DEVELOPMENT): requirements-dev.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@ $(RUNTIME)

demo: install
	$(BIN)/voipsync demo

lint: $(DEVELOPMENT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile

coverage: $(DEVELOPMENT)
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage report

# Hundreds of kills with faults on top; CHAOS_SEED=n repeats a run, CHAOS_LIVES=n makes it longer.
chaos: $(DEVELOPMENT)
	$(BIN)/python -m pytest tests/chaos/kills.py --timeout 900

# All experiments take a quarter of an hour; `python -m bench NAME ...` runs single ones.
bench: $(DEVELOPMENT)
	$(BIN)/python -m bench
