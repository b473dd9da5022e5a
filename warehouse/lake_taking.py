"""Raw rows taken from a shared lake: what other machines sent, into the working file that models it.

Belongs here: telling what was not taken yet, taking it with its ledger entry, having single payloads once more. Does not: the
tables (`lake_raw`), sending (`lake_sending`), what is made of the rows (dbt).

What is taken looks as if it had been loaded here: a payload in the ledger, its rows in raw, both under the next number of the
load sequence, so that models read on from where they were, whichever machine sent what when. Verdicts and fetches stay with
whoever polled. Of one payload that several sent, or that was polled here too, the one received first counts, as it does on one
machine. A step is one transaction, which reads one state of the lake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from warehouse.lake import Lake, LakeError, attached, literal
from warehouse.lake_locks import is_made
from warehouse.lake_raw import LISTED, LOG, landing_of, raw_columns, raw_name, senders, standing
from warehouse.ledger import transaction
from warehouse.raw_tables import RawTable, quoted
from warehouse.retention import Payload, note_back
from warehouse.table_shapes import OWNER, count

STEP_PAYLOADS = 2000
SAME_RELEASE = "run the same version on all machines"
# Stands in the place of a publisher, once the logs of all were read.
ALL = ""
DEFINITIONS = (
    # How far each publisher's log was read, and who sent what is here.
    "create table if not exists ops.taken_logs (publisher varchar, sent_seq bigint)",
    "create table if not exists ops.taken_payloads (load_seq bigint, publisher varchar)",
)
NEXT_STEP = f"""
    select max(_sent_seq) from (
        select _sent_seq, sum(count(*)) over (order by _sent_seq) - count(*) as before from {LOG}
        where {OWNER} = $1 and _sent_seq > $2 group by _sent_seq
    ) where before < {STEP_PAYLOADS}
"""
TOLD = f"""
    create or replace temp table told as select {LISTED}, {OWNER} as publisher, _is_withdrawn from {LOG}
    where {OWNER} = $1 and _sent_seq > $2 and _sent_seq <= $3
    qualify row_number() over (partition by payload_id, fetched_at order by _sent_seq desc) = 1
"""
# What is sent again may have other rows.
TOLD_OF_HERE = """
    select p.load_seq, p.dataset from ops.payloads p join ops.taken_payloads t using (load_seq)
    join told on p.payload_id = told.payload_id and p.fetched_at = told.fetched_at and t.publisher = told.publisher
"""
# Of what is here already, that which was received first stays.
CHOSEN = """
    create or replace temp table taking as
    select * exclude (_is_withdrawn), row_number() over (order by slot, dataset, scope, fetched_at) as place from offered
    where not exists (
        from ops.payloads as here where here.payload_id = offered.payload_id and here.fetched_at <= offered.fetched_at
    )
    qualify row_number() over (partition by payload_id order by fetched_at, publisher) = 1
"""
LATER_HERE = "select p.load_seq, p.dataset from ops.payloads p join taking using (payload_id)"
SAME = "there._payload_id = wanted.payload_id and there._fetched_at = wanted.fetched_at and there._publisher = wanted.publisher"
TAKEN_BEFORE = """
    create or replace temp table wanted as
    select payload_id, fetched_at, slot, dataset, publisher, load_seq from ops.payloads
    join ops.taken_payloads using (load_seq) where load_seq in (select unnest($1::bigint[]))
"""


@dataclass(frozen=True)
class Taken:
    """What was done now: payloads taken, the raw rows of them, payloads that their publisher withdrew or replaced."""

    payload_count: int = 0
    row_count: int = 0
    withdrawn_count: int = 0

    def __add__(self, other: Taken) -> Taken:
        counts = self.payload_count + other.payload_count, self.row_count + other.row_count
        return Taken(*counts, self.withdrawn_count + other.withdrawn_count)


def take(connection: duckdb.DuckDBPyConnection, lake: Lake, tables: Sequence[RawTable], own: str) -> Taken:
    """Bring the open working file up to what other publishers than its `own` sent to the lake.

    May be called again at any time. Raises `LakeError` where the lake cannot be read, or lacks rows of what its log names; what
    was taken before is whole, and stays.
    """
    _prepare(connection)
    taken = Taken()
    if not is_made(lake):
        return taken
    with attached(connection, lake, read_only=True):
        for publisher in senders(connection):
            while publisher != own and (step := _take_step(connection, tables, publisher)) is not None:
                taken += step
    connection.execute(
        "insert into ops.taken_logs select $1, 0 where not exists (from ops.taken_logs where publisher = $1)", [ALL]
    )
    return taken


def was_taken(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the open working file ever had all that others had sent."""
    _prepare(connection)
    return count(connection, f"ops.taken_logs where publisher = {literal(ALL)}") > 0


def taken_up_to(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How far the log of each publisher was read into the open working file, which may never have been told to."""
    try:
        return dict(connection.execute("select publisher, sent_seq from ops.taken_logs").fetchall())
    except duckdb.CatalogException:
        return {}


def held_by(connection: duckdb.DuckDBPyConnection, lake: Lake, payloads: Sequence[Payload]) -> set[Payload]:
    """Those payloads that were taken from the lake and can be had from there again. Raises `LakeError`."""
    _prepare(connection)
    connection.execute(TAKEN_BEFORE, [[payload.load_seq for payload in payloads]])
    found = set[int]()
    with attached(connection, lake, read_only=True):
        for dataset, days in _days_of(connection):
            rows = connection.execute(
                f"select distinct load_seq from wanted join {raw_name(dataset)} as there on {SAME} where {days}"
            ).fetchall()
            found |= {load_seq for (load_seq,) in rows}
    return {payload for payload in payloads if payload.load_seq in found}


def take_again(
    connection: duckdb.DuckDBPyConnection, lake: Lake, tables: Sequence[RawTable], payloads: Sequence[Payload]
) -> None:
    """The raw rows of payloads that were taken before, once more, all or none. Raises `LakeError` where they cannot be had."""
    with attached(connection, lake, read_only=True), transaction(connection):
        load_seqs = [payload.load_seq for payload in payloads]
        connection.execute(TAKEN_BEFORE, [load_seqs])
        _copy_rows(connection, tables)
        note_back(connection, load_seqs)


def _prepare(connection: duckdb.DuckDBPyConnection) -> None:
    for statement in DEFINITIONS:
        connection.execute(statement)


def _take_step(connection: duckdb.DuckDBPyConnection, tables: Sequence[RawTable], publisher: str) -> Taken | None:
    """The next part of what a publisher sent; None where there is no more."""
    with transaction(connection):
        row = connection.execute("select max(sent_seq) from ops.taken_logs where publisher = ?", [publisher]).fetchone()
        known = row[0] if row and row[0] else 0
        if landing_of(connection, publisher).sent_seq <= known:
            return None
        upto = connection.execute(NEXT_STEP, [publisher, known]).fetchone()
        connection.execute(TOLD, [publisher, known, upto and upto[0]])
        withdrawn = _forget(connection, TOLD_OF_HERE)
        _choose(connection, bool(withdrawn))
        _forget(connection, LATER_HERE)
        rows = _copy_rows(connection, tables)
        connection.execute(f"insert into ops.payloads by name select load_seq, {LISTED} from wanted")
        connection.execute("insert into ops.taken_payloads select load_seq, publisher from wanted")
        connection.execute("delete from ops.taken_logs where publisher = ?", [publisher])
        connection.execute("insert into ops.taken_logs values (?, ?)", [publisher, upto and upto[0]])
        return Taken(count(connection, "wanted"), rows, withdrawn)


def _choose(connection: duckdb.DuckDBPyConnection, is_any_withdrawn: bool) -> None:
    """What of a step is to be here (`wanted`), under numbers of the load sequence. What one publisher withdrew, another may have
    sent as well."""
    offers = ["(from told where not _is_withdrawn)"]
    if is_any_withdrawn:
        others = f"select {LISTED}, {OWNER} as publisher, _is_withdrawn from {{}} where payload_id in "
        named = "(select payload_id from told where _is_withdrawn)"
        offers += [f"({others.format(standing(publisher))}{named})" for publisher in senders(connection)]
    connection.execute(f"create or replace temp table offered as {' union all by name '.join(offers)}")
    connection.execute(CHOSEN)
    connection.execute(
        "create or replace temp table wanted as select *, nextval('ops.load_seq') as load_seq from (from taking order by place)"
    )


def _forget(connection: duckdb.DuckDBPyConnection, loads: str) -> int:
    """Payloads leave ledger and raw; how many."""
    connection.execute(f"create or replace temp table leaving as {loads}")
    for (dataset,) in connection.execute("select distinct dataset from leaving").fetchall():
        connection.execute(f"delete from raw.{quoted(dataset)} where _load_seq in (select load_seq from leaving)")
    for table in ("payloads", "taken_payloads"):
        connection.execute(f"delete from ops.{table} where load_seq in (select load_seq from leaving)")
    return count(connection, "leaving")


def _copy_rows(connection: duckdb.DuckDBPyConnection, tables: Sequence[RawTable]) -> int:
    """The raw rows of what is `wanted`; how many. Raises `LakeError` where a payload has none."""
    by_name, copied = {table.name: table for table in tables}, 0
    for dataset, days in _days_of(connection):
        if dataset not in by_name:
            raise LakeError(f"the lake has payloads of {dataset}, which this release does not know", SAME_RELEASE)
        listed = ", ".join(f"there.{quoted(name)}" for name in raw_columns(by_name[dataset]))
        done = connection.execute(
            f"insert into raw.{quoted(dataset)} by name select {listed}, wanted.load_seq as _load_seq "
            f"from {raw_name(dataset)} as there join wanted on {SAME} where {days} order by _load_seq, there.rowid"
        ).fetchone()
        copied += int(done[0]) if done else 0
        lacking = count(
            connection,
            f"wanted where dataset = {literal(dataset)} and load_seq not in "
            f"(select _load_seq from raw.{quoted(dataset)} where _load_seq >= (select min(load_seq) from wanted))",
        )
        if lacking:
            raise LakeError(f"the lake's log names {lacking:,} payloads of {dataset} without any row", "see `htw lake status`")
    return copied


def _days_of(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    """Each dataset of what is `wanted`, with the slots between which its rows lie: the lake knows its files by them."""
    rows = connection.execute("select dataset, min(slot), max(slot) from wanted group by dataset order by dataset").fetchall()
    return [(dataset, f"there._slot between timestamp '{since}' and timestamp '{until}'") for dataset, since, until in rows]
