"""Lines 10 and 11, and a year of ten coins: bytes and rows of a stretch of a market that was polled and built for real.

Belongs here: what storage costs. Does not: time against history (`growth`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

import duckdb

from benchmarks.folders import begin
from benchmarks.measuring import Check, Finding, Size, seconds
from benchmarks.provider import START, Provider, provider
from benchmarks.ticks import Watched, tick
from orchestration.hypertracker.datasets import BY_NAME, DATASETS
from orchestration.modelling import raise_for_failures
from orchestration.planning.slots import Cadence
from warehouse.connection import open_writer
from warehouse.lake_upkeep import maintain

MOST_BYTES_A_ROW = 30
MOST_VERSIONS_PCT = 5
COINS = "top:10"
SLOTS_A_DAY = 96


@dataclass(frozen=True)
class Stretch:
    """Slots of ten coins, polled every quarter of an hour (orders every five minutes) and built once."""

    slots: int
    bytes_by_table: Mapping[str, int]
    rows_by_table: Mapping[str, int]
    vault_bytes: int
    snapshot_rows: int
    carried_fraction: float
    poll_s: float
    tick_s: float


def bytes_a_row(size: Size) -> Finding:
    """A day of snapshots in the lake, whose files upkeep has merged, beside the same rows in the published file."""
    slots = min(SLOTS_A_DAY, size.slots_of_a_stretch * 4)
    with tempfile.TemporaryDirectory() as name, _largest_coins(size) as served:
        begin(Path(name))
        pipeline = served.pipeline(Path(name), COINS, Watched)
        for number in range(slots):
            slot = START + number * Cadence.QUARTER_HOUR.step
            served.set(slot + timedelta(seconds=5))
            pipeline.poll([BY_NAME["coins"], BY_NAME["open_positions"]], slot)
        raise_for_failures(pipeline.build())
        pipeline.publish()
        _, lake = maintain(pipeline.settings.lake, history_days=1)
        with open_writer(pipeline.settings.warehouse_file) as connection:
            rows = _count(connection, "marts.fct_open_positions")
            in_file = bytes_of(connection, "select * from marts.fct_open_positions order by snapshot_at, coin, position_id")
    stored = lake.bytes["fct_open_positions"]
    checks = [Check(f"{rows:,} rows of {slots} snapshots, in the lake", stored / rows, "B", most=MOST_BYTES_A_ROW)]
    return Finding(checks, [f"in the published file, its hot window: {in_file / rows:.0f} B a row; every column is in every row"])


def versions_of_orders(size: Size) -> Finding:
    found = stretch(size)
    share = 100 * found.rows_by_table["fct_order_versions"] / found.snapshot_rows
    checks = [Check(f"versions / {found.snapshot_rows:,} rows of snapshots", share, "%", most=MOST_VERSIONS_PCT)]
    return Finding(
        checks,
        [f"{100 * found.carried_fraction:.1f} % of orders carry over from a snapshot to the next; the first snapshot is all new"],
    )


def year_of_ten_coins(size: Size) -> list[str]:
    """A year, extrapolated from the stretch, as lines of a table."""
    found = stretch(size)
    factor = 365 * SLOTS_A_DAY / found.slots
    largest = sorted(found.bytes_by_table.items(), key=lambda item: -item[1])[:8]
    lines = [f"| `{name}` | {count / found.slots / 1e3:,.0f} | {count * factor / 1e9:.1f} |" for name, count in largest]
    everything = sum(found.bytes_by_table.values())
    return [
        f"From {found.slots} slots of {COINS.removeprefix('top:')} coins, every dataset due in them. "
        "Raw is counted as if it were kept for ever.",
        "", "| table | kB a slot | GB a year |", "|---|---|---|", *lines,
        f"| all tables | {everything / found.slots / 1e3:,.0f} | {everything * factor / 1e9:.1f} |",
        f"| vault | {found.vault_bytes / found.slots / 1e3:,.0f} | {found.vault_bytes * factor / 1e9:.1f} |", "",
        f"A poll takes {found.poll_s:.2f} s in a warm process, a 15-minute tick from poll to published {found.tick_s:.1f} s: "
        f"{found.tick_s * 365 * SLOTS_A_DAY / 3600:.0f} hours of a year.",
    ]  # fmt: skip


@cache
def stretch(size: Size) -> Stretch:
    with tempfile.TemporaryDirectory() as name, _largest_coins(size) as served:
        begin(Path(name))
        pipeline = served.pipeline(Path(name), COINS, Watched)
        orders = [dataset for dataset in DATASETS if dataset.cadence is Cadence.FIVE_MINUTES]
        quarters = [dataset for dataset in DATASETS if dataset.cadence is Cadence.QUARTER_HOUR]
        took = 0.0
        for number in range(size.slots_of_a_stretch):
            slot = START + number * Cadence.QUARTER_HOUR.step
            served.set(slot + timedelta(seconds=5))
            took += seconds(lambda slot=slot: pipeline.poll(quarters, slot))
            for part in range(3):
                pipeline.poll(orders, slot + part * Cadence.FIVE_MINUTES.step)
        raise_for_failures(pipeline.build())
        last = START + size.slots_of_a_stretch * Cadence.QUARTER_HOUR.step
        served.set(last + timedelta(seconds=5))
        whole = sum(tick(pipeline, Cadence.QUARTER_HOUR, last, 0.0)["stages"].values())
        return _measured(pipeline, size.slots_of_a_stretch + 1, took / size.slots_of_a_stretch, whole)


def _largest_coins(size: Size) -> AbstractContextManager[Provider]:
    """A quarter of what the ten largest coins have of all positions and orders, which is about 40 %."""
    return provider(min(size.coins, 12), size.positions // 10, size.orders // 10)


def _measured(pipeline: Watched, slots: int, poll_s: float, tick_s: float) -> Stretch:
    file = pipeline.settings.warehouse_file
    with open_writer(file) as connection:
        tables = connection.execute(
            "select schema_name, table_name from duckdb_tables() where schema_name in ('raw', 'marts', 'intermediate', 'ops')"
        ).fetchall()
        sizes = {table: bytes_of(connection, f"select * from {schema}.{table}") for schema, table in tables if schema != "raw"}
        sizes |= {
            f"raw.{table}": bytes_of(connection, f"select * from raw.{table}") for schema, table in tables if schema == "raw"
        }
        rows = {table: _count(connection, f"{schema}.{table}") for schema, table in tables if schema != "raw"}
        snapshot_rows = _count(connection, "raw.order_snapshots")
        carried = connection.execute(CARRIED).fetchone()
    vault = sum(path.stat().st_size for path in pipeline.settings.vault_dir.rglob("*") if path.is_file())
    return Stretch(slots, sizes, rows, vault, snapshot_rows, float(carried[0] or 0) if carried else 0.0, poll_s, tick_s)


CARRIED = """
    with orders as (
        select _scope, oid, dense_rank() over (partition by _scope order by _snapshot_at) as number,
            hash(limitPx, sz, triggerPx, status, triggerCondition) as content
        from raw.order_snapshots
    )
    select avg(if(before.oid is null, 0, 1))
    from orders as now
    left join orders as before
        on now._scope = before._scope and now.oid = before.oid and now.number = before.number + 1 and now.content = before.content
    where now.number > 1
"""


def bytes_of(connection: duckdb.DuckDBPyConnection, select: str) -> int:
    """Bytes of these rows, in their order, in a file of their own, less an empty one's."""
    with tempfile.TemporaryDirectory() as folder:
        sizes = []
        for name, content in (("empty", f"{select} limit 0"), ("rows", select)):
            path = Path(folder) / f"{name}.duckdb"
            connection.execute(f"attach '{path}' as apart")
            connection.execute(f"create table apart.main.content as {content}")
            connection.execute("checkpoint apart")
            connection.execute("detach apart")
            sizes.append(path.stat().st_size)
    return sizes[1] - sizes[0]


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"select count(*) from {table}").fetchone()
    return int(row[0]) if row else 0
