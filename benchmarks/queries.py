"""Line 14: the ten questions on a published file of generated history, and what each scans.

Belongs here: asking and explaining. Does not: the questions (`questions.sql`), their data (`history`), publishes (`publishing`).
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import duckdb

from benchmarks.history import END
from benchmarks.measuring import Check, Finding, Size
from benchmarks.publishing import published_history

QUESTIONS_FILE = Path(__file__).parent / "questions.sql"
COIN = "C1"
MOST_MS = 100
WARM_RUNS = 7
# Where the published order makes a question read much: a table of it, and an order that might serve it better.
OTHER_ORDERS = {
    "a week of open interest": ("fct_coin_metrics", "dataset, coin, snapshot_at"),
    "size-bucket shares over a quarter": ("fct_size_bucket_metrics", "dataset, coin, snapshot_at, size_bucket_id"),
    "coverage of last month": ("fct_slot_coverage", "slot, dataset, scope"),
    "who flipped side today": ("fct_open_positions", "coin, snapshot_at, position_id"),
    "largest new positions since yesterday by smart money": ("fct_open_positions", "coin, snapshot_at, position_id"),
}
NEEDLESS = 20  # rows read for each row kept, beyond which a scan reads what it need not


@dataclass(frozen=True)
class Scan:
    """One reading of a table in a plan: rows read, rows kept, rows the table has."""

    table: str
    read: int
    kept: int
    of: int

    def __str__(self) -> str:
        return f"{self.table}: {self.read:,} of {self.of:,} rows read, {self.kept:,} kept"

    @property
    def is_needless(self) -> bool:
        return self.read > 122_880 * 2 and self.read > NEEDLESS * max(self.kept, 1)


def ten_questions(size: Size) -> Finding:
    history = published_history(size)
    checks, notes = [], [str(history)]
    with duckdb.connect(str(history.published), read_only=True) as connection:
        for name, sql in questions().items():
            scans = _scans(connection, sql)
            checks.append(Check(name, _warm_ms(connection, sql), "ms", most=MOST_MS))
            notes.append(f"{name}: {'; '.join(map(str, scans))}")
            notes += [f"  **reads what it need not**: {scan.table}" for scan in scans if scan.is_needless]
            notes += [_in_another_order(history.published, name, sql)] if name in OTHER_ORDERS else []
    return Finding(checks, notes)


def questions() -> dict[str, str]:
    """SQL by the question it answers."""
    parts = re.split(r"^-- question: (.*)$", QUESTIONS_FILE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return {name.strip(): sql.strip().rstrip(";") for name, sql in zip(parts[::2], parts[1::2], strict=True)}


def _in_another_order(published: Path, name: str, sql: str) -> str:
    """The same question asked of a copy of its table in another order."""
    table, order = OTHER_ORDERS[name]
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(f"{folder}/other.duckdb") as connection:
        connection.execute(f"attach '{published.resolve()}' as published (read_only)")
        connection.execute("create schema marts")
        connection.execute(f"create table marts.{table} as select * from published.marts.{table} order by {order}")
        connection.execute("checkpoint")
        return f"  with {table} sorted by {order}: {_warm_ms(connection, sql):.1f} ms"


def _given(sql: str) -> dict[str, Any]:
    values = {"coin": COIN, "now": END.replace(tzinfo=None)}
    return {name: value for name, value in values.items() if f"${name}" in sql}


def _warm_ms(connection: duckdb.DuckDBPyConnection, sql: str) -> float:
    times = []
    for _ in range(WARM_RUNS + 1):
        begun = time.perf_counter()
        rows = connection.execute(sql, _given(sql)).fetchall()
        times.append((time.perf_counter() - begun) * 1000)
    if not rows:
        raise RuntimeError(f"no rows: {sql[:200]}")
    return median(times[1:])


def _scans(connection: duckdb.DuckDBPyConnection, sql: str) -> list[Scan]:
    connection.execute("set explain_output = 'all'")
    ((_, text),) = connection.execute(f"explain (analyze, format json) {sql}", _given(sql)).fetchall()
    return [_scan(connection, node) for node in _nodes(json.loads(text)) if node.get("operator_type") == "TABLE_SCAN"]


def _nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(found for child in node.get("children", []) for found in _nodes(child))]


def _scan(connection: duckdb.DuckDBPyConnection, node: dict[str, Any]) -> Scan:
    table = str(node.get("extra_info", {}).get("Table", "")).split(".")[-1]
    found = connection.execute("select estimated_size from duckdb_tables() where table_name = ?", [table]).fetchone()
    return Scan(table, node.get("operator_rows_scanned", 0), node.get("operator_cardinality", 0), found[0] if found else 0)
