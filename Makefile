# One way to do each thing. `make` alone lists them.
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
DATA ?=
KEEP ?=

.DEFAULT_GOAL := help
.PHONY: help demo picture test test-unit test-slow check serve fmt chaos bench python-versions terraform schema docs lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 17

# By uv in seconds. Where its package cannot be had, by pip in a minute or two.
$(STAMP): requirements.in pyproject.toml
	@python3 -m venv $(VENV)
	@UV=$$(command -v uv || { $(PY) -m pip install -q --disable-pip-version-check uv && echo $(VENV)/bin/uv; } || true); \
	{ [ "$$UV" ] && "$$UV" pip install -q --python $(PY) -e '.[dev]'; } || \
	  $(PY) -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(STAMP)  ## from tables in BigQuery to a sync, here (DATA=folder of rows, KEEP=1 to look around)
	@$(PY) -m local.demo $(if $(DATA),--data $(DATA)) $(if $(KEEP),--keep)

picture: $(STAMP)  ## record the demo as docs/*.svg, and draw docs/status-page.png with Chromium
	@$(PY) -m local.picture && $(PY) -m tests.status_picture

# Compiled tests are kept: to compile them takes each process five seconds.
export PYTHONDONTWRITEBYTECODE :=

# A process more than cores: while a test waits for a time limit or for a server to start, others run.
PROCESSES ?= 3

test: $(STAMP)  ## every test but the long ones; 4 minutes
	@$(PY) -m pytest -n $(PROCESSES) --dist worksteal -m 'not slow' $(ARGS)

test-slow: $(STAMP)  ## the long ones: variations and stress of what the others hold; a quarter of an hour
	@$(PY) -m pytest -n $(PROCESSES) --dist worksteal -m slow $(ARGS)

test-unit: $(STAMP)  ## the tests that need no server; seconds
	@$(PY) -m pytest -n 2 --dist worksteal -m 'not slow' tests/unit $(ARGS)

check: $(STAMP)  ## format, lint, types
	@$(PY) -m ruff format --check . && $(PY) -m ruff check . && $(PY) -m mypy

fmt: $(STAMP)  ## put the code into shape
	@$(PY) -m ruff format . && $(PY) -m ruff check --fix .

serve: $(STAMP)  ## the function on http://127.0.0.1:8080, with the configuration in sync.yaml
	@echo "http://127.0.0.1:8080/ with $${SYNC_CONFIG:-sync.yaml};" \
	  "it needs Google credentials and Aito (make demo KEEP=1 needs neither)"
	@$(VENV)/bin/functions-framework --target sync --source main.py --host 127.0.0.1 --port 8080

schema: $(STAMP)  ## write sync.schema.json, which editors read, from the settings
	@$(PY) -m sync.config > sync.schema.json

docs: $(STAMP)  ## write the pages of docs/ that are made from the code
	@$(PY) -m docs.generate

lock:  ## pin requirements.txt and requirements-cli.txt, with hashes, from *.in; needs uv
	@command -v uv >/dev/null || { echo "make lock needs uv: https://docs.astral.sh/uv/"; exit 2; }
	@UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --output-file requirements.txt $(ARGS) requirements.in
	@UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --output-file requirements-cli.txt $(ARGS) requirements-cli.in

chaos: $(STAMP)  ## random data, faults, kills and triggers, then equality (ROUNDS=300 SEED=...)
	@$(PY) -m tests.promise.chaos $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED))

bench: $(STAMP)  ## this function against the classic script, dlt and the floors; minutes
	@$(PY) -m benchmarks $(ARGS)

python-versions:  ## unit tests and one whole run with each Python from 3.11 to 3.14 that is installed
	@.ci/python-versions

terraform: $(STAMP)  ## validate, test and plan the deployment, and check the plan
	@terraform/check.sh

clean:  ## remove what was made here
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .hypothesis
