"""What was known at T, and what held at T: the versions behind each fact, published beside it, and the macros that ask them.

Belongs here: where versions are, the macros `marts.<fact>_as_of(t)`, and those of facts whose rows hold
for a time. Does not: how versions are told apart (dbt), the publishing itself (`publish`, `lake_publish`).

A fact shows the latest known value. For facts of series every earlier value is kept as a version with the first and the last time
it was heard; the macro chooses, among versions first heard by T, the one heard last by then. Facts of single snapshots never
change once complete: for these the macro leaves out what was not known yet.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import duckdb

from warehouse.raw_tables import quoted

INTERNAL_COLUMNS = ("value_hash", "_load_seq")


@dataclass(frozen=True)
class Versions:
    """Where the versions of a fact are: the dbt model that holds them, and what a version is a version of."""

    model: str
    keys: Sequence[str]

    @property
    def table(self) -> str:
        """Its name in the schema `history`."""
        return self.model.removeprefix("int_")


@dataclass(frozen=True)
class Spans:
    """A fact whose rows hold from one instant to another, exclusive (null: until now), and the macro that answers with those of
    a scope that held at T."""

    macro: str
    scope: str
    since: str
    until: str


def words_of(versions: Versions) -> str:
    """The description of the versions of a fact."""
    return (
        "Every value ever received, with the first and last time it was heard (UTC). "
        f"One row per {', '.join(versions.keys)} and value."
    )


def write_macro(connection: duckdb.DuckDBPyConnection, fact: str, versions: Versions | None) -> None:
    """Define `marts.<fact>_as_of(t)` in the database in use; `t` is a UTC timestamp."""
    body = _choose_versions(versions) if versions else f"select * from marts.{quoted(fact)} where known_at <= t"
    connection.execute(f"create macro marts.{quoted(fact + '_as_of')}(t) as table {body}")


def write_spans_macro(connection: duckdb.DuckDBPyConnection, fact: str, spans: Spans, whole_since: date | None = None) -> None:
    """Define `marts.<macro>(scope, t)` in the database in use; `t` is a UTC timestamp.

    Where the fact is whole from a day on only, an earlier `t` is refused: part of what held then is not there.
    """
    told = f"'the published file has {fact} from {whole_since} on; the lake has the days before: `htw query --lake SQL`'"
    early = f"if(t < timestamp '{whole_since}', error({told}), t)" if whole_since else "t"
    since, until = quoted(spans.since), quoted(spans.until)
    connection.execute(
        f"create or replace macro marts.{quoted(spans.macro)}({quoted(spans.scope)}, t) as table "
        f"select fact.* from marts.{quoted(fact)} as fact cross join (select cast({early} as timestamp) as at) as asked "
        f"where fact.{quoted(spans.scope)} = {quoted(spans.scope)} and fact.{since} <= asked.at "
        f"and (fact.{until} is null or fact.{until} > asked.at)"
    )


@contextlib.contextmanager
def inside(connection: duckdb.DuckDBPyConnection, database: str) -> Iterator[None]:
    """Names in a macro are looked up in the database in use when it is made."""
    row = connection.execute("select current_database()").fetchone()
    connection.execute(f"use {quoted(database)}")
    try:
        yield
    finally:
        connection.execute(f"use {quoted(str(row[0]) if row else 'memory')}")


def _choose_versions(versions: Versions) -> str:
    keys = ", ".join(quoted(key) for key in versions.keys)
    return (
        f"select * exclude (last_known_at, last_payload_id) from history.{quoted(versions.table)} where first_known_at <= t "
        f"qualify row_number() over (partition by {keys} "
        "order by least(last_known_at, t) desc, first_known_at desc, first_payload_id) = 1"
    )
