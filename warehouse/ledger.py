"""The ledger (schema `ops`): one row per payload loaded, one row per fetch with its verdict.

Belongs here: the ledger's tables, writing to them and asking them. Does not: deciding a verdict
(`orchestration.landing`), or which slots should exist (`orchestration.planning`). All times are UTC.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import duckdb

from warehouse.fetches import FetchRecord
from warehouse.raw_tables import quoted
from warehouse.schema_version import CURRENT, note, noted


class Verdict(StrEnum):
    """How a slot ended."""

    LOADED = "loaded"
    UNCHANGED = "unchanged"
    EMPTY = "empty"
    ABSENT = "absent"
    INCOMPLETE = "incomplete"
    QUARANTINED = "quarantined"
    FAILED = "failed"
    NOT_PLANNED = "not_planned"
    BEYOND_FLOOR = "beyond_floor"
    MISSED = "missed"

    @property
    def arrived(self) -> bool:
        """Whether the slot has what the provider had to say."""
        return self in (Verdict.LOADED, Verdict.UNCHANGED, Verdict.EMPTY)


@dataclass(frozen=True)
class Judgement:
    """The verdict on one fetch, in words a person understands, with the command that mends it where there is one."""

    verdict: Verdict
    reason: str = ""
    mend: str = ""
    row_count: int = 0
    foreign_row_count: int = 0
    snapshot_at: datetime | None = None
    snapshot_at_basis: str | None = None
    newest_at: datetime | None = None


DEFINITIONS = (
    "create schema if not exists ops",
    "create sequence if not exists ops.load_seq",
    "create sequence if not exists ops.fetch_seq",
    """create table if not exists ops.payloads (
        payload_id varchar, load_seq bigint, dataset varchar, scope varchar, slot timestamp, fetched_at timestamp,
        snapshot_at timestamp, snapshot_at_basis varchar, sha256 varchar, byte_count bigint, row_count bigint,
        foreign_row_count bigint)""",
    """create table if not exists ops.fetches (
        fetch_id varchar, dataset varchar, scope varchar, slot timestamp, started_at timestamp, finished_at timestamp,
        verdict varchar, reason varchar, mend varchar, payload_id varchar, requests_spent integer, byte_count bigint,
        row_count bigint, foreign_row_count bigint, newest_at timestamp, source varchar, declared_row_count bigint,
        requests_budget bigint, fetch_seq bigint)""",
)

# How far back the slot before is looked for first: all datasets are polled once a day at least.
LOOK_BACK = timedelta(days=2)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Only fetches that were sent count: what was not asked is no answer.
REFUSALS = """
    with sent as (
        select source, scope, finished_at, reason,
            verdict = 'failed' and list_bool_or([starts_with(reason, words) for words in $words]) as is_refused
        from ops.fetches where finished_at >= $since and requests_spent > 0
    ),

    others as (select source, scope, max(finished_at) as at from sent where not is_refused group by source, scope)

    select sent.source, sent.scope, count(*), max(finished_at), arg_max(reason, finished_at)
    from sent left join others on sent.source = others.source and sent.scope = others.scope
    where is_refused and (others.at is null or finished_at > others.at)
    group by sent.source, sent.scope
"""


@dataclass(frozen=True)
class Refusals:
    """The newest answers to a (source, scope), all of them refusals: how many, when and why the last (naive UTC)."""

    source: str
    scope: str
    count: int
    last_at: datetime
    reason: str


def create_ledger(connection: duckdb.DuckDBPyConnection) -> None:
    """Create what is not there yet; may be called again. A new ledger is of the present schema version."""
    is_current = noted(connection).version == CURRENT
    for statement in DEFINITIONS:
        connection.execute(statement)
    if is_current:
        note(connection)


@contextlib.contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Everything inside is committed together, or not at all."""
    connection.execute("begin")
    try:
        yield
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


def next_load_seq(connection: duckdb.DuckDBPyConnection) -> int:
    """The next number of the load sequence: monotonic, may have holes."""
    return int(_one(connection, "select nextval('ops.load_seq')")[0])


def is_loaded(connection: duckdb.DuckDBPyConnection, record: FetchRecord) -> bool:
    """Whether the payload of a fetch is loaded, be it by another fetch."""
    # Of a slot, because rows lie in the order of slots as a rule: ids alone would be looked for in all there ever were.
    sql = "select count(*) > 0 from ops.payloads where slot = ? and payload_id = ?"
    return bool(_one(connection, sql, naive(record.slot), record.payload_id)[0])


def recorded(connection: duckdb.DuckDBPyConnection, record: FetchRecord) -> Judgement | None:
    """The verdict that a fetch has already; None for one that is new."""
    row = connection.execute(
        """select f.verdict, f.reason, f.mend, f.row_count, f.foreign_row_count, f.newest_at
           from ops.fetches f where f.slot = ? and f.fetch_id = ? limit 1""",
        [naive(record.slot), record.fetch_id],
    ).fetchone()
    if row is None:
        return None
    newest = row[5].replace(tzinfo=UTC) if row[5] else None
    return Judgement(Verdict(row[0]), row[1], row[2], row[3], row[4], newest_at=newest)


def repeated_payload(connection: duckdb.DuckDBPyConnection, record: FetchRecord, snapshot_at: datetime | None) -> str | None:
    """The payload of the slot before, when it held the same bytes of the same snapshot; else None.

    Only fetches that finished before count, so that the answer is the same whenever the record lands.
    `snapshot_at` is what dates a payload that carries no time: the same bytes at another state are another snapshot.
    """
    row = _payload_before(connection, record, record.slot - LOOK_BACK) or _payload_before(connection, record, EPOCH)
    if row is None or row[1] != record.content_sha256:
        return None
    return str(row[0]) if snapshot_at is None or row[2] == naive(snapshot_at) else None


def _payload_before(connection: duckdb.DuckDBPyConnection, record: FetchRecord, since: datetime) -> tuple[Any, ...] | None:
    """The payload (its id, sha256 and time) that the last fetch before brought, of slots since an instant."""
    fetches = connection.execute(
        """select payload_id, slot from ops.fetches
           where dataset = ? and scope = ? and slot >= ? and slot < ? and verdict in ('loaded', 'unchanged')
               and (finished_at, fetch_id) < (?, ?) and payload_id is not null
           order by slot desc, finished_at desc""",
        [record.dataset, record.scope, naive(since), naive(record.slot), naive(record.finished_at), record.fetch_id],
    ).fetchall()
    known = (_payload(connection, payload_id, slot) for payload_id, slot in fetches)
    return next((payload for payload in known if payload), None)


def _payload(connection: duckdb.DuckDBPyConnection, payload_id: str, slot: datetime) -> tuple[Any, ...] | None:
    """A payload by its id, first where it should be: at the slot of a fetch that brought it, or shortly before."""
    sql = "select payload_id, sha256, snapshot_at from ops.payloads where payload_id = $1"
    near = connection.execute(f"{sql} and slot between $2 and $3", [payload_id, slot - LOOK_BACK, slot]).fetchone()
    return near or connection.execute(sql, [payload_id]).fetchone()


def held_states(connection: duckdb.DuckDBPyConnection, since: datetime) -> dict[tuple[str, str], datetime]:
    """The newest state (UTC) that a (dataset, scope) dated by the state has a payload of, for slots since an instant."""
    rows = connection.execute(
        """select dataset, scope, max(snapshot_at) from ops.payloads
           where slot >= ? and snapshot_at_basis = 'state' group by dataset, scope""",
        [naive(since)],
    ).fetchall()
    return {(dataset, scope): at.replace(tzinfo=UTC) for dataset, scope, at in rows}


def loaded_scopes(connection: duckdb.DuckDBPyConnection, slot: datetime) -> set[tuple[str, str]]:
    """The (dataset, scope)s that a payload was loaded of for a slot (UTC)."""
    rows = connection.execute(
        "select distinct dataset, scope from ops.fetches where slot = ? and verdict = 'loaded'", [naive(slot)]
    ).fetchall()
    return {(dataset, scope) for dataset, scope in rows}


def refusals(connection: duckdb.DuckDBPyConnection, since: datetime, words: Sequence[str]) -> list[Refusals]:
    """What only refusals were answered to of late, since an instant (UTC); the reason of one begins with one of `words`."""
    rows = connection.execute(REFUSALS, {"since": naive(since), "words": list(words)}).fetchall()
    return [Refusals(*row) for row in rows]


def newest_row_counts(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], int]:
    """Rows of the newest payload of each (dataset, scope)."""
    rows = connection.execute(
        "select dataset, scope, arg_max(row_count, slot) from ops.payloads group by dataset, scope"
    ).fetchall()
    return {(dataset, scope): count for dataset, scope, count in rows}


def payload_of_state(connection: duckdb.DuckDBPyConnection, record: FetchRecord) -> str | None:
    """The payload of the same (dataset, scope) at the state that a fetch found unchanged; None where there is none."""
    row = connection.execute(
        """select max(payload_id) from ops.payloads
           where dataset = ? and scope = ? and snapshot_at = ? and fetched_at <= ?""",
        [record.dataset, record.scope, naive(record.state_before), naive(record.finished_at)],
    ).fetchone()
    return row[0] if row else None


def note_payload(connection: duckdb.DuckDBPyConnection, record: FetchRecord, judgement: Judgement, load_seq: int) -> None:
    """Record that a payload's rows are in raw; in the same transaction as the rows."""
    connection.execute(
        "insert into ops.payloads values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            record.payload_id, load_seq, record.dataset, record.scope, naive(record.slot), naive(record.finished_at),
            naive(judgement.snapshot_at), judgement.snapshot_at_basis, record.content_sha256, record.byte_count,
            judgement.row_count, judgement.foreign_row_count,
        ],
    )  # fmt: skip


def note_fetch(
    connection: duckdb.DuckDBPyConnection,
    record: FetchRecord,
    judgement: Judgement,
    payload_id: str | None,
    declared_row_count: int | None = None,
) -> None:
    """Record the verdict of one fetch; `declared_row_count` is how many rows the provider said the file has."""
    connection.execute(
        "insert into ops.fetches values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, nextval('ops.fetch_seq'))",
        [
            record.fetch_id, record.dataset, record.scope, naive(record.slot), naive(record.started_at),
            naive(record.finished_at), judgement.verdict.value, judgement.reason, judgement.mend, payload_id,
            record.requests_spent, record.byte_count, judgement.row_count, judgement.foreign_row_count,
            naive(judgement.newest_at), record.source or record.dataset, declared_row_count,
            record.requests_budget,
        ],
    )  # fmt: skip


def later_fetches(
    connection: duckdb.DuckDBPyConnection, record: FetchRecord, of_all_scopes: bool
) -> list[tuple[str, datetime, str | None]]:
    """Fetch, slot (UTC) and payload of what finished after a fetch and was judged by its content, in order of finish."""
    rows = connection.execute(
        """select fetch_id, slot, payload_id from ops.fetches
           where dataset = ? and (? or scope = ?) and (finished_at, fetch_id) > (?, ?)
               and (payload_id is not null or verdict in ('quarantined', 'empty'))
           order by finished_at, fetch_id""",
        [record.dataset, of_all_scopes, record.scope, naive(record.finished_at), record.fetch_id],
    ).fetchall()
    return [(fetch_id, slot.replace(tzinfo=UTC), payload_id) for fetch_id, slot, payload_id in rows]


def forget_fetch(connection: duckdb.DuckDBPyConnection, record: FetchRecord) -> None:
    """As if a fetch had never been judged; the payload that it loaded goes with it, rows and all."""
    connection.execute("delete from ops.fetches where fetch_id = ?", [record.fetch_id])
    _forget_payload(connection, record, "fetched_at = ?")


def forget_later_load(connection: duckdb.DuckDBPyConnection, record: FetchRecord) -> None:
    """The rows of a payload that a later fetch of the same bytes loaded: they are to be those of this fetch, because rows were
    known when they came first, in whatever order fetches land."""
    _forget_payload(connection, record, "fetched_at > ?")


def _forget_payload(connection: duckdb.DuckDBPyConnection, record: FetchRecord, condition: str) -> None:
    rows = connection.execute(
        f"delete from ops.payloads where payload_id = ? and {condition} returning load_seq",
        [record.payload_id, naive(record.finished_at)],
    ).fetchall()
    for (load_seq,) in rows:
        connection.execute(f"delete from raw.{quoted(record.dataset)} where _load_seq = ?", [load_seq])


def naive(moment: datetime | None) -> datetime | None:
    """A UTC instant as DuckDB's TIMESTAMP wants it: without an offset."""
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)


def _one(connection: duckdb.DuckDBPyConnection, sql: str, *values: object) -> tuple[Any, ...]:
    row = connection.execute(sql, list(values)).fetchone()
    assert row is not None, "an aggregate always has a row"
    return row
