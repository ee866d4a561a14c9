# Everything a user runs. The environment lives in .venv and is rebuilt when the lock changes.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help reports test test-all lab app check bench lock format example clean

help:            ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

$(READY): requirements.lock requirements-tools.lock pyproject.toml
	@echo "Setting up the environment in .venv (once; about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-tools.lock
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --compile-bytecode requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c 'from planner import live, load; load.compiled(); live.bundle()'
	@touch $(READY)

reports: $(READY) ## every team's sizing report into reports/
	@$(BIN)/planner report --all

test: $(READY)    ## style and the fast tests
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/python -m pytest -q -n 2 -m "not slow"

test-all: $(READY) ## the fast tests and the slow ones (whole reports, the fit of the constants)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/python -m pytest -q -n 2

lab: $(READY)     ## JupyterLab on the notebooks
	@$(BIN)/jupyter lab --ServerApp.ip=127.0.0.1 --ServerApp.root_dir=. --LabApp.app_settings_dir=notebooks/settings \
	  --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb

app: $(READY)     ## the notebooks as an app, code hidden
	@echo "Open the address below together with its token, which lets in whoever has it."
	@JUPYTER_PATH=notebooks/settings $(BIN)/voila notebooks --template=planner --Voila.ip=127.0.0.1 \
	  --Voila.auto_token=True --no-browser \
	  --progressive_rendering=True --MappingKernelManager.cull_interval=60 --MappingKernelManager.cull_idle_timeout=1800

check: $(READY)   ## is everything in data/ valid?
	@$(BIN)/planner check

bench: $(READY)   ## estimates, plans and reports per second, measured here
	@$(BIN)/python benchmarks/bench.py && $(BIN)/python benchmarks/browser.py

lock: $(READY)    ## resolve the dependencies of pyproject.toml again
	@$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
	  --no-emit-index-url --generate-hashes --no-header --no-annotate \
	  --no-emit-package rfc3987-syntax --no-emit-package lark --quiet -o requirements.lock
	@echo uv | $(BIN)/uv pip compile - --universal --python-version 3.11 \
	  --no-emit-index-url --generate-hashes --no-header --no-annotate --quiet \
	  -o requirements-tools.lock

format: $(READY)  ## put the code and the notebooks in order
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .
	@$(BIN)/nbstripout notebooks/*.ipynb

example: $(READY) ## render the committed example report again
	@$(BIN)/python -c 'from planner import report; report.example("data/teams/coding_assistant.toml", "reports")'

clean:           ## remove the environment and what was rendered
	@rm -rf .venv build *.egg-info
	@find reports -mindepth 1 -maxdepth 1 ! -name example -exec rm -rf {} +
