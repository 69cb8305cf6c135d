# cash-flow: `make up` starts everything on this machine, `make help` lists the rest.
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev up down test bench chaos lint fmt lock clean

# The first interpreter found that is at least 3.11; PYTHON=/path/to/python chooses another.
PYTHON ?= $(firstword $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p; done))
BIN := .venv/bin
ROOMS := cli consumers contracts gateway infra
LOCK_run := requirements.lock
LOCK_dev := requirements-dev.lock
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Says which package is being fetched instead of pip's four lines each; pip's warnings and errors pass on stderr.
SAY_WHAT_IS_FETCHED := awk '/^Collecting / { printf "  fetching %s\n", $$2; fflush() } /^Installing collected/ { print "  installing"; fflush() }'

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.installed-run  ## create .venv from the hashed lock files
setup-dev: .venv/.installed-dev

up: setup  ## start everything and show one log; Ctrl-C stops it
	@$(BIN)/cash up

down:  ## stop what `cash up -d` started
	@if test -x $(BIN)/cash; then $(BIN)/cash down; else echo 'Nothing is installed here, so nothing runs.'; fi

test: setup-dev  ## format, lint, types, imports, then every test on real servers
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

bench: setup-dev  ## measure the paths against their floors, in the same run
	$(BIN)/python -m tests.bench

chaos: setup-dev  ## the kill tests at length; prints its seed (SEED=... repeats one)
	$(if $(SEED),CASH_CHAOS_SEED=$(SEED) )$(BIN)/pytest -m chaos

lint: setup-dev  ## ruff, mypy and the import rules only
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: setup-dev  ## format the code
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# Without an index address: the lock files name packages and hashes, the machine knows where to fetch them.
UV_COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'
UV_LOCK := $(UV_COMPILE) pyproject.toml --extra local --extra simulator --group build
lock: setup  ## choose versions again: Python packages (needs uv) and the server jars
	$(UV_LOCK) -o requirements.lock
	$(UV_LOCK) --extra traces --group dev -c requirements.lock -o requirements-dev.lock
	$(UV_COMPILE) pyproject.toml --extra traces --group build -c requirements.lock -o requirements-image.lock
	$(UV_COMPILE) --group generators -o cli/generation/requirements-generators.lock
	$(BIN)/python -m infra.local.downloads --lock

clean:  ## remove .venv and caches of this checkout; data and downloads of `cash up` stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find $(ROOMS) tests -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is needed and was not found; install it, or: make PYTHON=/path/to/python'; exit 1; }
	@echo "Creating .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo 'This Python cannot create environments; on Debian and Ubuntu: apt install python3-venv'; exit 1; }

.venv/.installed-%: .venv/bin/python pyproject.toml requirements.lock requirements-dev.lock
	@rm -f $@
	@echo "Installing $(words $(shell grep -o '^[a-zA-Z0-9_.-]*==' $(LOCK_$*))) packages from $(LOCK_$*), each checked against its hash"
	@{ $(PIP) install --require-hashes --only-binary :all: -r $(LOCK_$*) && touch $@.packages; } | $(SAY_WHAT_IS_FETCHED)
	@rm $@.packages 2>/dev/null || { echo 'The packages could not be installed; pip says why above. Then: make setup'; exit 1; }
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q $(ROOMS)
	@touch $@
