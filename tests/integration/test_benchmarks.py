"""The harness of `make bench` runs, at a size at which its figures mean nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.processes import REPOSITORY

pytestmark = pytest.mark.long

# One of each way of measuring: a load, polls of a sandbox, ticks in processes of their own, questions, publishes.
LINES = "1,6,8,14,16"


def test_the_harness_measures_and_writes_its_page(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    command = [sys.executable, "-m", "benchmarks.run", "--quick", "--only", LINES, "--output", str(page)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, page.exists()) == (0, True), done.stderr
    rows = [line for line in page.read_text("utf-8").splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert [row.split("|")[1].strip() for row in rows] == LINES.split(",")
    assert not [row for row in rows if "not taken" in row]
