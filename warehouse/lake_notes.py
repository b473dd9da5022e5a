"""What the lake notes about each publish, beside the rows: how far every mart was brought, from which working file and models.

Belongs here: those tables, the words of a commit. Does not: what is done about them (`lake_publish`). A lake of one publisher has
one of each. Where several publish, each has its own: two transactions that delete from one table conflict, and a sequence is of
one working file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from warehouse.lake import NAME, Lake, literal
from warehouse.progress import Progress, make_progress, note_progress, read_progress
from warehouse.table_shapes import OWNER

EDITION, PROGRESS = "edition", "progress"
SLOTS_NAMED = 12
HAS_TABLE = f"select 1 from __ducklake_metadata_{NAME}.ducklake_table where table_name = $1 and end_snapshot is null"
HAS_COLUMN = f"select 1 from __ducklake_metadata_{NAME}.ducklake_column where column_name = $1 and end_snapshot is null limit 1"
PUBLISHERS = f"""
    select table_name from duckdb_tables()
    where (database_name, schema_name) = ({literal(NAME)}, 'main') and starts_with(table_name, '{EDITION}_')
    order by table_name
"""


@dataclass(frozen=True)
class Edition:
    """What was noted at the last publish."""

    fingerprint: str = ""
    basis: str = ""
    described: str = ""

    @property
    def load_seq(self) -> int:
        """Up to which load of its working file the publish went."""
        return int(self.fingerprint.partition("/")[0] or 0)


@dataclass(frozen=True)
class Publication:
    """A publisher as the last publish said: its name and when that was (UTC)."""

    publisher: str
    published_at: datetime | None


class Notes:
    """The notes of one publisher in the attached lake; without an owner, those of a lake that has one publisher only."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, owner: str = "") -> None:
        self._connection, self._ending = connection, f"_{owner}" if owner else ""

    @property
    def tables(self) -> list[str]:
        return [EDITION + self._ending, PROGRESS + self._ending]

    @property
    def are_made(self) -> bool:
        return bool(self._connection.execute(HAS_TABLE, [EDITION + self._ending]).fetchone())

    def make(self) -> None:
        self._connection.execute(f"create schema if not exists {NAME}.marts")
        self._connection.execute(
            f"create table if not exists {self._table(EDITION)} "
            "(published_at timestamp, fingerprint varchar, basis varchar, described varchar)"
        )
        make_progress(self._connection, self._table(PROGRESS))

    def edition(self) -> Edition:
        if not self.are_made:
            return Edition()
        row = self._connection.execute(f"select fingerprint, basis, described from {self._table(EDITION)}").fetchone()
        return Edition(*row) if row else Edition()

    def progress(self) -> dict[str, Progress]:
        return read_progress(self._connection, self._table(PROGRESS))

    def write(self, new: Edition, now: datetime) -> None:
        self._connection.execute(f"delete from {self._table(EDITION)}")
        self._connection.execute(
            f"insert into {self._table(EDITION)} (published_at, fingerprint, basis, described) values ($1, $2, $3, $4)",
            [now.replace(tzinfo=None), new.fingerprint, new.basis, new.described],
        )

    def write_progress(self, now: Mapping[str, Progress]) -> None:
        note_progress(self._connection, self._table(PROGRESS), now)

    def _table(self, name: str) -> str:
        return f"{NAME}.main.{name}{self._ending}"


def is_of_many(connection: duckdb.DuckDBPyConnection, lake: Lake) -> bool:
    """Whether rows of the attached lake name their publisher: those of a shared one, and of a local copy of one."""
    return lake.is_shared or bool(connection.execute(HAS_COLUMN, [OWNER]).fetchone())


def publications(connection: duckdb.DuckDBPyConnection) -> list[Publication]:
    """Who publishes to the attached lake, by name; empty where it has one publisher only."""
    found = []
    for (table,) in connection.execute(PUBLISHERS).fetchall():
        row = connection.execute(f"select max(published_at) from {NAME}.main.{table}").fetchone()
        found.append(Publication(table.removeprefix(f"{EDITION}_"), row[0] if row else None))
    return found


def slots_in_words(slots: Sequence[tuple[str, str]]) -> str:
    """What a commit says of what came: slots, the newest first, with their datasets."""
    named = [f"{slot} {datasets}" for slot, datasets in slots[:SLOTS_NAMED]]
    more = [f"and {len(slots) - SLOTS_NAMED} slots more"] if len(slots) > SLOTS_NAMED else []
    return "; ".join([*named, *more]) or "no new slots"
