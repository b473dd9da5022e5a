"""What payloads were last seen to declare, and every change of it (`ops.definitions`, `ops.definition_changes`).

Belongs here: keeping and reading these. Does not: finding them in a payload (`orchestration.hypertracker.definitions_seen`) or
judging a change (`orchestration.landing`). Times are UTC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from warehouse.ledger import naive

DEFINITIONS = (
    "create schema if not exists ops",
    """create table if not exists ops.definitions (
        dataset varchar, variant varchar, kind varchar, definitions json, payload_id varchar,
        seen_at timestamp default timestamp '1970-01-01 00:00:00', fetch_id varchar default '')""",
    """create table if not exists ops.definition_changes (
        dataset varchar, variant varchar, kind varchar, name varchar, change varchar, before varchar, after varchar,
        seen_at timestamp, fetch_id varchar, payload_id varchar)""",
)


@dataclass(frozen=True)
class Subject:
    """Whose definitions: a dataset, a variant of it (a scope) whose payloads look alike, and the kind (`keys` or `entries`)."""

    dataset: str
    variant: str
    kind: str

    def values(self) -> list[str]:
        return [self.dataset, self.variant, self.kind]


@dataclass(frozen=True)
class Sighting:
    """By which fetch definitions were seen. Fetches are compared with those that finished before them, whenever they land."""

    seen_at: datetime
    fetch_id: str
    payload_id: str


@dataclass(frozen=True)
class ChangeRow:
    """One change as it is kept."""

    name: str
    change: str
    before: str | None
    after: str | None


def create_definitions(connection: duckdb.DuckDBPyConnection) -> None:
    """Create what is not there yet; may be called again."""
    for statement in DEFINITIONS:
        connection.execute(statement)


def known_definitions(connection: duckdb.DuckDBPyConnection, subject: Subject, before: Sighting) -> dict[str, str]:
    """Name -> definition, as last seen before a fetch; empty before the first payload."""
    row = connection.execute(
        """select definitions from ops.definitions
           where dataset = ? and variant = ? and kind = ? and (seen_at, fetch_id) < (?, ?)
           order by seen_at desc, fetch_id desc limit 1""",
        [*subject.values(), naive(before.seen_at), before.fetch_id],
    ).fetchone()
    return json.loads(row[0]) if row else {}


def remember(connection: duckdb.DuckDBPyConnection, subject: Subject, found: Mapping[str, str], sighting: Sighting) -> None:
    """Take `found` as what is known from a fetch on."""
    text = json.dumps(found, ensure_ascii=False, sort_keys=True)
    values = [*subject.values(), text, sighting.payload_id, naive(sighting.seen_at), sighting.fetch_id]
    connection.execute("insert into ops.definitions values (?, ?, ?, ?, ?, ?, ?)", values)


def note_changes(
    connection: duckdb.DuckDBPyConnection, subject: Subject, changes: Sequence[ChangeRow], sighting: Sighting
) -> None:
    """Keep changes for whoever asks when a definition moved."""
    for change in changes:
        connection.execute(
            "insert into ops.definition_changes values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                *subject.values(), change.name, change.change, change.before, change.after, naive(sighting.seen_at),
                sighting.fetch_id, sighting.payload_id,
            ],
        )  # fmt: skip


def has_redefined(connection: duckdb.DuckDBPyConnection, fetch_id: str) -> bool:
    """Whether later payloads are compared with what this fetch brought."""
    return connection.execute("select 1 from ops.definitions where fetch_id = ? limit 1", [fetch_id]).fetchone() is not None


def forget_sightings(connection: duckdb.DuckDBPyConnection, fetch_id: str) -> None:
    """As if a fetch had never been compared with anything."""
    for table in ("ops.definitions", "ops.definition_changes"):
        connection.execute(f"delete from {table} where fetch_id = ?", [fetch_id])
