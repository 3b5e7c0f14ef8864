# The front door: `make help` lists what there is. Python itself is all that has to be there before.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
PYTHON := .venv/bin/python

export PYTHONUNBUFFERED := 1

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Run it here

.PHONY: up
up: .local ## Start everything on this machine and print how to use it (AUDIT_PORT, default 8000; Ctrl-C stops)
	@exec $(PYTHON) -m audit_operator.local up

.PHONY: down
down: .local ## Stop what `make up` started
	@exec $(PYTHON) -m audit_operator.local down

.PHONY: load
load: .local ## Post real events to the running stack and count them back
	@exec $(PYTHON) -m audit_operator.local load

.PHONY: clean
clean: ## Delete the local data and keys, the environment and what was built
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m audit_operator.local clean; fi
	@rm -rf .venv build dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

##@ Database of the local stack

.PHONY: db-migrate
db-migrate: .local ## Apply the migrations that are missing
	@exec $(PYTHON) -m audit_operator.local migrate

.PHONY: db-reset
db-reset: .local ## Delete every event and key and start anew (asks for CONFIRM=yes)
	@[ "$(CONFIRM)" = yes ] || { echo 'db-reset deletes every local event and key: make db-reset CONFIRM=yes' >&2; exit 2; }
	@exec $(PYTHON) -m audit_operator.local reset

.PHONY: db-seed
db-seed: load ## Fill the running stack with real events (the same as load)

##@ Work on it

.PHONY: test
test: .dev ## Run the tests, with real servers, and demand 80 % coverage
	@exec $(PYTHON) -m pytest --numprocesses 4 --dist loadfile --cov --cov-report=term $(ARGUMENTS)

.PHONY: faults
faults: .dev ## Kill every process ten times under load, take PostgreSQL away for a minute (minutes)
	@AUDIT_FAULT_ROUNDS=10 AUDIT_OUTAGE_SECONDS=60 exec $(PYTHON) -m pytest tests/faults --timeout 0 -rA

.PHONY: cluster
cluster: .dev ## Run a Kubernetes control plane out of processes (needs Go; Ctrl-C or `make cluster-down` stops it)
	@mkdir -p .audit && rm -rf .audit/cluster && exec $(PYTHON) -m tests.cluster .audit/cluster

.PHONY: cluster-down
cluster-down: ## Stop what `make cluster` started
	@[ ! -d .audit/cluster ] || touch .audit/cluster/stop

.PHONY: check
check: .dev lint type-check imports generated ## Everything but the tests: lint, format, types, imports, generated files

.PHONY: lint
lint: .dev ## Look for mistakes and for code that is not formatted
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .

.PHONY: format
format: .dev ## Format the code and mend what can be mended by itself
	@$(PYTHON) -m ruff check --fix-only --quiet .
	@$(PYTHON) -m ruff format .

.PHONY: type-check
type-check: .dev ## Check the types, those of the tests too
	@$(PYTHON) -m mypy

.PHONY: imports
imports: .dev ## Check who may import whom
	@.venv/bin/lint-imports --no-cache

.PHONY: generate
generate: .dev ## Write the files that are made from code
	@$(PYTHON) -m audit_functions.openapi
	@$(PYTHON) charts/generate.py

.PHONY: generated
generated: generate ## Check that the generated files are committed as they are made
	@git diff --exit-code --stat -- docs/openapi.json charts/audit-log || { echo 'generated files were out of date: commit them' >&2; exit 1; }

.PHONY: bench
bench: .dev ## Measure against the ceilings of this machine (minutes; writes build/bench.json)
	@exec $(PYTHON) -m tests.bench $(ARGUMENTS)

.PHONY: bench-operator
bench-operator: .dev ## Measure the operator with thousands of tenants (needs Go; many minutes; writes build/bench-operator.json)
	@exec $(PYTHON) -m pytest tests/bench/operator_scale.py --timeout 0 --capture no -p no:cacheprovider $(ARGUMENTS)

##@ Dependencies

.PHONY: lock
lock: ## Resolve the lock files anew within their floors (needs uv; UPGRADE=--upgrade takes what is newest)
	@requirements/lock $(UPGRADE)

.PHONY: .local .dev
.local:
	@requirements/install local
.dev:
	@requirements/install dev
