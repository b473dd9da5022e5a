"""The schema version of a working file, and the steps from each version to the next.

Belongs here: reading and noting the version (`ops.schema_version`), the ordered steps. Does not: the tables as they are made
today (`ledger`, `raw_tables` and their kin), who may open what (`connection`), how an upgrade goes (`orchestration.upgrading`).

A file without a note is of version 1. A step is never edited once it was released: a table that changes again is another step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version as release_of

import duckdb

PACKAGE = "hypertracker-warehouse"
WITHOUT_NOTE = 1
NOTES = "create table if not exists ops.schema_version (version integer, release varchar, noted_at timestamp)"
LEDGER = """
    select 1 from duckdb_tables()
    where schema_name = 'ops' and table_name = 'fetches' and database_name = current_database()
"""
COLUMN = """
    select 1 from duckdb_columns()
    where schema_name = 'ops' and table_name = ? and column_name = ? and database_name = current_database()
"""


@dataclass(frozen=True)
class Step:
    """What makes a file of the version before one of `version`. Each statement may be run again, because a kill may come between
    any two; a file that has the column `adds_last` (table and column of schema `ops`) has all that the step adds."""

    version: int
    says: str
    statements: tuple[str, ...]
    adds_last: tuple[str, str]


STEPS = (
    Step(
        2,
        "the ledger tells source, declared rows, budget and order of each fetch, and which fetch first saw a definition",
        (
            "create sequence if not exists ops.fetch_seq",
            "alter table ops.fetches add column if not exists source varchar",
            "alter table ops.fetches add column if not exists declared_row_count bigint",
            "alter table ops.fetches add column if not exists requests_budget bigint",
            "alter table ops.fetches add column if not exists fetch_seq bigint",
            "update ops.fetches set source = dataset where source is null",
            "update ops.fetches set requests_budget = 0 where requests_budget is null",
            # Any order serves: what reads on from the highest is made anew after an upgrade.
            "update ops.fetches set fetch_seq = nextval('ops.fetch_seq') where fetch_seq is null",
            # What such a file knows came before everything.
            "alter table if exists ops.definitions "
            "add column if not exists seen_at timestamp default timestamp '1970-01-01 00:00:00'",
            "alter table if exists ops.definitions add column if not exists fetch_id varchar default ''",
        ),
        ("definitions", "fetch_id"),
    ),
)
CURRENT = STEPS[-1].version


@dataclass(frozen=True)
class Noted:
    """The schema version of a file, and the release of this project that wrote so; empty where no release said so."""

    version: int
    release: str = ""


def noted(connection: duckdb.DuckDBPyConnection) -> Noted:
    """The version of the open working file; the present one where nothing was ever loaded into it."""
    try:
        row = connection.execute("select version, release from ops.schema_version order by version desc limit 1").fetchone()
    except duckdb.CatalogException:
        row = None
    if row:
        return Noted(*row)
    return Noted(WITHOUT_NOTE if connection.execute(LEDGER).fetchone() else CURRENT)


def note(connection: duckdb.DuckDBPyConnection, version: int = CURRENT) -> None:
    """Write down that the file is of a version now; may be called again."""
    connection.execute(NOTES)
    connection.execute(
        """insert into ops.schema_version select $1, $2, now()::timestamp
           where not exists (select 1 from ops.schema_version where version = $1)""",
        [version, release_of(PACKAGE)],
    )


def steps_left(connection: duckdb.DuckDBPyConnection) -> Iterator[Step]:
    """The steps that would change something, in order. A file without a note may have all that a step adds."""
    before = noted(connection).version
    return (step for step in STEPS if step.version > before and _is_left(connection, step))


def take(connection: duckdb.DuckDBPyConnection, step: Step) -> None:
    """Run one step and note it; may be run again after a kill. Later statements see what earlier ones changed, so that it is no
    single transaction."""
    for statement in step.statements:
        connection.execute(statement)
    note(connection, step.version)


def _is_left(connection: duckdb.DuckDBPyConnection, step: Step) -> bool:
    return connection.execute(COLUMN, list(step.adds_last)).fetchone() is None
