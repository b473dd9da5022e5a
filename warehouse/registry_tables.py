"""The registry of datasets as tables (`ops.datasets`, `ops.past_sources`), so that SQL can hold the slot grid against the ledger.

Belongs here: their definition and their writing. Does not: the registry (`orchestration.hypertracker.datasets`).

A scope of a dataset is one of its `scope_prefixes` and a unit. `reach_s` is how much of the past before its slot one answer of a
series holds, null for what holds one state only; `window_s` is set where that is all that can ever be had. `requests_a_poll` is
what one scope and slot is reckoned to cost.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

TABLES = {
    "ops.datasets": """dataset varchar, step_s bigint, is_scoped boolean, is_optional boolean, scope_prefixes varchar[],
        reach_s bigint, window_s bigint, floor_at timestamp, requests_a_poll bigint""",
    "ops.past_sources": """dataset varchar, source varchar, reach_s bigint, floor_at timestamp, ceiling_at timestamp,
        requests_a_poll bigint""",
}


def write_registry(
    connection: duckdb.DuckDBPyConnection, datasets: Sequence[Sequence[object]], past_sources: Sequence[Sequence[object]]
) -> None:
    """Make the tables say what the registry says; rows in the order of their columns, times UTC without an offset."""
    connection.execute("create schema if not exists ops")
    for (name, columns), rows in zip(TABLES.items(), (datasets, past_sources), strict=True):
        connection.execute(f"create table if not exists {name} ({columns})")
        if [tuple(row) for row in rows] != connection.execute(f"select * from {name}").fetchall():
            # Columns may be of an earlier version of this project.
            connection.execute(f"create or replace table {name} ({columns})")
            connection.executemany(f"insert into {name} values ({', '.join('?' for _ in rows[0])})", [list(row) for row in rows])
