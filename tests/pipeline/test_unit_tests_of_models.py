"""dbt's own unit tests of the models, every one, on an empty warehouse of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from orchestration.modelling import PROJECT_DIR, WAREHOUSE_VARIABLE, prepare_manifest
from orchestration.registering import prepare

SCHEMAS = ("staging", "intermediate", "marts")
FEWEST = 10


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The status of each unit test; the models it looks at exist, without rows."""
    folder = tmp_path_factory.mktemp("unit_tests")
    with duckdb.connect(str(folder / "warehouse.duckdb")) as connection:
        prepare(connection)
    dbt(folder, "run", "--empty")
    dbt(folder, "test", "--select", "resource_type:unit_test")
    found = json.loads((folder / "target" / "run_results.json").read_text("utf-8"))["results"]
    return {result["unique_id"]: f"{result['status']} {result['message'] or ''}".strip() for result in found}


def dbt(folder: Path, *arguments: str) -> None:
    """A process of its own: dbt keeps the file open, and its flags, for as long as the process lives."""
    where = ["--project-dir", PROJECT_DIR, "--profiles-dir", PROJECT_DIR, "--target-path", folder / "target"]
    subprocess.run(
        [sys.executable, "-m", "dbt.cli.main", *arguments, *map(str, where), "--log-path", str(folder / "logs"), "--quiet"],
        env={**os.environ, WAREHOUSE_VARIABLE: str(folder / "warehouse.duckdb")}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_every_unit_test_of_the_models_ran_and_passed(results: dict[str, str]) -> None:
    declared = set(prepare_manifest()["unit_tests"])
    assert len(declared) > FEWEST
    assert set(results) == declared
    failed = {name.rpartition(".")[2]: status for name, status in results.items() if status != "pass"}
    assert failed == {}
