"""Lines 16 and 17: publishing a history as a file and to the lake, beside a plain copy and plain Parquet.

Belongs here: publishes and who waits for them. Does not: the rows (`history`), what readers ask (`queries`).
"""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from statistics import median

import duckdb

from benchmarks.history import END, TABLES, append_tick, write_history
from benchmarks.measuring import Check, Finding, Size, in_order, ratio, seconds, spread
from orchestration.modelling import described_marts, prepare_manifest
from orchestration.registering import prepare
from warehouse.connection import open_writer
from warehouse.marts import Mart
from warehouse.publish import STABLE_NAME, draft_of, publish_file

MOST_BLOCKED_S = 2
FLAT = 1.2
QUARTER = timedelta(minutes=15)
READERS, PAUSE_S = 2, 0.1


@dataclass(frozen=True)
class History:
    """A working file of months, and the file published from it."""

    working: Path
    published: Path
    rows: dict[str, int]
    generated_s: float
    published_s: float

    def __str__(self) -> str:
        rows = ", ".join(f"{name} {count:,}" for name, count in self.rows.items())
        size = self.published.resolve().stat().st_size / 1e9
        return f"history of {rows}: generated in {self.generated_s:.0f} s, published in {self.published_s:.0f} s, {size:.2f} GB"


@cache
def published_history(size: Size) -> History:
    """Made once; removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="history-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    working, rows = folder / "warehouse.duckdb", {}
    with open_writer(working) as connection:
        prepare(connection)
        generated = seconds(lambda: rows.update(write_history(connection, size)))
    with open_writer(working) as connection:
        published = seconds(lambda: publish_file(connection, folder / "published", marts_of(connection), END))
    return History(working, folder / "published" / STABLE_NAME, rows, generated, published)


def marts_of(connection: duckdb.DuckDBPyConnection) -> list[Mart]:
    """The marts that the file has, as they are published; what stands behind them has no history here."""
    there = {
        row[0] for row in connection.execute("select table_name from duckdb_tables() where schema_name = 'marts'").fetchall()
    }
    return [replace(mart, versions=None) for mart in described_marts(prepare_manifest()) if mart.name in there]


def publish_of_a_file(size: Size) -> Finding:
    """One tick's rows more: a draft is copied first, the writer waits for what changed only. A version is whole once a day."""
    history, waits = published_history(size), []
    with open_writer(history.working) as connection:
        marts = marts_of(connection)
        folder = history.published.parent

        def publish(number: int) -> None:
            draft = draft_of(folder)
            now = END + timedelta(minutes=number)
            waits.append(seconds(lambda: publish_file(connection, folder, marts, now, draft=draft)))

        def copy() -> None:
            subprocess.run(["cp", str(history.published.resolve()), f"{folder}/copy"], check=True)
            subprocess.run(["sync", f"{folder}/copy"], check=True)

        pairs = []
        for number in range(1, max(size.runs, 2) + 1):
            append_tick(connection, size, END + number * QUARTER, number)
            pairs.append(in_order(lambda number=number: publish(number), copy, number % 2 == 0))
    checks = [
        Check("publish of a tick / copy and sync of the same file", ratio(pairs), "x", most=4),
        Check("the writer waits", median(waits), "s", most=MOST_BLOCKED_S),
    ]
    return Finding(
        checks, [spread(pairs), str(history), "a version written whole, as once a day, takes what the history took to publish"]
    )


def publish_to_the_lake(size: Size) -> Finding:
    try:
        from warehouse.lake import Lake
        from warehouse.lake_publish import publish_lake
    except ImportError:
        return Finding([Check("one tick of all marts", None, "x", most=2, why_not="not yet: there is no lake")])
    few = replace(size, history_days=1, coins=max(size.coins // 10, 3), history_coins=max(size.history_coins // 10, 3),
                  positions=size.positions // 10, snapshots_of_positions=1)  # fmt: skip
    with tempfile.TemporaryDirectory() as name, open_writer(Path(name) / "warehouse.duckdb") as connection:
        folder, lake = Path(name), Lake.below(name)
        prepare(connection)
        write_history(connection, few)
        marts = marts_of(connection)
        publish_lake(connection, lake, marts, END)
        with _readers(lake) as errors:
            pairs = []
            for number in range(1, size.publishes + 1):
                now = END + number * QUARTER
                append_tick(connection, few, now, number)
                parquet = folder / f"tick-{number}"
                parquet.mkdir()
                pairs.append(in_order(
                    lambda now=now: publish_lake(connection, lake, marts, now),
                    lambda parquet=parquet, now=now: _append_parquet(connection, parquet, now),
                    number % 2 == 0,
                ))  # fmt: skip
    tenth = max(len(pairs) // 10, 1)
    late, early = median(ours for ours, _ in pairs[-tenth:]), median(ours for ours, _ in pairs[:tenth])
    checks = [
        Check("one tick of all marts / plain Parquet", ratio(pairs), "x", most=2),
        Check(f"the last publishes / the first, of {len(pairs)}", late / early, "x", most=FLAT),
        Check(f"errors of {READERS} readers who ask ten times a second meanwhile", len(errors), "errors", most=0),
    ]
    return Finding(checks, [spread(pairs), *errors[:3]])


def _append_parquet(connection: duckdb.DuckDBPyConnection, folder: Path, now: object) -> None:
    for table in TABLES:
        at = "slot" if table.name == "fct_slot_coverage" else "snapshot_at"
        select = f"select * from marts.{table.name} where {at} = timestamp '{now:%Y-%m-%d %H:%M:%S}'"
        connection.execute(f"copy ({select}) to '{folder}/{table.name}.parquet'")


@contextmanager
def _readers(lake: object) -> Iterator[list[str]]:
    from warehouse.lake import attach

    errors: list[str] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            try:
                with duckdb.connect() as reader:
                    attach(reader, lake, read_only=True)  # type: ignore[arg-type]
                    for _ in range(20):
                        reader.execute("select count(*), max(snapshot_at) from lake.marts.fct_coin_metrics").fetchall()
                        time.sleep(PAUSE_S)
            except Exception as error:  # every error is what is counted
                errors.append(str(error))

    threads = [threading.Thread(target=read) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    try:
        yield errors
    finally:
        over.set()
        for thread in threads:
            thread.join()
