"""Published tables as pandas frames, in one line and without SQL: a table, coins, a range of time.

Belongs here: turning arguments into one question whose values travel as values, never as text. Does not: SQL that somebody typed
(`query`), what the tables are (`catalog`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import duckdb

from warehouse.catalog import Table, read_catalog, table_named
from warehouse.connection import WarehouseError
from warehouse.instants import Instant, naive_utc
from warehouse.lake import Lake
from warehouse.names import nearest
from warehouse.query import Source, connect_published
from warehouse.raw_tables import quoted

if TYPE_CHECKING:
    import pandas as pd

Value = str | int | float | bool


def frame(
    table: str,
    *,
    coins: Sequence[str] | str | None = None,
    since: Instant | None = None,
    until: Instant | None = None,
    columns: Sequence[str] | None = None,
    known_by: Instant | None = None,
    source: Source = None,
    **equal: Value,
) -> pd.DataFrame:
    """Rows of one published table, oldest first, as a frame.

    `since` and `until` bound the time that rows are of, from the first up to but without the second; of tables whose rows hold
    for a while (`valid_from_at`, `valid_to_at`) they keep what held at some time between. Times without a zone are UTC, as are
    those of the frame. `known_by` shows what was known then instead of what is known now. Other arguments name columns and the
    value these must have: `dataset="heatmap", axis="size"`. `source` is a published file, a data folder or a `Lake`; without it
    the published file is found by HTW_PUBLISHED or HTW_DATA_DIR. Raises `WarehouseError` for a table, column or coin that is not
    there.
    """
    with connect_published(source) as connection:
        asked = table_named(read_catalog(connection), table)
        wanted = [coins] if isinstance(coins, str) else list(coins) if coins is not None else None
        refuse_unknown_coins(connection, wanted)
        conditions = Conditions(asked)
        conditions.add_range(naive_utc(since), naive_utc(until))
        conditions.add_equal(equal)
        if wanted is not None:
            conditions.add("coin", "list_contains({}, {})", wanted)
        chosen = ", ".join(quoted(conditions.known(name)) for name in columns) if columns else "*"
        origin = _origin(conditions, naive_utc(known_by), isinstance(source, Lake))
        order = f"order by {quoted(asked.time_column)}" if asked.time_column else ""
        return connection.execute(f"select {chosen} from {origin} {conditions.sql} {order}", conditions.values).df()


@dataclass
class Conditions:
    """What rows must fulfil: SQL made of the table's own column names, and the values apart from it."""

    table: Table
    parts: list[str] = field(default_factory=list)
    values: list[object] = field(default_factory=list)

    @property
    def sql(self) -> str:
        return f"where {' and '.join(self.parts)}" if self.parts else ""

    def known(self, column: str) -> str:
        if column not in self.table.columns:
            near = nearest(column, self.table.columns)
            raise WarehouseError(
                f"{self.table.name} has no column {column}{near}", f"`htw describe {self.table.name}` lists them"
            )
        return column

    def add(self, column: str, condition: str, value: object) -> None:
        """One condition; its braces stand for the value and the column, in this order."""
        name = quoted(self.known(column))
        self.parts.append(condition.format(self.placeholder(value), name))

    def placeholder(self, value: object) -> str:
        self.values.append(value)
        return f"${len(self.values)}"

    def add_range(self, since: datetime | None, until: datetime | None) -> None:
        """Rows that are of a time from `since` up to `until`, or that held at some time between."""
        if since is None and until is None:
            return
        if not (time_column := self.table.time_column):
            raise WarehouseError(f"{self.table.name} has no time", "leave out `since` and `until`")
        if until is not None:
            self.add(time_column, "{1} < {0}", until)
        if since is not None and "valid_to_at" in self.table.columns:
            self.add("valid_to_at", "coalesce({1}, 'infinity') > {0}", since)
        elif since is not None:
            self.add(time_column, "{1} >= {0}", since)

    def add_equal(self, equal: Mapping[str, Value]) -> None:
        for column, value in equal.items():
            self.add(column, "{1} = {0}", value)


def _origin(conditions: Conditions, known_by: datetime | None, is_lake: bool) -> str:
    table = conditions.table
    if known_by is None:
        return quoted(table.name)
    if is_lake or not table.has_as_of:
        raise WarehouseError(f"what was known of {table.name} at a time is not kept", "facts of the published file have it")
    return f"{quoted(table.name + '_as_of')}({conditions.placeholder(known_by)})"


def refuse_unknown_coins(connection: duckdb.DuckDBPyConnection, wanted: Sequence[str] | None) -> None:
    """A misspelt coin would look like one without rows."""
    listed = [row[0] for row in connection.execute("select coin from dim_coin").fetchall()] if wanted else []
    for coin in wanted or ():
        if listed and coin not in listed:
            raise WarehouseError(f"there is no coin {coin}{nearest(coin, listed)}", "coins are spelt as in dim_coin")
