# `make demo` and `make test` do all the set-up on a fresh machine: they need Python 3.11 or newer, no root and no
# system package. Everything they install goes into .venv; a second call installs nothing.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.NOTPARALLEL:
.PHONY: help demo test coverage docs lint bench reproduce clean

help:
	@echo "make demo      train a network on handwritten digits, check its gradients, draw its graph (into out/)"
	@echo "make test      run the tests"
	@echo "make coverage  run the tests, and say which lines of the package they miss"
	@echo "make docs      build the documentation into docs/_build/html"
	@echo "make lint      run ruff, and mypy on the package"
	@echo "make bench     time training steps (beside the peers that are installed in $(VENV))"
	@echo "make reproduce train the networks of the two course documents on CIFAR-10, and print the table (minutes)"
	@echo "make clean     remove $(VENV) and everything that was made"
	@echo "Another Python: make demo PYTHON=python3.12"

demo: $(VENV)/.viz-stamp
	$(BIN)/python -m tinygrad_fc demo

test: $(VENV)/.test-stamp
	$(BIN)/python -m pytest

coverage: $(VENV)/.test-stamp
	$(BIN)/python -m coverage run -m pytest
	$(BIN)/python -m coverage report

docs: $(VENV)/.docs-stamp
	$(BIN)/python -m sphinx -W -n --keep-going -b html docs docs/_build/html

lint: $(VENV)/.lint-stamp
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

bench: $(VENV)/.viz-stamp $(VENV)/.fast-stamp
	$(BIN)/python -m tinygrad_fc bench

reproduce: $(VENV)/.viz-stamp $(VENV)/.fast-stamp $(VENV)/.data-stamp
	$(BIN)/python examples/reproduce.py

clean:
	rm -rf $(VENV) out docs/_build docs/notebooks build dist *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.*
	find tinygrad_fc tests docs examples -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "tinygrad_fc needs Python 3.11 or newer, and '$(PYTHON)' is not ($$($(PYTHON) --version 2>&1))." >&2; \
	  echo "Name a newer one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "'$(PYTHON) -m venv $(VENV)' failed: this Python came without venv." >&2; \
	  echo "Name a complete one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; rm -rf $(VENV); exit 1; }
	@touch $@

# .venv/.test-stamp stands for `pip install --editable '.[test]'`, and so on for each extra.
$(VENV)/.%-stamp: pyproject.toml $(VENV)/.made
	$(PIP) install --quiet --editable '.[$*]'
	@touch $@
