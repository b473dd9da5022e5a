"""A published table as statements speak of it: what its rows are here, where they are to be there, whose they are.

Belongs here: names, columns and counts of tables in SQL. Does not: which rows differ (`changes`), how far a table was brought
(`progress`), what a mart is (`marts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from warehouse.marts import INTERNAL_PREFIX, Mart, tables_of
from warehouse.raw_tables import quoted

# Slots may be judged anew by what was fetched before, so that the newest days count as touched each time.
SEQUENCES = {"_load_seq": ">", "_fetch_seq": ">="}
ALL_ROWS = "true"
# Of the tables of a lake that several publishers write.
OWNER = "_publisher"


@dataclass(frozen=True)
class Shape:
    """A published table and what it is made of: the rows of the working file `here`, their columns and types, the column that
    their changes are numbered by; and the table `there`, where those of its owner alone are its own, if it has one."""

    mart: Mart
    columns: tuple[tuple[str, str], ...]
    sequence: str | None
    here: str
    there: str
    owner: str = ""

    @property
    def own(self) -> str:
        """The rows there that may be taken away."""
        return f"(select * from {self.there} where {self.is_own})" if self.owner else self.there

    @property
    def is_own(self) -> str:
        """The condition that tells them."""
        return f"{OWNER} = '{self.owner}'" if self.owner else ALL_ROWS

    @property
    def put(self) -> str:
        """The beginning of a statement that puts rows there, up to where they come from."""
        columns, values = (f", {OWNER}", f", '{self.owner}'") if self.owner else ("", "")
        return f"insert into {self.there} ({self.listed}{columns}) select {self.listed}{values}"

    @property
    def listed(self) -> str:
        """Its columns, as a statement lists them."""
        return ", ".join(quoted(name) for name, _ in self.columns)

    @property
    def kept_by(self) -> str:
        """The columns that its rows there are sorted by, listed; empty where their order is as it comes."""
        return ", ".join(map(quoted, self.mart.kept_by or self.mart.sort_by))

    @property
    def order(self) -> str:
        """The clause that puts rows in that order."""
        return f"order by {self.kept_by}" if self.kept_by else ""

    @property
    def time(self) -> str | None:
        """The column that says of which day a unit is; None where a unit has no day of its own."""
        stamps = [name for name, kind in self.columns if kind.startswith("TIMESTAMP")]
        named = [self.mart.partition_by] if self.mart.partition_by else stamps
        return next((quoted(name) for name in named if any(name in unit for unit in self.mart.units)), None)


def shapes_of(connection: duckdb.DuckDBPyConnection, marts: Sequence[Mart], database: str) -> list[Shape]:
    """What another database has of the marts that are tables: all but their internal columns."""
    found = columns_of(connection, "current_database()")
    names = {mart.name: quoted(mart.name) for mart in tables_of(marts)}
    return [
        shape_of(mart, found.get(mart.name, ()), f"marts.{names[mart.name]}", f"{database}.marts.{names[mart.name]}")
        for mart in tables_of(marts)
    ]


def columns_of(
    connection: duckdb.DuckDBPyConnection, database: str, schema: str = "marts"
) -> dict[str, tuple[tuple[str, str], ...]]:
    """Name and type of every column of the tables of a schema, by table; `database` is an expression in SQL."""
    rows = connection.execute(
        "select table_name, list((column_name, data_type) order by column_index) from duckdb_columns() "
        f"where database_name = {database} and schema_name = '{schema}' and table_name in "
        f"(select table_name from duckdb_tables() where database_name = {database} and schema_name = '{schema}') "
        "group by table_name"
    ).fetchall()
    return {table: tuple(map(tuple, columns)) for table, columns in rows}


def count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    """How many rows a table, or a query in brackets, has."""
    row = connection.execute(f"select count(*) from {relation}").fetchone()
    return int(row[0]) if row else 0


def shape_of(mart: Mart, columns: Sequence[tuple[str, str]], here: str, there: str) -> Shape:
    """A mart of these columns: its rows `here`, and the table `there` that they are to be in."""
    sequence = next((name for name, _ in columns if name in SEQUENCES), None) if mart.units else None
    return Shape(mart, tuple(pair for pair in columns if not pair[0].startswith(INTERNAL_PREFIX)), sequence, here, there)
