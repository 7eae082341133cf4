# Two commands do everything: `make data-scaling` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install data-scaling test lint types check

install: .venv/installed

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@

data-scaling: install
	$(BIN)/python -m experiments.data_scaling

test: install
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

check: lint types test
