# Every target sets up what it needs: a virtual environment in the checkout, nothing global.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TESTS := $(VENV)/.ready-for-tests
BI := $(VENV)/bi
SPARK := $(VENV)/spark
# Python compiles what it imports, and keeps that whatever the environment says: every command would compile it again.
# Compiling all that is installed would take longer than the rest of the installation.
unexport PYTHONDONTWRITEBYTECODE
LOCKED := -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --no-deps
INSTALL := $(BIN)/python $(LOCKED)

.PHONY: demo dashboard notebooks test test-long bi-test spark-test soak bench audit dev up lint docs lock clean

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; name one with make PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (about a minute the first time)"
	@$(INSTALL) -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# What tests, checks and notebooks need beside it.
$(TESTS): $(READY) tests/requirements.lock
	@echo "installing what the tests need into $(VENV) (about a minute the first time)"
	@$(INSTALL) -r tests/requirements.lock
	@touch $@

# Superset goes with other versions of what the project needs.
$(BI)/.ready: $(READY) tests/bi/requirements.lock
	@test -x $(BI)/bin/python || $(PYTHON) -m venv $(BI)
	@echo "installing Superset into $(BI) (some minutes the first time)"
	@$(BI)/bin/python $(LOCKED) -r tests/bi/requirements.lock
	@touch $@

# Spark is some 500 MB, and brings a dbt of its own.
$(SPARK)/.ready: $(READY) tests/spark/requirements.lock
	@test -x $(SPARK)/bin/python || $(PYTHON) -m venv $(SPARK)
	@echo "installing Spark into $(SPARK) (some minutes the first time)"
	@$(SPARK)/bin/python $(LOCKED) -r tests/spark/requirements.lock
	@touch $@

demo: $(READY)  ## a market day in miniature, no token needed
	@$(BIN)/htw demo

notebooks: $(TESTS)  ## questions with pictures at an address marimo prints (HTW_DATA_DIR=demo make notebooks: the demo's)
	@exec $(BIN)/marimo edit notebooks

dashboard: $(READY)  ## pages over the published copy at http://127.0.0.1:8501 (HTW_DATA_DIR=demo make dashboard: the demo's)
	@exec $(BIN)/htw dashboard

test: $(TESTS)  ## every test
	$(BIN)/python -m pytest -n 2

test-long: $(TESTS)  ## the slow tests: services on PostgreSQL, a full disk, every form of a payload, hours away, backfill, past slots
	$(BIN)/python -m pytest -n 2 -m long

PICTURE ?=
bi-test: $(TESTS) $(BI)/.ready  ## Superset over a published copy, with a chart in a browser (PICTURE=FILE keeps it)
	HTW_BI_PICTURE=$(PICTURE) $(BIN)/python -m pytest -m bi tests/bi

spark-test: $(TESTS) $(SPARK)/.ready  ## Spark over `htw export --for spark`: the ten questions, two heavy aggregates by dbt (Java 17 is needed)
	$(BIN)/python -m pytest -m spark tests/spark

soak: $(TESTS)  ## workers killed at random moments, a reader asking all along (HTW_SOAK_ROUNDS=1000); a day of four machines on one lake (HTW_SOAK_LAKE_STEP_HOURS=3); a month of each plan
	$(BIN)/python -m pytest -m soak -s

SIZE ?=
bench: $(TESTS)  ## every budget measured into benchmarks/RESULTS.md, an hour and a half; a small size with SIZE=--quick
	$(BIN)/python -m benchmarks.run $(SIZE)

lint: $(TESTS)  ## ruff, mypy, sqlfluff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/sqlfluff lint --processes 2 dbt_project/models dbt_project/tests
	$(BIN)/sqlfluff lint --dialect sparksql dbt_project/spark/models

audit: $(READY)  ## known vulnerabilities of what is locked; says so where the list of them cannot be reached
	@.ci/audit $(BIN)/python

dev: $(READY)  ## the Dagster UI with schedules on, against a sandbox
	@exec $(BIN)/htw dev

up: $(READY)  ## the Dagster UI with schedules on, against HTW_API_URL
	@exec $(BIN)/htw up

docs: $(TESTS) demo  ## the pages of docs, the dbt site as one page and screenshots of the dashboards, from the demo
	@$(BIN)/python -m orchestration.pages
	@HTW_WAREHOUSE_FILE=$(CURDIR)/demo/warehouse.duckdb $(BIN)/dbt docs generate --static --quiet --project-dir dbt_project --profiles-dir dbt_project --target-path $(CURDIR)/demo/docs
	@$(BIN)/python -m tests.dashboards.screenshots demo/published/hypertracker.duckdb docs/screenshots
	@echo "open demo/docs/static_index.html"

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header
lock: $(READY)  ## the locks from pyproject.toml (what runs, what tests need beside it), Superset's and Spark's: versions and hashes, no addresses
	$(BIN)/python -m pip install --quiet uv
	$(COMPILE) --extra build pyproject.toml --output-file requirements.lock
	$(COMPILE) --extra dev --constraints requirements.lock pyproject.toml --output-file tests/requirements.lock
	$(COMPILE) tests/bi/requirements.in --output-file tests/bi/requirements.lock
	$(COMPILE) tests/spark/requirements.in --output-file tests/spark/requirements.lock

clean:  ## everything but the data
	rm -rf $(VENV) demo dbt_project/target dbt_project/spark/target .pytest_cache .mypy_cache .ruff_cache *.egg-info
