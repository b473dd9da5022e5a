"""What tests of exports share: an export held against the table it was made of, and one that is killed on its way."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import duckdb

from tests.integration.processes import REPOSITORY, command
from tests.pipeline.conftest import Day

# It has a day for nearly every row: many small files.
EQUITY = "fct_wallet_equity"
PATIENCE_S = 60


def differing(published: Path, folder: Path, table: str) -> int:
    """Rows that only the export in the folder or only the published table has, times as moments."""
    with duckdb.connect(str(published.resolve()), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        columns = ", ".join(f'"{name}"' for name, *_ in connection.execute(f"describe marts.{table}").fetchall())
        there = f"select {columns} from read_parquet('{folder}/{table}/**/*.parquet', hive_partitioning = true)"
        here = f"select {columns} from marts.{table}"
        row = connection.execute(
            f"select count(*) from (({here} except all {there}) union all ({there} except all {here}))"
        ).fetchone()
    assert row is not None
    return int(row[0])


def killed(day: Day, arguments: tuple[str, ...], begun: Path) -> None:
    """Run `htw export` and kill it as soon as a file is there."""
    settings = {"HTW_DATA_DIR": str(day.settings.data_dir), "PYTHONPATH": str(REPOSITORY), "PATH": os.environ["PATH"]}
    with subprocess.Popen(command("export", *arguments), env=settings, cwd=day.settings.data_dir) as child:
        until = time.monotonic() + PATIENCE_S
        while not begun.exists() and time.monotonic() < until:
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert begun.exists(), f"it did not begin within {PATIENCE_S} s"
