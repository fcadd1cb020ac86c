# Thin: each line is a command that a person could type.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PORT ?= 3000
BIN := .venv/bin
PYTHONS := python3.13 python3.12 python3.14 python3.11 python3

.PHONY: help setup demo ui test spark test-ui test-recovery test-data test-faults torture check lint format types lock lineage chart notebook pictures score results bench clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | column -t -s '|'

.venv/.done: requirements.lock pyproject.toml
	@found=; for name in $(PYTHONS); do \
	  path=$$(command -v $$name) || continue; \
	  if "$$path" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' 2>/dev/null; then found="$$path"; break; fi; \
	done; \
	if [ -z "$$found" ]; then echo "no Python from 3.11 to 3.14 with venv was found (looked for $(PYTHONS)); install one, such as python3 and python3-venv"; exit 1; fi; \
	echo "using $$found ($$("$$found" --version))"; \
	"$$found" -m venv .venv
	@echo "installing the locked dependencies into .venv (once)"
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@"$(BIN)/python" -m compileall -q -j 0 .venv/lib profile_pipeline >/dev/null || true
	@touch .venv/.done

setup: .venv/.done ## make .venv with the locked dependencies

demo: setup ## build the synthetic world from nothing to profiles
	@"$(BIN)/python" -m profile_pipeline.cli demo

ui: setup ## start the Dagster UI (PORT=3000)
	@"$(BIN)/python" -m profile_pipeline.cli ui --port $(PORT)

test: setup ## run the default tests
	@"$(BIN)/python" -m pytest -n 2 --dist loadfile --durations=20

spark: setup ## run all SQL on a small Spark session too (needs Java 17; installs pyspark)
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[spark]'
	@"$(BIN)/python" -m pytest -m spark --durations=10

test-ui: setup ## run the tests of the UI (needs chromium; budget 4 minutes)
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check 'selenium>=4.30'
	@"$(BIN)/python" -m pytest -m ui --durations=10

test-recovery: setup ## kill the UI's processes in every way and see it recover (budget 6 minutes)
	@"$(BIN)/python" -m pytest -m recovery --durations=10

test-data: setup ## run the tests on real data sets beside the project (budget 6 minutes)
	@"$(BIN)/python" -m pytest -m data --durations=10

test-faults: setup ## try to break the laws (budget 6 minutes)
	@"$(BIN)/python" -m pytest -m faults -n 2 --dist loadfile --no-loadscope-reorder --durations=10

torture: setup ## try to break the laws with long numbers, and write docs/reliability.md
	@"$(BIN)/python" -m benchmarks.reliability --torture

check: setup lint types ## lint, format and types

lint: setup
	@"$(BIN)/python" -m ruff check .
	@"$(BIN)/python" -m ruff format --check .

types: setup
	@"$(BIN)/python" -m mypy profile_pipeline

format: setup ## format the code
	@"$(BIN)/python" -m ruff check --fix .
	@"$(BIN)/python" -m ruff format .

lock: setup ## lock the dependencies anew (needs uv)
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11 --extra dev pyproject.toml -o requirements.lock

results: setup ## build the recipes on the real data sets beside the project and write docs/results.md
	@"$(BIN)/python" -m benchmarks.real_data.page

score: setup ## score the finished demo against the truth of its world
	@"$(BIN)/python" -m benchmarks.score_world

bench: setup ## measure time and memory (EVENTS="1000000 10000000", PARTS="peers …")
	@"$(BIN)/python" -m benchmarks.run $(if $(EVENTS),--events $(EVENTS)) $(if $(PARTS),--parts $(PARTS))

chart: setup ## draw the flow chart of the READMEs anew from the definitions
	@"$(BIN)/python" -m profile_pipeline.orchestration.flow_chart

notebook: setup ## run the notebook on the data folder and store its outputs (needs the extra "notebook")
	@"$(BIN)/python" docs/notebooks/execute.py

lineage: setup ## derive the lineage of all SQL anew, for the package to hold
	@"$(BIN)/python" -m profile_pipeline.orchestration.lineage_file

pictures: setup ## take the READMEs' pictures anew from the finished demo (needs chromium)
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check 'selenium>=4.30'
	@"$(BIN)/python" -m benchmarks.pictures

clean: ## remove .venv
	rm -rf .venv
