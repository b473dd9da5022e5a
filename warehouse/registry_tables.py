"""The registry of datasets as tables (`ops.datasets`, `ops.past_sources`), so that SQL can hold the slot grid against the ledger.

Belongs here: their definition and their writing. Does not: the registry (`orchestration.hypertracker.datasets`).
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

TABLES = {
    "ops.datasets": "dataset varchar, step_s bigint, lookback_s bigint, is_scoped boolean, is_optional boolean",
    "ops.past_sources": "dataset varchar, source varchar, reach_s bigint, floor_at timestamp, ceiling_at timestamp",
}


def write_registry(
    connection: duckdb.DuckDBPyConnection, datasets: Sequence[Sequence[object]], past_sources: Sequence[Sequence[object]]
) -> None:
    """Make the tables say what the registry says; rows in the order of their columns, times UTC without an offset."""
    connection.execute("create schema if not exists ops")
    for (name, columns), rows in zip(TABLES.items(), (datasets, past_sources), strict=True):
        connection.execute(f"create table if not exists {name} ({columns})")
        if [tuple(row) for row in rows] != connection.execute(f"select * from {name}").fetchall():
            connection.execute(f"delete from {name}")
            connection.executemany(f"insert into {name} values ({', '.join('?' for _ in rows[0])})", [list(row) for row in rows])
