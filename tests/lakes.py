"""What differs between a lake and the working file it was published from."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from warehouse.lake import NAME, Lake, attached
from warehouse.marts import Mart
from warehouse.table_shapes import shapes_of


def differences(connection: duckdb.DuckDBPyConnection, lake: Lake, marts: Sequence[Mart]) -> dict[str, tuple[int, int]]:
    """By mart: how many rows the working file has and the lake has not, and the other way round; empty where they agree."""
    found = {}
    with attached(connection, lake, read_only=True):
        for shape in shapes_of(connection, marts, NAME):
            missing = _count_except(connection, shape.listed, shape.here, shape.there)
            beyond = _count_except(connection, shape.listed, shape.there, shape.here)
            if missing or beyond:
                found[shape.mart.name] = (missing, beyond)
    return found


def _count_except(connection: duckdb.DuckDBPyConnection, columns: str, left: str, right: str) -> int:
    row = connection.execute(
        f"select count(*) from (select {columns} from {left} except all select {columns} from {right})"
    ).fetchone()
    return int(row[0]) if row else 0
