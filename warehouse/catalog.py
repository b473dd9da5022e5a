"""What was published, as it says of itself: tables and columns with the comments inside the file (or the lake).

Belongs here: reading comments, grain, the column of time, units and traps that follow from names. Does not: the comments
themselves (dbt's yml, written by `publish` and `lake_publish`), which is why a BI tool sees the same words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime

import duckdb

from warehouse.connection import WarehouseError
from warehouse.marts import COLD
from warehouse.names import nearest
from warehouse.raw_tables import quoted
from warehouse.units import unit_of

# Rows are told apart in time by the first of these that a table has.
TIME_COLUMNS = ("slot", "captured_at", "valid_from_at", "day", "snapshot_at")
HOT_SINCE = re.compile(re.escape(COLD.strip()).replace(re.escape("{since}"), r"(?P<since>\d{4}-\d\d-\d\d)"))
TRAPS = (
    (r"^axis$", "Every position counts once on each axis (`size`, `pnl`): name one, never add the two."),
    (r"^dataset$", "Rows of different `dataset` describe the same thing: choose one, never add them."),
    (r"^gross_.*_usd$", "`gross_` counts both sides: twice the conventional open interest; that is the long value."),
    (r"^wallet_", "`wallet_` figures are of the whole wallet and repeat on each of its positions: never sum them."),
    (r"^rolling_24h_", "`rolling_24h_volume_usd` is of the 24 hours before: rows overlap, never sum them."),
    (r"^is_on_grid$", "Take `is_on_grid` rows for a series: the others are the live head and the window's edge."),
    (r"^bin_index$", "`bin_index` means something within one snapshot only: join by price."),
    (r"^past_", "`past_` figures are of an earlier time; how much earlier the provider does not say."),
    (r"^is_suspect$", "Leave out `is_suspect` rows, unless it is them you look for."),
    (r"^is_whole_day$", "The newest day is not over: take `is_whole_day` rows."),
    (r"^exposure_bias$", "`exposure_bias` is signed, 0 is neutral, and may exceed 1: it is no long fraction."),
    (r"^valid_to_at$", "Rows hold from `valid_from_at` until `valid_to_at` (null: still); a time needs both conditions."),
)
ONE_OF_SEVERAL = "choose one"


@dataclass(frozen=True)
class Column:
    """One column: DuckDB's type, its comment, and the unit that its name promises (empty for what has none)."""

    name: str
    type: str
    description: str

    @property
    def unit(self) -> str:
        return unit_of(self.name, self.type)


@dataclass(frozen=True)
class Table:
    """One published table or view, by its own words."""

    name: str
    description: str
    columns: Mapping[str, Column]
    is_view: bool = False

    @property
    def grain(self) -> str:
        """What one row is of, such as "snapshot, coin and position"."""
        found = re.search(r"One row per (.+?)\.(?:\s|$)", self.description)
        return found[1] if found else ""

    @property
    def time_column(self) -> str:
        """The column that ranges of time are of; empty for a table without one, and for dimensions, which are small and whole."""
        return "" if self.name.startswith("dim_") else next((name for name in TIME_COLUMNS if name in self.columns), "")

    @property
    def hot_since(self) -> date | None:
        """The first day that this copy has whole, where the lake has earlier ones."""
        found = HOT_SINCE.search(self.description)
        return date.fromisoformat(found["since"]) if found else None

    @property
    def has_as_of(self) -> bool:
        return self.name.startswith("fct_")

    @property
    def traps(self) -> tuple[str, ...]:
        """What is easily got wrong with it, by the columns it has."""
        return tuple(traps_of({name: column.description for name, column in self.columns.items()}))


def traps_of(columns: Mapping[str, str]) -> Iterator[str]:
    """The traps that columns, given with their descriptions, bring with them."""
    for pattern, says in TRAPS:
        found = [name for name in columns if re.search(pattern, name)]
        # A dataset may also be what a row is about.
        if found and (found != ["dataset"] or ONE_OF_SEVERAL in columns["dataset"]):
            yield says


def read_catalog(connection: duckdb.DuckDBPyConnection) -> dict[str, Table]:
    """Every published table and view by name, from a connection to the file or the lake."""
    here = "schema_name = 'marts' and database_name = current_database()"
    found = connection.execute(
        f"select table_name, comment, false from duckdb_tables() where {here} "
        f"union all select view_name, comment, true from duckdb_views() where {here} order by 1"
    ).fetchall()
    columns: dict[str, dict[str, Column]] = {name: {} for name, _, _ in found}
    for table, *column in connection.execute(
        f"select table_name, column_name, data_type, comment from duckdb_columns() where {here} order by column_index"
    ).fetchall():
        columns[table][column[0]] = Column(column[0], column[1].lower(), column[2] or "")
    return {name: Table(name, comment or "", columns[name], is_view) for name, comment, is_view in found}


def table_named(catalog: Mapping[str, Table], name: str) -> Table:
    """The table of that name, in capitals or not. Raises `WarehouseError` with the nearest names there are."""
    if found := catalog.get(name.lower()):
        return found
    raise WarehouseError(f"there is no table {name}{nearest(name, catalog)}", "`htw tables` lists all")


def count_rows(connection: duckdb.DuckDBPyConnection, table: Table) -> int:
    row = connection.execute(f"select count(*) from {quoted(table.name)}").fetchone()
    return int(row[0]) if row else 0


def newest_in(connection: duckdb.DuckDBPyConnection, table: Table) -> datetime | None:
    """The newest snapshot it holds (UTC, naive); None for an empty table or one without snapshots."""
    names = [name for name in ("snapshot_at", "captured_at", "valid_from_at", "last_seen_at") if name in table.columns]
    if not names:
        return None
    row = connection.execute(f"select max({quoted(names[0])}) from {quoted(table.name)}").fetchone()
    return row[0] if row else None
