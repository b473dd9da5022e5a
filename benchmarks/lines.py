"""The budgets: every line with what it is measured against, what it must reach, and what measures it.

Belongs here: the list. Does not: measuring (a module a group), showing (`report`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import dagster_cost, growth, loading, polling, publishing, queries, shared_lake, storage, ticks
from benchmarks.measuring import Finding, Size


@dataclass(frozen=True)
class Line:
    """One budget."""

    number: int
    what: str
    against: str
    must: str
    measure: Callable[[Size], Finding]


LINES = (
    Line(1, "vault CSV of 31,000 positions to raw, committed", "DuckDB `read_csv` count(*) of the same file", "<= 2.5x",
         loading.load_of_a_coin),
    Line(2, "the same, 210,000 positions", "the same", "<= 4x", loading.load_of_the_market),
    Line(3, "the same two", "dlt, dicts and arrow", ">= 20x, >= 1.5x faster", loading.load_beside_dlt),
    Line(4, "gzip JSON of 350,000 orders to raw", "DuckDB `read_json` count(*) of the same file", "<= 3x",
         loading.load_of_orders),
    Line(5, "columns/data export of 100,000 rows, flattened by column name", "`json.load` alone", "<= 1.7x", loading.flattening),
    Line(6, "330 coins polled", "plain concurrent httpx of the same bytes to disk", "<= 1.5x", polling.poll_of_the_market),
    Line(7, "a 15-minute tick, whole market, due to published", "-", "<= 90 s", ticks.market_tick),
    Line(8, "a 5-minute tick, 10 coins, due to published", "-", "<= 30 s", ticks.ten_coin_tick),
    Line(9, "a tick with 90 days of history", "the same with 7 days", "<= 1.2x, time and bytes", growth.growth),
    Line(10, "bytes a row of fct_open_positions at 96 snapshots a day", "as sent", "<= 30 B", storage.bytes_a_row),
    Line(11, "rows of fct_order_versions", "rows of the snapshots they rebuild", "<= 5 %", storage.versions_of_orders),
    Line(12, "peak memory of a tick", "-", "<= 1.5 GiB; <= 600 MiB at 10 coins", ticks.peaks),
    Line(13, "Dagster, doing nothing", "-", "<= 8 s; CPU <= 6 s a run", dagster_cost.idle_runs),
    Line(14, "the ten questions, published copy, warm", "-", "<= 100 ms each", queries.ten_questions),
    Line(15, "backfill of a day of slots", "plain httpx, the same requests", "<= 2x; memory flat", polling.backfill_of_a_day),
    Line(16, "publish, file", "plain copy of the file", "<= 4x; the writer waits <= 2 s", publishing.publish_of_a_file),
    Line(17, "publish, lake", "the same rows to plain Parquet", "<= 2x; flat; readers see no error",
         publishing.publish_to_the_lake),
    Line(18, "1, 2 and 4 writers of one shared lake", "a published file, a lake of one machine", "-",
         shared_lake.writers_of_a_lake),
)  # fmt: skip
