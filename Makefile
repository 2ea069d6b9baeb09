# Each target sets up what it needs: all that must be there is Python 3.11-3.13 and a package index.
# `make demo`      train dense and sparse networks on the digits and export the sparse one
# `make test`      the tests, without those marked slow
# `make test-all`  every test
# `make lint`      formatting, lint and types, changing nothing;  `make format` changes the files
# `make docs`      the documentation site, into build/site
# Variables: PYTHON (the interpreter to build the environment with), VENV (where it is put).

VENV ?= .venv
PYTHON ?= $(shell for python in python3 python3.12 python3.11 python3.13 python; do \
	$$python -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
	2>/dev/null && echo $$python && break; done)

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CODE := keras_tickets tests tools setup.py

export TF_CPP_MIN_LOG_LEVEL ?= 3
export NO_MKDOCS_2_WARNING ?= 1

.PHONY: demo test test-all lint format docs install clean

install: $(INSTALLED)

$(INSTALLED): setup.py pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11-3.13 with venv found; pass PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)
	$(BIN)/python tools/demo.py

test: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist loadfile

test-all: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist loadfile -m ""

lint: $(INSTALLED)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

docs: $(INSTALLED)
	$(BIN)/mkdocs build --quiet

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
