# `make demo` and `make test` are all that a newcomer needs. On a machine without a GPU, PyTorch's CPU build saves
# gigabytes:  make demo PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PYTHON ?= python3
PIP_FLAGS ?=
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test lint types clean

help:  ## list what make can do
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/installed  ## distill the embedded digits for a Jetson, in about a minute
	$(BIN)/hpmkd-edge compress --target jetson

test: .venv/installed-dev  ## the whole test suite, slow tests too
	$(BIN)/pytest -q -m "" --numprocesses auto --maxprocesses 4 --dist loadfile

lint: .venv/installed-dev  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed-dev  ## mypy --strict over the package as it is imported
	$(BIN)/pytest -q -m "" tests/test_types.py

clean:  ## remove the virtual environment and what tools left
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "make: $(PYTHON) is $$($(PYTHON) --version 2>&1); Python 3.10 or newer is needed: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
	  echo "make: the virtual environment could not be made; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }

.venv/installed: .venv/bin/python pyproject.toml setup.py constraints.txt
	@echo "Installing into .venv (a few minutes the first time) …"
	$(INSTALL) --editable .
	@touch $@

.venv/installed-dev: .venv/bin/python pyproject.toml setup.py constraints.txt
	@echo "Installing into .venv, with the tools for tests (a few minutes the first time) …"
	$(INSTALL) --editable '.[boosting,dev,evidence,mlflow,tensorrt-rtx,text]'
	@touch $@ .venv/installed
