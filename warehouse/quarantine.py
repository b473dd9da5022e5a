"""The quarantine: fetches whose payload could not be read, the rows at fault, and what a person decided about them.

Belongs here: the tables `ops.quarantine` and `ops.rejected_rows`, and decisions as files in the vault's folder `decisions`. Does
not: judging a payload (`orchestration.landing`), judging it again (`orchestration.replaying`). All times are UTC.

A fetch is `held` until it is `replayed` (judged again and accepted) or `released` (left out for good). A decision carries what
was wrong at the time, so that a rebuild by whatever code tells the same story.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import duckdb

from warehouse.connection import WarehouseError
from warehouse.fetches import FetchRecord
from warehouse.ledger import naive
from warehouse.rejects import Reject, Rejects
from warehouse.small_files import read_small, write_durably
from warehouse.vault import Vault, VaultError

FOLDER = "decisions"
EXCERPT_CHARS = 1_000
TROUBLE_CHARS = 200
LIST_MEND = "`htw quarantine list --all` names them"
TABLES = (
    "create schema if not exists ops",
    """create table if not exists ops.quarantine (
        fetch_id varchar, dataset varchar, scope varchar, slot timestamp, fetched_at timestamp, reason varchar, mend varchar,
        files varchar[], byte_count bigint, trouble varchar, rejected_row_count bigint, status varchar, decided_at timestamp,
        decided_why varchar)""",
    """create table if not exists ops.rejected_rows (
        fetch_id varchar, line bigint, column_name varchar, cause varchar, raw_text varchar)""",
)
EXISTS = "select 1 from duckdb_tables() where schema_name = 'ops' and table_name = 'quarantine'"
TAKE_OVER = """
    insert into ops.quarantine
    select fetch_id, dataset, scope, slot, finished_at, reason, mend, [], byte_count, '', 0, 'held', null, null
    from ops.fetches where verdict = 'quarantined'
"""
COLUMNS = "fetch_id, dataset, scope, slot, fetched_at, reason, mend, files, byte_count, trouble, rejected_row_count, status"


class Status(StrEnum):
    """What became of a quarantined fetch."""

    HELD = "held"
    REPLAYED = "replayed"
    RELEASED = "released"


@dataclass(frozen=True)
class Case:
    """What is wrong with a payload. `trouble` is the first text at fault: a row, or how the payload begins."""

    reason: str
    mend: str
    trouble: str = ""
    rejects: Rejects = field(default_factory=Rejects)


@dataclass(frozen=True)
class Decision:
    """What was decided about a fetch, when and why, with the case as it stood."""

    fetch_id: str
    status: Status
    decided_at: datetime
    why: str
    case: Case

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=lambda value: value.isoformat(), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        values = json.loads(text)
        case = values["case"]
        found = tuple(Reject(**reject) for reject in case["rejects"]["found"])
        values["case"] = Case(**{**case, "rejects": Rejects(found, case["rejects"]["row_count"])})
        values["status"], values["decided_at"] = Status(values["status"]), datetime.fromisoformat(values["decided_at"])
        return cls(**values)


class DecisionBook:
    """Every decision there was, below a vault's folder, one file a fetch."""

    def __init__(self, vault_dir: Path) -> None:
        self.folder = vault_dir / FOLDER

    def keep(self, decision: Decision) -> None:
        """Write a decision durably; an earlier one about the same fetch is replaced."""
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self._file(decision.fetch_id)
        write_durably(target, decision.to_json())

    def about(self, fetch_id: str) -> Decision | None:
        """The decision about a fetch; None where nobody decided anything, or what was decided cannot be read any more."""
        return read_small(self._file(fetch_id), Decision.from_json, self.folder.parent)

    def _file(self, fetch_id: str) -> Path:
        return self.folder / f"{fetch_id}.json"


@dataclass(frozen=True)
class Quarantined:
    """One row of `ops.quarantine`; `files` are relative to the vault."""

    fetch_id: str
    dataset: str
    scope: str
    slot: datetime
    fetched_at: datetime
    reason: str
    mend: str
    files: list[str]
    byte_count: int
    trouble: str
    rejected_row_count: int
    status: str
    decided_at: datetime | None
    decided_why: str | None


def create_quarantine(connection: duckdb.DuckDBPyConnection) -> None:
    """Create what is not there yet; may be called again.

    Where the ledger is older than the quarantine, what it has of quarantined fetches is taken over.
    """
    is_new = connection.execute(EXISTS).fetchone() is None
    for statement in [*TABLES, *([TAKE_OVER] if is_new else [])]:
        connection.execute(statement)


def note_case(connection: duckdb.DuckDBPyConnection, record: FetchRecord, case: Case, decision: Decision | None = None) -> None:
    """Keep a fetch as quarantined, held or as decided, in the transaction of whoever calls."""
    forget_case(connection, record.fetch_id)
    status, at, why = (decision.status, naive(decision.decided_at), decision.why) if decision else (Status.HELD, None, None)
    connection.execute(
        "insert into ops.quarantine values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            record.fetch_id, record.dataset, record.scope, naive(record.slot), naive(record.finished_at), case.reason, case.mend,
            [part.file for part in record.parts], record.byte_count, case.trouble, case.rejects.row_count, status.value, at, why,
        ],
    )  # fmt: skip
    if case.rejects.found:
        rows = [[record.fetch_id, *asdict(reject).values()] for reject in case.rejects.found]
        connection.executemany("insert into ops.rejected_rows values (?, ?, ?, ?, ?)", rows)


def forget_case(connection: duckdb.DuckDBPyConnection, fetch_id: str) -> None:
    """As if a fetch had never been quarantined."""
    for table in ("ops.quarantine", "ops.rejected_rows"):
        connection.execute(f"delete from {table} where fetch_id = ?", [fetch_id])


def quarantine_rows(connection: duckdb.DuckDBPyConnection, held_only: bool = True) -> list[Quarantined]:
    """What is in quarantine, newest last; without `held_only` also what was decided about."""
    return _rows(connection, ("status = 'held'" if held_only else "true") + " order by fetched_at, fetch_id")


def row_of(connection: duckdb.DuckDBPyConnection, prefix: str) -> Quarantined:
    """The one whose fetch id begins so. Raises `WarehouseError` where none or several do."""
    found = _rows(connection, "starts_with(fetch_id, $1) order by fetch_id", prefix.lower())
    if not found:
        raise WarehouseError(f"no fetch in quarantine begins with {prefix}", LIST_MEND)
    if len(found) > 1:
        raise WarehouseError(f"{prefix} begins {len(found)} fetches: {', '.join(row.fetch_id for row in found[:5])}", "say more")
    return found[0]


def case_of(connection: duckdb.DuckDBPyConnection, row: Quarantined) -> Case:
    """The case of a fetch as it stands, its rejected rows with it."""
    return Case(row.reason, row.mend, row.trouble, Rejects(rejects_of(connection, row.fetch_id), row.rejected_row_count))


def held_case(connection: duckdb.DuckDBPyConnection, fetch_id: str) -> Case | None:
    """The case of a fetch that is held; None where it is not."""
    rows = _rows(connection, "status = 'held' and fetch_id = $1", fetch_id)
    return case_of(connection, rows[0]) if rows else None


def rejects_of(connection: duckdb.DuckDBPyConnection, fetch_id: str) -> tuple[Reject, ...]:
    """The rows kept of a fetch that could not be read, by line."""
    rows = connection.execute(
        "select line, column_name, cause, raw_text from ops.rejected_rows where fetch_id = ? order by all", [fetch_id]
    ).fetchall()
    return tuple(Reject(*row) for row in rows)


def excerpt(vault: Vault, record: FetchRecord, chars: int = EXCERPT_CHARS) -> str:
    """How a payload begins, unprintable characters as escapes; empty where it cannot be opened."""
    if not record.parts:
        return ""
    try:
        with vault.open(record.parts[0]) as stream:
            text = stream.read(chars).decode("utf-8", "backslashreplace")
    except VaultError:
        return ""
    return printable(text)


def printable(text: str) -> str:
    """Text of theirs as a terminal can show it: control characters as escapes, lines as they are."""
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)


def trouble_of(vault: Vault, record: FetchRecord, rejects: Rejects) -> str:
    """The first row at fault, else how the payload begins."""
    first: Sequence[Reject] = rejects.found[:1]
    return first[0].raw_text[:TROUBLE_CHARS] if first else excerpt(vault, record, TROUBLE_CHARS)


def _rows(connection: duckdb.DuckDBPyConnection, condition: str, *values: object) -> list[Quarantined]:
    try:
        rows = connection.execute(
            f"select {COLUMNS}, decided_at, decided_why from ops.quarantine where {condition}", list(values) or None
        ).fetchall()
    except duckdb.CatalogException:
        raise WarehouseError("the working file has no quarantine yet", "run `htw rebuild`") from None
    return [_row(row) for row in rows]


def _row(row: tuple[Any, ...]) -> Quarantined:
    decided_at = row[12].replace(tzinfo=UTC) if row[12] else None
    slot, fetched_at = (moment.replace(tzinfo=UTC) for moment in row[3:5])
    values = [*row[:3], slot, fetched_at, *row[5:12], decided_at, row[13]]
    return Quarantined(*values)
