"""Two ratios, measured on the machine at hand and written to RESULTS.md: `make bench`.

Belongs here: measuring. Does not: budgets or judgements. Each ratio compares two things within one run, a moment apart, because
times of different runs on a shared machine say little; what is written is the median of the runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median

import duckdb
from pydantic import SecretStr

from orchestration.clock import SteppedClock
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.landing import land, prepare
from orchestration.modelling import raise_for_failures
from orchestration.pipeline import Pipeline
from orchestration.settings import load_settings
from sandbox import SandboxSettings, running_sandbox
from warehouse.connection import open_writer
from warehouse.ledger import Verdict
from warehouse.raw_tables import quoted
from warehouse.vault import FetchRecord, Vault, new_fetch_id

RESULTS_FILE = Path(__file__).parent / "RESULTS.md"
ROW_COUNT = 31_000
SLOT = datetime(2026, 3, 24, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
ASKED_AFTER = timedelta(seconds=5)
DATASET = BY_NAME["open_positions"]
PACKAGES = ("duckdb", "dbt-core", "dbt-duckdb", "dagster")
VALUES = {
    "double": "round(random() * 1e6, 6)",
    "bigint": "range",
    "boolean": "range % 2 = 0",
    "timestamp": "timestamp '2026-03-24'",
}
Pair = tuple[float, float]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs: 6 loads and 2 ticks instead of 16 and 5")
    parser.add_argument("--tick", action="store_true", help="measure one tick in this process and print it (used by the others)")
    given = parser.parse_args(arguments)
    if given.tick:
        print(json.dumps(measure_tick()))
        return 0
    loads = [measure_load(run % 2 == 0) for run in range(6 if given.quick else 16)]
    ticks = [tick_in_a_new_process() for _ in range(2 if given.quick else 5)]
    RESULTS_FILE.write_text(report(loads, ticks), "utf-8")
    print(RESULTS_FILE.read_text("utf-8"))
    return 0


def measure_load(ours_first: bool) -> Pair:
    """Seconds for our loader and for a plain INSERT from `read_csv` (which also guesses the types), of the same rows into tables
    of the same file. Whoever goes second finds everything warm, so the runs take turns."""
    with tempfile.TemporaryDirectory() as folder:
        csv, vault = write_csv(Path(folder)), Vault(Path(folder) / "vault")
        vault.create()
        record = keep(vault, csv)
        with open_writer(Path(folder) / "warehouse.duckdb") as connection:
            prepare(connection)
            columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in DATASET.columns.items())
            connection.execute(f"create table plain ({columns})")
            load = partial(expect_loaded, connection, vault, record)
            insert = partial(connection.execute, f"insert into plain from read_csv('{csv}')")
            first, second = [seconds(work) for work in ((load, insert) if ours_first else (insert, load))]
    return (first, second) if ours_first else (second, first)


def write_csv(folder: Path) -> Path:
    """Rows of every column of the dataset, all of one coin."""
    path = folder / "rows.csv"
    values = {name: VALUES.get(kind, "'word ' || range") for name, kind in DATASET.columns.items()}
    values[str(DATASET.scope_column)] = "'BTC'"
    columns = ", ".join(f"{value} as {quoted(name)}" for name, value in values.items())
    duckdb.connect().execute(f"copy (select {columns} from range({ROW_COUNT})) to '{path}' (header)")
    return path


def keep(vault: Vault, csv: Path) -> FetchRecord:
    with vault.new_body(DATASET.name, SLOT, ".csv") as body:
        body.write(csv.read_bytes())
        part = body.finish()
    return FetchRecord(new_fetch_id(), DATASET.name, "BTC", SLOT, SLOT, SLOT, "received", (part,))


def expect_loaded(connection: duckdb.DuckDBPyConnection, vault: Vault, record: FetchRecord) -> None:
    judgement = land(connection, vault, record)
    if judgement.verdict is not Verdict.LOADED or judgement.row_count != ROW_COUNT:
        raise RuntimeError(f"{judgement.verdict}: {judgement.reason}")


def tick_in_a_new_process() -> Pair:
    """A cold build is one that still has to import dbt; only a new process has that before it."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, __file__, "--tick"]
    said = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    cold, warm = json.loads(said.splitlines()[-1])
    return cold, warm


def measure_tick() -> Pair:
    """Seconds for building open positions and what they feed after two polls: first in a new process, then a slot later."""
    sizes = SandboxSettings(coins=4, positions=2000, orders=100, start=SLOT, clock="manual")
    with tempfile.TemporaryDirectory() as folder, running_sandbox(sizes) as sandbox:
        settings = load_settings(
            api_url=sandbox.api_url, api_token=SecretStr(sandbox.token), coins="BTC,ETH", plan="1000000/day",
            data_dir=Path(folder), warehouse_url=None, datasets="all",
        )  # fmt: skip
        pipeline = Pipeline(settings, SteppedClock(sandbox.clock.now, sandbox.clock.set))
        cold = poll_and_build(pipeline, SLOT)
        sandbox.clock.set(SLOT + QUARTER + ASKED_AFTER)
        return cold, poll_and_build(pipeline, SLOT + QUARTER)


def poll_and_build(pipeline: Pipeline, slot: datetime) -> float:
    """Seconds of the build alone."""
    pipeline.poll([DATASET], slot)
    return seconds(lambda: raise_for_failures(pipeline.build([f"stg_{DATASET.name}+"])))


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def report(loads: Sequence[Pair], ticks: Sequence[Pair]) -> str:
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    rows = [
        row(f"load {ROW_COUNT:,} rows of CSV: our loader (vault, checks, ledger) against INSERT from read_csv", loads),
        row("build open positions and what they feed: the first build of a process and file against the next slot's", ticks),
    ]
    return "\n".join([
        "# Measured", "",
        f"By `make bench` on {os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, {versions}.",
        "Medians of the runs; the ratio is taken within each run.", "",
        "| what | first, s | second, s | first / second | runs |", "|---|---|---|---|---|", *rows, "",
    ])  # fmt: skip


def row(what: str, pairs: Sequence[Pair]) -> str:
    first, second = median(a for a, _ in pairs), median(b for _, b in pairs)
    return f"| {what} | {first:.2f} | {second:.2f} | {median(a / b for a, b in pairs):.1f} | {len(pairs)} |"


if __name__ == "__main__":
    sys.exit(main())
