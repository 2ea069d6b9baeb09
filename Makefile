# Each target sets up what it needs: all that must be there is Python 3.11-3.13 and a package index.
# `make demo`      train dense and sparse networks on the digits and export the sparse one
# `make test`      the tests, without those marked slow
# `make test-all`  every test
# `make test-oldest`, `make test-newest`   the tests on the oldest and the newest supported versions
# `make lint`      formatting, lint and types, changing nothing;  `make format` changes the files
# `make docs`      the documentation site, into build/site
# Variables: PYTHON (the interpreter to build the environment with), VENV (where it is put),
# CONSTRAINTS (a file of versions that pip keeps to).

VENV ?= .venv
PYTHON ?= $(shell for python in python3 python3.12 python3.11 python3.13 python; do \
	$$python -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
	2>/dev/null && echo $$python && break; done)

# The interpreter of a version: that of pyenv, else the one on the PATH.
python = $(lastword python$(1) $(wildcard $(HOME)/.pyenv/versions/$(1).*/bin/python$(1)))

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CODE := keras_tickets tests tools setup.py

export TF_CPP_MIN_LOG_LEVEL ?= 3
export NO_MKDOCS_2_WARNING ?= 1

.PHONY: demo test test-all test-oldest test-newest lint format docs install clean

install: $(INSTALLED)

$(INSTALLED): setup.py pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11-3.13 with venv found; pass PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' $(addprefix --constraint ,$(CONSTRAINTS))
	@touch $@

demo: $(INSTALLED)
	$(BIN)/python tools/demo.py

test: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist loadfile

test-all: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist loadfile -m ""

test-oldest:
	$(MAKE) test VENV=$(VENV)-oldest PYTHON=$(call python,3.11) CONSTRAINTS=tests/oldest.txt

test-newest:
	$(MAKE) test VENV=$(VENV)-newest PYTHON=$(call python,3.13)

lint: $(INSTALLED)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

docs: $(INSTALLED)
	$(BIN)/python tools/docs_site.py build/docs
	$(BIN)/mkdocs build --quiet

clean:
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-newest build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
