# Two commands: `make bench` and `make test`.  Both make .venv and install into it when they have to.
# Another Python: `make bench PYTHON=python3.12`.  Other settings for pip: its environment variables (PIP_INDEX_URL ...).

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --disable-pip-version-check --quiet
# Only this file says that an installation went through to its end.
STAMP  := $(VENV)/.installed
TESTS  ?=
# Test processes side by side; each starts up to two of its own.  `make test TEST_JOBS=0`: in one process, as a debugger wants.
TEST_JOBS ?= 2

.PHONY: bench test slow lint format install help

bench: $(STAMP)  ## run the quick sweep and write its report
	$(BIN)/daebench run quick

test: $(STAMP)  ## run the tests (some of them: make test TESTS="-k corruption")
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile --timeout=3000 -m "not slow" $(TESTS)

slow: $(STAMP)  ## run the tests that need minutes: simulations in full, live comparisons, the workflow on a toy repository
	$(BIN)/python -m pytest --timeout=3000 -m slow $(TESTS)

lint: $(STAMP)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## put the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(STAMP)  ## only make the environment

help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1	/'

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: there is no $(PYTHON); install Python 3.10 or later, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 10) or sys.exit("make: $(PYTHON) is Python %d.%d; daebench needs 3.10 or later: make PYTHON=python3.11 (or where yours is)" % v[:2])'
	@# A virtual environment whose Python has gone is made anew; one that works is kept.
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { echo "make: could not make $(VENV); on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV) (some minutes and about 3 GB the first time) ..."
	@# torch alone and first, by its exact version: where a CPU build of just this version lies at hand pip takes it,
	@# while a range, or another package that asks for torch, brings the newest one with gigabytes of CUDA libraries.
	$(PIP) -c constraints.txt torch==2.13.0
	$(PIP) -c constraints.txt -e '.[jax,onnx,dev]'
	@touch $(STAMP)
