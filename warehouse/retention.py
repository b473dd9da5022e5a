"""Raw rows of old payloads: which may be dropped, and which the next build needs back.

Belongs here: both questions over one working file, and the ledger of what was dropped (`ops.dropped_raw`). Does not: who reads
which raw table (the caller says, from the dbt manifest), the vault that rows come back from (`orchestration.raw_keeping`),
packing old days of the vault (`packing`).

An incremental model has read what was loaded up to the newest load among its rows. It reads older payloads again in two cases
only: another payload of the same snapshot came, or, where it `replays`, one of an earlier snapshot. A model made anew reads
everything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from warehouse.ledger import naive, transaction
from warehouse.raw_tables import quoted

CREATE = "create table if not exists ops.dropped_raw (load_seq bigint, dataset varchar, snapshot_at timestamp)"
EXISTS = "select 1 from duckdb_tables() where database_name = current_database() and schema_name = $1 and table_name = $2"
COLUMNS = """
    p.load_seq, p.dataset, p.scope, p.slot, p.snapshot_at, p.snapshot_at_basis, p.byte_count, (
        select min(f.fetch_id) from ops.fetches f
        where f.payload_id = p.payload_id and f.finished_at = p.fetched_at and f.verdict = 'loaded'
    )
"""
OLD = f"""
    select {COLUMNS} from ops.payloads p anti join ops.dropped_raw d using (load_seq)
    where p.dataset = $1 and p.slot < $2 and p.load_seq <= $3 order by p.load_seq
"""
DROPPED = f"select {COLUMNS} from ops.payloads p semi join ops.dropped_raw d using (load_seq) where true"
NOTE = """
    insert into ops.dropped_raw
    select load_seq, dataset, snapshot_at from ops.payloads where load_seq in (select unnest($1::bigint[]))
"""
NEWEST_DROPPED = "select dataset, max(load_seq), max(snapshot_at) from ops.dropped_raw group by dataset"
EARLIEST_NEW = "select min(snapshot_at) from ops.payloads where dataset = $1 and load_seq > $2"
# `new` are payloads that a reader has not read yet.
WANTED = f"""
    with new as (select snapshot_at from ops.payloads where dataset = $1 and load_seq > $2 and snapshot_at is not null)

    select {COLUMNS} from ops.payloads p semi join ops.dropped_raw d using (load_seq)
    where p.dataset = $1 and (
        p.load_seq > $2
        or p.snapshot_at in (select snapshot_at from new)
        or ($3 and p.snapshot_at >= (select min(snapshot_at) from new))
    )
"""
NEVER_READ = -1


@dataclass(frozen=True)
class RawReader:
    """A table made of the raw rows of a dataset: built whole each time, or incrementally; `replays` says that a late snapshot
    makes it read all later ones again."""

    schema: str
    name: str
    is_incremental: bool
    replays: bool = False


Readers = Mapping[str, Sequence[RawReader]]


@dataclass(frozen=True)
class Payload:
    """A payload whose raw rows are there, or were; `fetch_id` names the fetch that brought it. Times are naive UTC."""

    load_seq: int
    dataset: str
    scope: str
    slot: datetime
    snapshot_at: datetime | None
    snapshot_at_basis: str | None
    byte_count: int
    fetch_id: str | None


def kept_whole(readers: Readers) -> dict[str, str]:
    """The datasets of which raw rows are never dropped, and the table that reads all of them at every build."""
    return {name: one.name for name, found in readers.items() for one in found if not one.is_incremental}


def old_raw(connection: duckdb.DuckDBPyConnection, readers: Readers, before: datetime) -> Iterator[Payload]:
    """Payloads of slots before an instant (UTC) whose raw rows no build needs any more, unless something late comes."""
    connection.execute(CREATE)
    for dataset in sorted(readers.keys() - kept_whole(readers).keys()):
        read_up_to = [_read_up_to(connection, reader) for reader in readers[dataset]]
        newest = min(read_up_to, default=2**62)
        rows = connection.execute(OLD, [dataset, naive(before), newest]).fetchall()
        yield from (Payload(*row) for row in rows)


def drop(connection: duckdb.DuckDBPyConnection, payloads: Collection[Payload]) -> int:
    """Delete the raw rows of payloads, and note it; together, or not at all. How many rows there were."""
    count = 0
    with transaction(connection):
        for dataset in {payload.dataset for payload in payloads}:
            chosen = [payload.load_seq for payload in payloads if payload.dataset == dataset]
            connection.execute(NOTE, [chosen])
            gone = connection.execute(
                f"delete from raw.{quoted(dataset)} where _load_seq in (select unnest($1::bigint[]))", [chosen]
            ).fetchone()
            count += int(gone[0]) if gone else 0
    return count


def wanted_back(connection: duckdb.DuckDBPyConnection, readers: Readers, is_anew: bool) -> list[Payload]:
    """Payloads without raw rows that the next build reads; where it makes all models anew, all there are."""
    found: dict[int, Payload] = {}
    for dataset, load_seq, snapshot_at in _newest_dropped(connection):
        for reader in readers.get(dataset, ()):
            known = NEVER_READ if is_anew else _read_up_to(connection, reader)
            if load_seq > known or _is_any_new(connection, dataset, known, snapshot_at):
                rows = connection.execute(WANTED, [dataset, known, reader.replays]).fetchall()
                found |= {payload.load_seq: payload for payload in (Payload(*row) for row in rows)}
    return sorted(found.values(), key=lambda payload: (payload.dataset, payload.slot, payload.load_seq))


def dropped_among(connection: duckdb.DuckDBPyConnection, load_seqs: str) -> list[Payload]:
    """Those of some loads (a query of load sequences) whose raw rows were dropped."""
    if connection.execute(EXISTS, ["ops", "dropped_raw"]).fetchone() is None:
        return []
    return [Payload(*row) for row in connection.execute(f"{DROPPED} and p.load_seq in ({load_seqs})").fetchall()]


def note_back(connection: duckdb.DuckDBPyConnection, load_seqs: Iterable[int]) -> None:
    """Say that raw has the rows of payloads again, in the transaction that brings them."""
    connection.execute("delete from ops.dropped_raw where load_seq in (select unnest($1::bigint[]))", [[*load_seqs]])


def _newest_dropped(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, int, datetime | None]]:
    """Of each dataset without some of its raw rows: the newest load and the newest snapshot without them."""
    if connection.execute(EXISTS, ["ops", "dropped_raw"]).fetchone() is None:
        return []
    return connection.execute(NEWEST_DROPPED).fetchall()


def _is_any_new(connection: duckdb.DuckDBPyConnection, dataset: str, known: int, until: datetime | None) -> bool:
    """Whether anything loaded since is of a snapshot as early as one whose rows were dropped: what is polled in time is not."""
    row = connection.execute(EARLIEST_NEW, [dataset, known]).fetchone()
    return row is not None and row[0] is not None and until is not None and row[0] <= until


def _read_up_to(connection: duckdb.DuckDBPyConnection, reader: RawReader) -> int:
    """The load sequence up to which a table has read; `NEVER_READ` for one that is not there or reads everything each time."""
    if not reader.is_incremental or connection.execute(EXISTS, [reader.schema, reader.name]).fetchone() is None:
        return NEVER_READ
    row = connection.execute(f"select max(_load_seq) from {quoted(reader.schema)}.{quoted(reader.name)}").fetchone()
    return NEVER_READ if row is None or row[0] is None else int(row[0])
