# The commands of Stenogate. `make` alone lists them. Each can be called again at any time.

PYTHON ?= python3
VENV_PYTHON := .venv/bin/python

# Where the tools need settings but no server, they are told these.
CHECK_ENV := env SECRET_KEY=only-to-read-the-settings-of-a-check DEMO=true \
	DATABASE_URL=postgresql://check@127.0.0.1:1/check REDIS_URL=redis://127.0.0.1:1/0

.DEFAULT_GOAL := help
.PHONY: help run regions regions-demo stop test check chaos bench bench-engine sweep lock stripe-spec env-example docs clean base nemo dev
MAKEFLAGS += --no-print-directory --no-builtin-rules

help:
	@echo "Stenogate: streaming speech-to-text on your own machines"
	@echo
	@echo "  make run          start it here: PostgreSQL, Valkey, a local Stripe, gateway, Celery, one worker"
	@echo "                    ENGINE=nemo for NeMo's models  MODEL=/path/x.nemo for yours"
	@echo "  make stop         end what make run started, from another terminal"
	@echo "  make regions      start three whole regions here, with one control database"
	@echo "  make regions-demo show on them residency, redirect, drain and the death of a region"
	@echo "  make test         run all tests            only=PATH or only='-k WORDS' for some"
	@echo "  make check        style, types, import contracts, migrations, layout"
	@echo "  make bench        measure                  only=live_speech streams=1,6"
	@echo "  make bench-engine NeMo's pipeline beside ours    streams=1,64 model=x.nemo right=6 device=cuda"
	@echo "  make sweep        chunk x wait x streams   quick=1 right=0,1 wait=5,adaptive streams=1,50 seconds=20"
	@echo "  make gpu-wheels   gather what a GPU machine without NeMo needs to be measured"
	@echo "  make chaos        break what make run started, part by part   only=worker_kill,abandon"
	@echo "  make clean        stop, and remove var/: the demo's data, logs and keys"
	@echo
	@echo "  make lock         pin the packages of pyproject.toml again      upgrade=1 for newer ones"
	@echo "  make stripe-spec  take Stripe's OpenAPI document again, for the local Stripe"
	@echo "  make env-example  write .env.example again"
	@echo "  make docs         write docs/errors.md, docs/parameters.md, docs/openapi.json again"
	@echo
	@echo "The first of them makes .venv, in a minute or two. PYTHON=python3.12 chooses another Python."

# The engine nemo has packages of its own; ENGINE may be here, in the environment or in .env.
ENGINE_WANTED = $(or $(ENGINE),$(shell sed -n "s/^ *\(export  *\)*ENGINE *= *//p" .env 2>/dev/null | tr -d "\"'"))

run: $(if $(filter nemo,$(firstword $(ENGINE_WANTED))),nemo,base)
	@exec $(VENV_PYTHON) -m ops.local run

regions: $(if $(filter nemo,$(firstword $(ENGINE_WANTED))),nemo,base)
	@exec $(VENV_PYTHON) -m ops.local regions

regions-demo: base
	@$(VENV_PYTHON) -m ops.local.regions_demo

stop:
	@if [ -x $(VENV_PYTHON) ]; then exec $(VENV_PYTHON) -m ops.local stop; else echo "Nothing is running."; fi

test: dev
	@$(VENV_PYTHON) -m $(if $(only),pytest $(only),ops.local.parts)

check: dev
	@echo "ruff: style";          $(VENV_PYTHON) -m ruff check --quiet .
	@echo "ruff: format";         $(VENV_PYTHON) -m ruff format --quiet --check .
	@echo "mypy: types";          $(CHECK_ENV) $(VENV_PYTHON) -m mypy --no-error-summary
	@echo "imports: contracts";   said=$$(.venv/bin/lint-imports --no-logo 2>&1) || { echo "$$said"; exit 1; }
	@echo "migrations: complete"; $(CHECK_ENV) $(VENV_PYTHON) -W ignore manage.py makemigrations --check --dry-run
	@echo "layout and locks";     $(VENV_PYTHON) -m pytest -q tests/test_layout.py ops/local/tests/test_locks.py
	@echo "All checks passed."

# Those of the given names that were set, as they were set.
set = $(foreach name,$(1),$(if $($(name)),$(name)='$($(name))'))
BENCH_OPTIONS = $(call set,streams engine model right device threads rounds steps minutes seconds rows events clients)

bench: dev
	@$(VENV_PYTHON) -m tests.benchmarks $(if $(only),only=$(only)) $(BENCH_OPTIONS)

bench-engine: dev
	@$(VENV_PYTHON) -m tests.benchmarks only=engine $(BENCH_OPTIONS)

sweep: dev
	@$(VENV_PYTHON) -m tests.benchmarks.sweep \
		$(call set,quick engine model device right wait streams seconds all slo_ttft_ms slo_drift_ms)

gpu-wheels: dev
	@$(VENV_PYTHON) -m tests.benchmarks.gpu.wheels $(if $(python),python=$(python)) $(if $(more),more=$(more))

chaos: base
	@$(VENV_PYTHON) -m ops.chaos $(call set,only audio seconds)

lock: dev
	@$(VENV_PYTHON) -m ops.local.locks $(if $(upgrade),upgrade)

stripe-spec: base
	@$(VENV_PYTHON) -m ops.stripe.reduce $(wheel)

env-example: base
	@$(VENV_PYTHON) -m config.env >.env.example.new && mv .env.example.new .env.example
	@echo "Wrote .env.example."

docs: base
	@PYTHONPATH=platform $(VENV_PYTHON) -m gateway.errors_page >docs/errors.md.new && mv docs/errors.md.new docs/errors.md
	@PYTHONPATH=platform $(VENV_PYTHON) -m gateway.parameters_page >docs/parameters.md.new && mv docs/parameters.md.new docs/parameters.md
	@$(CHECK_ENV) PYTHONPATH=platform $(VENV_PYTHON) -m gateway.rest >docs/openapi.json.new && mv docs/openapi.json.new docs/openapi.json
	@echo "Wrote docs/errors.md, docs/parameters.md and docs/openapi.json."

clean:
	@if [ -x $(VENV_PYTHON) ]; then $(VENV_PYTHON) -m ops.local clean; else rm -rf var; fi
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Clean. (.venv stays; remove it with rm -rf .venv.)"

# Installs nothing when .venv is already what the lock says.
base nemo dev:
	@command -v $(PYTHON) >/dev/null || { \
		echo "There is no $(PYTHON) here. Stenogate needs Python 3.11 or newer; PYTHON=... says where it is."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is $$($(PYTHON) -V 2>&1), and Stenogate needs 3.11 or newer. Example: make run PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m ops.local.install $@
