# make demo      install into .venv, train and evaluate on the built-in data
# make test      install into .venv with the test extra, run the tests
# make coverage  the tests, and how much of fewshot/ they run: 95% at least
# make lint      formatting, types and the floors of the rooms
# make learn2learn   install learn2learn 0.2.0 into .venv, for MAML, ANIL and its data sets
# make table     NAME=susana: train, evaluate and compare many runs; stop and start it at any time
#
# PYTHON is the interpreter that makes .venv (3.10 to 3.13); pip's own configuration is respected.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_FLAGS ?= -q -n auto --dist loadgroup

.PHONY: help demo test coverage lint table learn2learn
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# //p' Makefile | sed -n '1,6p'

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

# Without what starts processes of its own, in which nothing is counted, or takes minutes under a tracer.
coverage: $(VENV)/installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_FLAGS) --cov=fewshot --cov-report=term:skip-covered --cov-fail-under=95 \
		--deselect tests/trust/test_mutants.py --deselect tests/test_benchmarks.py --deselect tests/test_notebooks.py

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Its archive does not build by a plain install from Python 3.11 on: the C files in it are stale, and build_ext makes
# them anew with Cython. Without --no-deps, qpth would bring NumPy below 2.
$(VENV)/installed-learn2learn: | $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check cython wheel 'setuptools>=77' requests gym scipy tqdm
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --use-pep517 \
		--config-settings=--global-option=build_ext learn2learn==0.2.0
	$(BIN)/python -c 'import learn2learn' 2> /dev/null
	@touch $@

learn2learn: $(VENV)/installed-learn2learn

table: $(VENV)/installed
	$(BIN)/python -m fewshot table $(NAME) $(SET)
