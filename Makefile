# Every target sets up what it needs: `make demo` and `make test` work on a fresh clone.
.DEFAULT_GOAL := help
.PHONY: help install demo real up down test test-all lint format bench gpu-check study docs clean
PYTHON := .venv/bin/python
STAMP := .venv/.installed
RECIPE ?= deployments/recipes/toy.yaml
# Waiting threads that spin slow down whatever runs beside them.
export OMP_WAIT_POLICY := PASSIVE

help:  ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt deployments/install.sh
	sh deployments/install.sh
	@touch $@

install: $(STAMP)  ## Create .venv and install the pinned set (again when the pins change)

demo: $(STAMP)  ## The whole job on one machine: train, extrapolate, measure, choose, publish
	@$(PYTHON) -m flows.program pipeline $(RECIPE)

real: $(STAMP)  ## A real language model of 135 M parameters end to end; fetches 93 MB
	@$(PYTHON) deployments/real/smollm2.py .relex/real
	@$(PYTHON) -m flows.program run .relex/real/recipe.yaml

up: $(STAMP)  ## Prefect, MLflow, S3 and a worker in the background: start runs from the page
	@$(PYTHON) -m flows.program up

down: $(STAMP)  ## End what `make up` started
	@$(PYTHON) -m flows.program down

lint: $(STAMP)  ## Format, lint and strict types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

test: lint  ## Lint, types and all tests but the long ones
	$(PYTHON) -m pytest --numprocesses 2 --dist loadfile

test-all: lint  ## Lint, types and all tests, the long ones too
	$(PYTHON) -m pytest -m "slow or not slow" --numprocesses 2 --dist loadfile

bench: $(STAMP)  ## Speed, bytes and memory of engine and window beside references (half an hour)
	@PYTHONPATH=. $(PYTHON) tests/bench/bench_precision.py
	@PYTHONPATH=. $(PYTHON) tests/bench/bench_codec.py .relex/bench/window
	@PYTHONPATH=. $(PYTHON) tests/bench/bench_decode.py
	@PYTHONPATH=. $(PYTHON) tests/bench/bench_snapshots.py
	@PYTHONPATH=. $(PYTHON) tests/bench/bench_engine.py
	@PYTHONPATH=. $(PYTHON) tests/bench/bench_search.py
	@PYTHONPATH=. $(PYTHON) tests/bench/bench_candidates.py
	@PYTHONPATH=. $(PYTHON) tests/bench/bench_swaps.py
	@PYTHONPATH=. $(PYTHON) tests/bench/bench_orchestration.py
	@PYTHONPATH=. $(PYTHON) tests/bench/bench_cluster.py
	@PYTHONPATH=. $(PYTHON) tests/bench/bench_sandbox.py

gpu-check: $(STAMP)  ## What this machine's GPU shows, in one table
	@PYTHONPATH=. $(PYTHON) tests/bench/gpu_check.py

study: $(STAMP)  ## The study of the choice: 57 runs, four to five hours of one core; goes on where it was stopped
	@PYTHONPATH=. OMP_NUM_THREADS=1 TQDM_DISABLE=1 $(PYTHON) tests/bench/study/study.py --out docs

docs: $(STAMP)  ## The documentation as a site, links checked: .relex/site/index.html
	@PYTHONPATH=. $(PYTHON) -m mkdocs build
	@echo .relex/site/index.html

format: $(STAMP)  ## Format and fix
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

clean:  ## Remove the environment and what runs left in .relex (or RELEX_HOME)
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m flows.program clean; fi
	rm -rf .venv
