# `make demo` and `make test` need Python 3.11 or newer and make; everything else they install themselves:
# into the active virtual environment, else into .venv.
PYTHON ?= python3
VENV := $(if $(VIRTUAL_ENV),$(VIRTUAL_ENV),.venv)
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.voipsync-runtime
DEVELOPMENT := $(VENV)/.voipsync-development

# each of the many processes that tests start would compile everything again
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test lint style types audit reference coverage bench bench-scale chaos

install: $(RUNTIME)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# each file is also its own constraint: pip takes a pin for a package alone, not for it with an extra
$(RUNTIME): requirements.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt -c requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(DEVELOPMENT): requirements-dev.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt -c requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@ $(RUNTIME)

demo: install
	$(BIN)/voipsync demo

lint: style types

style: $(DEVELOPMENT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

TYPES = $(BIN)/mypy && $(BIN)/bandit --quiet --configfile pyproject.toml --recursive tasks flows sandbox bench deployments

types: $(DEVELOPMENT)
	$(TYPES)

# No part of `test`, for it asks the advisory service; what could not be asked about is not counted as clean.
audit: $(DEVELOPMENT)
	@told=$$($(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off \
		--requirement requirements.txt 2>&1) && echo "$$told" || { \
		echo "$$told" | tail -n 40 >&2; \
		if echo "$$told" | grep -q "^Found .* known vulnerabilit"; \
		then echo "audit: mend what is listed above" >&2; \
		else echo "audit: the advisory service was not reached, or does not know every package:" \
			"not counted as clean" >&2; fi; exit 1; }

# What takes one processor half a minute goes on beside the tests; it is shown after them.
test: style
	@told=$$(mktemp); { $(TYPES); } >"$$told" 2>&1 & types=$$!; \
	$(BIN)/python -m pytest --numprocesses 4 --no-loadscope-reorder; tests=$$?; \
	wait $$types; types=$$?; cat "$$told"; rm -f "$$told"; test $$tests -eq 0 && test $$types -eq 0

# The pages of docs/ that are made from the code; a test holds them against it.
reference: $(DEVELOPMENT)
	$(BIN)/python -m docs.reference

coverage: $(DEVELOPMENT)
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage report

# Hundreds of kills with faults on top; CHAOS_SEED=n repeats a run, CHAOS_LIVES=n and CHAOS_GAMES=n make it longer.
chaos: $(DEVELOPMENT)
	$(BIN)/python -m pytest tests/chaos/kills.py tests/chaos/renewals.py tests/chaos/games_of_chance.py \
		tests/bench/experiments.py --timeout 900

# All experiments take a quarter of an hour; `python -m bench NAME ...` runs single ones.
bench: $(DEVELOPMENT)
	$(BIN)/python -m bench

# Large accounts and many: takes hours; `python -m bench NAME --size NAME=NUMBER` tries one of them smaller.
bench-scale: $(DEVELOPMENT)
	$(BIN)/python -m bench scale
