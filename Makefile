# Presage: everything starts here. `make help` lists the commands.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
LOCKS := requirements.txt requirements-dev.txt
# Extra arguments: make run ARGS="--speed 10", make test ARGS="-k risk"
ARGS ?=
# Tests run side by side: they mostly wait for processes, so twice the cores of a small machine.
WORKERS ?= 4

# The first of these that is new enough; PYTHON=… chooses another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)

#== Everyday

.PHONY: help
help: #-- this list
	@awk '/^#==/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*#--/ { split($$0, part, /:.*#-- */); printf "  make %-10s %s\n", part[1], part[2] }' \
		$(MAKEFILE_LIST)

.PHONY: run
run: setup #-- start everything on paper at the venues' sandbox and show it live; Ctrl-C stops it
	@exec $(BIN)/presage up $(ARGS)

.PHONY: test
test: setup #-- run every test, WORKERS at a time
	@exec $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal $(ARGS)

.PHONY: setup
setup: $(VENV)/.installed $(VENV)/.linked #-- make the environment in .venv; nothing to do while the locks are unchanged

#== Before a commit

.PHONY: lint
lint: setup #-- format, rules, types, import contracts, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.generate.asyncapi --check

.PHONY: format
format: setup #-- format the code and repair what can be repaired without thinking
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: generate
generate: setup #-- rewrite proto/asyncapi.yaml and docs/reference/subjects.md from the subject table
	$(BIN)/python -m tools.generate.asyncapi

#== Longer looks

.PHONY: bench
bench: setup #-- measure what docs/benchmarks.md states
	@exec $(BIN)/python -m bench $(ARGS)

.PHONY: soak
soak: setup #-- the crash and fuzz tests with their full counts; takes long
	@PRESAGE_SOAK=1 exec $(BIN)/python -m pytest -m soak --timeout 14400 -o faulthandler_timeout=14300 $(ARGS)

#== Upkeep

# The lock names packages and hashes, never an address: where they come from is the installer's business.
PIP_COMPILE := pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links

.PHONY: lock
lock: #-- resolve requirements*.in again into requirements*.txt; LOCK_ARGS=--upgrade takes newer versions
	@test -x $(VENV)-lock/bin/pip-compile || { $(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install --quiet pip-tools; }
	$(VENV)-lock/bin/$(PIP_COMPILE) $(LOCK_ARGS) --output-file requirements.txt requirements.in
	$(VENV)-lock/bin/$(PIP_COMPILE) $(LOCK_ARGS) --output-file requirements-dev.txt requirements-dev.in

.PHONY: clean
clean: #-- remove the environment and caches; state directories stay
	rm -rf $(VENV) $(VENV)-lock build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "expected Python 3.11 or newer as python3; install it or give PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version.split()[0]; \
		sys.exit(f"expected Python 3.11 or newer, was {v} ($(PYTHON))" if sys.version_info < (3, 11) else 0)'
	@echo "setup: making $(VENV) with $(PYTHON)"
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
		echo "expected a Python that can make virtual environments (Debian: apt install python3-venv)" >&2; exit 1; }

$(VENV)/.installed: $(LOCKS) | $(BIN)/python
	@echo "setup: installing what the locks name, by hash"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes $(addprefix -r ,$(LOCKS))
	@touch $@

# An editable installation: the commands see the clone itself.
$(VENV)/.linked: pyproject.toml $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation --editable .
	@touch $@
