# make demo      install into .venv, train and evaluate on the built-in data
# make test      install into .venv with the test extra, run the tests
# make lint      formatting, types and the floors of the rooms
# make table     NAME=susana: train, evaluate and compare many runs; stop and start it at any time
#
# PYTHON is the interpreter that makes .venv (3.10 to 3.13); pip's own configuration is respected.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_FLAGS ?= -q -n auto

.PHONY: help demo test lint table
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# //p' Makefile | sed -n '1,4p'

# Reinstalled when the requirements change; the sources need no reinstall.
$(VENV)/installed: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-test: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $(VENV)/installed $@

demo: $(VENV)/installed
	$(BIN)/python train.py name=demo
	$(BIN)/python eval.py

# One thread a test process: as many processes as cores share them.
test: $(VENV)/installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_FLAGS)

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

table: $(VENV)/installed
	$(BIN)/python -m fewshot table $(NAME) $(SET)
