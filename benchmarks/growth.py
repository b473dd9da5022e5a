"""Line 9: a tick with months of history behind it, beside the same tick with a week behind it.

Belongs here: making a folder old, and ticking in it. Does not: what storage costs (`storage`).

A folder is made old by SQL: all rows that two real ticks left are written again, moved back in time slot by slot, with sequences
and ids of their own that lie before the real ones. Raw is kept for a week, as in earnest.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.folders import begin
from benchmarks.measuring import Check, Finding, Size, in_child, stages
from benchmarks.provider import START, Provider, provider
from orchestration.planning.slots import Cadence
from orchestration.settings import WAREHOUSE_NAME
from warehouse.connection import open_writer
from warehouse.raw_tables import quoted

MOST = 1.2
COINS = "top:10"
RAW_DAYS = 7
SLOTS_A_DAY = 96
SEQUENCES = ("load_seq", "_load_seq", "fetch_seq", "_fetch_seq", "newest_load_seq")
IDS = ("payload_id", "_payload_id", "first_payload_id", "fetch_id")
KEPT_AS_THEY_ARE = ("dim_coin", "dim_cohort", "dim_size_bucket", "fct_positions", "int_position_versions", "fct_order_versions")
CADENCE = Cadence.QUARTER_HOUR
REAL_SLOTS = 2


def growth(size: Size) -> Finding:
    said = {}
    with provider(min(size.coins, 12), min(size.positions, 4_000), min(size.orders, 4_000)) as served, _folder() as young:
        begin(young)
        for number in range(REAL_SLOTS):
            _tick(served, young, START + number * CADENCE.step)
        for days in size.growth_days:
            with _folder() as old:
                shutil.copytree(young, old, dirs_exist_ok=True, symlinks=True)
                said[days] = _old_tick(served, old, days)
    few, many = (said[days] for days in size.growth_days)
    label = f"{size.growth_days[1]} days behind it / {size.growth_days[0]}"
    checks = [
        Check(f"time, {label}", sum(many["stages"].values()) / sum(few["stages"].values()), "x", most=MOST),
        Check(f"bytes written, {label}", many["written_mib"] / few["written_mib"], "x", most=MOST),
    ]
    return Finding(checks, [
        stages(f"{days} days, {answer['written_mib']:.0f} MiB written, a peak of {answer['peak_mib']:.0f} MiB", answer["stages"])
        for days, answer in said.items()
    ])  # fmt: skip


def _old_tick(served: Provider, folder: Path, days: int) -> dict[str, Any]:
    with open_writer(folder / WAREHOUSE_NAME) as connection:
        age(connection, days)
    # The tick after growing old publishes all of it for the first time; the one after it counts.
    _tick(served, folder, START + REAL_SLOTS * CADENCE.step)
    return _tick(served, folder, START + (REAL_SLOTS + 1) * CADENCE.step)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def _tick(served: Provider, folder: Path, slot: datetime) -> dict[str, Any]:
    served.set(slot + timedelta(seconds=5))
    return in_child("ticks", served.api_url, served.token, folder, COINS, CADENCE.name, slot.isoformat())


def age(connection: duckdb.DuckDBPyConnection, days: int) -> None:
    """Write every row that has a time again for each earlier pair of slots."""
    span = REAL_SLOTS * CADENCE.step.total_seconds()
    tables = connection.execute(
        "select schema_name, table_name from duckdb_tables() where schema_name in ('raw', 'ops', 'intermediate', 'marts')"
    ).fetchall()
    for schema, table in tables:
        if table not in KEPT_AS_THEY_ARE:
            back = min(days, RAW_DAYS) if schema == "raw" else days
            _age_table(connection, f"{schema}.{quoted(table)}", back * SLOTS_A_DAY // REAL_SLOTS, span)


def _age_table(connection: duckdb.DuckDBPyConnection, table: str, copies: int, span_s: float) -> None:
    columns = connection.execute(f"describe {table}").fetchall()
    moved = {name: _moved(name, kind, span_s) for name, kind, *_ in columns}
    if not any(kind == "TIMESTAMP" for _, kind, *_ in columns):
        return
    values = ", ".join(f"{expression} as {quoted(name)}" for name, expression in moved.items())
    # Oldest first, as ticks would have appended them.
    connection.execute(
        f"insert into {table} select {values} from (select unnest(range({copies}, 0, -1)) as n) "
        f"cross join (select * from {table}) order by n desc"
    )


def _moved(name: str, kind: str, span_s: float) -> str:
    column = quoted(name)
    if kind == "TIMESTAMP":
        return f"{column} - to_seconds(n * {span_s})"
    if name in SEQUENCES:
        return f"{column} - n * 1000000"
    return f"md5({column} || n)" if name in IDS else column
