# What one types most. Needs make and Python 3.11 or newer; everything else goes into .venv.
#
#   make demo ARGS="--seconds 60"     PYTHON=/path/to/python make install

SHELL := /bin/sh
.DEFAULT_GOAL := help
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The first interpreter that really runs (a name on PATH may be a shim without a version behind it), is new enough and
# can make an environment. 3.12 first: most wheels exist for it.
OLDEST := 3, 11
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < ($(OLDEST)))
ifndef PYTHON
PYTHON := $(shell for p in python3.12 python3.13 python3.11 python3 python; do \
	if $$p -c '$(USABLE)' >/dev/null 2>&1; then echo $$p; break; fi; done)
endif
VERSION := $(shell [ -n "$(PYTHON)" ] && $(PYTHON) -c 'import platform; print(platform.python_version())' 2>/dev/null || echo none)

# Touched when the environment is complete. Another Python or a changed pyproject.toml makes it stale.
STAMP := .venv/.installed-$(VERSION)
PAPERS := .venv/.papers-$(VERSION)
BENCH := .venv/.bench-$(VERSION)

# What checks the deployment, from Go modules; without Go its tests are skipped, and say so.
GO := $(shell command -v go || ls /usr/local/go/bin/go 2>/dev/null)
HELM_MODULE := helm.sh/helm/v3/cmd/helm@v3.18.4
COMPOSE_MODULE := github.com/compose-spec/compose-go/v2/cmd@v2.16.2

.PHONY: deploy-tools deploy-check help install demo dashboards test test-slow fuzz papers bench check format clean

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

install: $(STAMP) ## make .venv with the project in it; nothing happens when it is current

$(STAMP): pyproject.toml
	@if [ "$(VERSION)" = none ]; then \
		echo "No usable Python found: Nilometer needs Python 3.11 or newer with the venv module"; \
		echo "(Debian, Ubuntu: apt install python3-venv). Name another one by  make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; \
		exit 1; fi
	@$(PYTHON) -c '$(USABLE)' || { \
		echo "$(PYTHON) is Python $(VERSION): Nilometer needs 3.11 or newer with the venv module."; exit 1; }
	@echo "Making .venv with Python $(VERSION) …"
	@$(PYTHON) -m venv --clear .venv
	@echo "Installing Nilometer and what it needs (a minute or two the first time) …"
	@.venv/bin/python -m pip install --quiet --editable '.[dev]'
	@touch $@
	@echo "Installed: .venv/bin/nilometer"

demo: install ## the whole product in one process, on sample data (ARGS="--seconds 60 --headless")
	@.venv/bin/nilometer demo $(ARGS)

test: install ## the fast tests, one process a core (ARGS="-k benford")
	@.venv/bin/python -m pytest -q -m "not slow" -n auto --dist loadfile $(ARGS)

dashboards: install ## write Grafana's dashboards from their code, and ask each panel's queries of a Prometheus beside the demo (a minute)
	@.venv/bin/python -m deploy.grafana.dashboards
	@.venv/bin/python -m pytest -q tests/deploy/test_grafana.py tests/deploy/test_dashboards_live.py $(ARGS)

test-slow: install ## the slow ones: theorems, the papers' tables, soaks
	@.venv/bin/python -m pytest -q -m slow -n auto --dist loadfile $(ARGS)

fuzz: install ## every decoder, fed with damaged inputs (ARGS="--minutes 60")
	@.venv/bin/python -m tests.fuzz $(ARGS)

$(PAPERS): $(STAMP)
	@echo "Installing what the papers are measured against …"
	@.venv/bin/python -m pip install --quiet --editable '.[papers]'
	@touch $@

papers: $(PAPERS) ## the papers' tables beside what we measure: PAPER=normal_model, normal_model_rolling, sensor_budgets, hardness, aggregation, benford, benford_stream
	@.venv/bin/python -m tests.papers.$(PAPER) $(ARGS)

$(BENCH): $(STAMP)
	@echo "Installing what the benchmark is measured against …"
	@.venv/bin/python -m pip install --quiet --editable '.[bench]'
	@touch $@

bench: $(BENCH) ## speed against stock Faust, Quix Streams, plain clients, and the floor (ARGS="--messages 200000 --write")
	@.venv/bin/python -m tests.bench.run $(ARGS)

.venv/bin/helm: $(STAMP)
	@echo "Building helm (a minute or two the first time) …"
	@GOBIN=$(CURDIR)/.venv/bin $(GO) install $(HELM_MODULE)
	@touch $@

.venv/bin/compose-go: $(STAMP)
	@echo "Building the parser of compose files …"
	@GOBIN=$(CURDIR)/.venv/bin $(GO) install $(COMPOSE_MODULE)
	@mv .venv/bin/cmd $@
	@touch $@

deploy-tools: $(if $(GO),.venv/bin/helm .venv/bin/compose-go,install) ## helm and a parser of compose files into .venv, where there is Go
	@$(if $(GO),true,echo "There is no Go here: the tests of the chart and of the composition will be skipped")

deploy-check: deploy-tools ## image, composition, chart: linted, rendered, held against their schemas
	@.venv/bin/python -m pytest -q tests/deploy $(ARGS)

check: install ## lint, types, layers
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/python -m pytest -q tests/test_layers.py

format: install ## put the source in its usual shape
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

clean: ## remove .venv and whatever was made
	rm -rf .venv build dist out *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
