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
        dataset varchar, variant varchar, kind varchar, definitions json, payload_id varchar)""",
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


def known_definitions(connection: duckdb.DuckDBPyConnection, subject: Subject) -> dict[str, str]:
    """Name -> definition, as last seen; empty before the first payload."""
    row = connection.execute(
        "select definitions from ops.definitions where dataset = ? and variant = ? and kind = ?", subject.values()
    ).fetchone()
    return json.loads(row[0]) if row else {}


def remember(connection: duckdb.DuckDBPyConnection, subject: Subject, found: Mapping[str, str], payload_id: str) -> None:
    """Take `found` as what is known from now on."""
    connection.execute("delete from ops.definitions where dataset = ? and variant = ? and kind = ?", subject.values())
    values = [*subject.values(), json.dumps(found, ensure_ascii=False, sort_keys=True), payload_id]
    connection.execute("insert into ops.definitions values (?, ?, ?, ?, ?)", values)


def note_changes(
    connection: duckdb.DuckDBPyConnection,
    subject: Subject,
    changes: Sequence[ChangeRow],
    seen_at: datetime,
    fetch_id: str,
    payload_id: str,
) -> None:
    """Keep changes for whoever asks when a definition moved."""
    for change in changes:
        connection.execute(
            "insert into ops.definition_changes values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                *subject.values(), change.name, change.change, change.before, change.after, naive(seen_at), fetch_id, payload_id,
            ],
        )  # fmt: skip
