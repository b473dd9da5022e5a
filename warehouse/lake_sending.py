"""Raw rows sent to a shared lake: every payload of a working file, each with its rows or not at all.

Belongs here: telling what is not there yet, sending it, withdrawing what the working file holds no more. Does not: the tables
(`lake_raw`), taking rows from there (`lake_taking`), facts (`lake_publish`).

The load sequence tells what came since the last time, as long as it is that of the same working file and the numbers add up;
otherwise all payloads are compared, and those that are alike on both sides stay. Payloads go in steps, each a transaction of its
own: a sender that dies goes on where it was. Appends of several machines never conflict; rows are taken away under the lock of
their table. Whoever sends has the working file, so that a publisher is at it once only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import duckdb

from warehouse.lake import NAME, Lake, LakeError, attached, committed, literal
from warehouse.lake_locks import lake_lock, make_once
from warehouse.lake_notes import slots_in_words
from warehouse.lake_raw import LISTED, LOG, SentUpTo, landing_of, lay_out, notes_of, raw_columns, raw_name, standing
from warehouse.publish import origin_of
from warehouse.raw_tables import RawTable, quoted
from warehouse.retention import Payload, dropped_among
from warehouse.table_shapes import OWNER, count

STEP_PAYLOADS = 1000  # a tick of the whole market has some 700
PutBack = Callable[[duckdb.DuckDBPyConnection, Sequence[Payload]], None]
# What must be alike for a payload to stand that another working file sent.
ALIKE = ("payload_id", "fetched_at", "snapshot_at", "row_count", "foreign_row_count")
THIS_STEP = "sendable where load_seq in (select load_seq from sending)"


@dataclass(frozen=True)
class Sent:
    """What was done now: payloads sent, the raw rows of them, payloads withdrawn."""

    payload_count: int = 0
    row_count: int = 0
    withdrawn_count: int = 0


def send(
    connection: duckdb.DuckDBPyConnection, lake: Lake, tables: Sequence[RawTable], publisher: str, put_back: PutBack
) -> Sent:
    """Bring what stands of this publisher in a shared lake to what the open working file has loaded.

    May be called again at any time. Raw rows that were dropped here before they were sent are `put_back` first. Raises
    `LakeError` where the lake cannot be written; what was sent before is whole, and stays.
    """
    if not lake.is_shared:
        raise LakeError("raw rows are sent to a lake that machines share", "name one in HTW_LAKE_URL and HTW_LAKE_DATA")
    names = ", ".join(literal(table.name) for table in tables)
    connection.execute(f"create or replace temp view sendable as from ops.payloads where dataset in ({names})")
    make_once(connection, lake)
    with attached(connection, lake):
        lay_out(connection, lake, tables, publisher)
        return _Sender(connection, lake, {table.name: table for table in tables}, publisher).send(put_back)


@dataclass(frozen=True)
class _Sender:
    """One publisher before the attached lake."""

    connection: duckdb.DuckDBPyConnection
    lake: Lake
    tables: dict[str, RawTable]
    publisher: str

    def send(self, put_back: PutBack) -> Sent:
        basis, known = origin_of(self.connection), landing_of(self.connection, self.publisher)
        if not self._is_read_on(known, basis):
            self._compare(str(known.load_seq) if known.basis == basis else "null")
            # Until all is sent, a kill makes the next one compare again.
            known = self._withdraw(replace(known, basis=""))
        sent = Sent(withdrawn_count=count(self.connection, "unsendable"))
        while payloads := self._choose_step():
            if dropped := dropped_among(self.connection, "select load_seq from sending"):
                put_back(self.connection, dropped)
            rows, known = self._send_step(known)
            sent = replace(sent, payload_count=sent.payload_count + payloads, row_count=sent.row_count + rows)
        self._finish(known, basis)
        return sent

    def _is_read_on(self, known: SentUpTo, basis: str) -> bool:
        """Choose what was loaded since (`unsent`); whether that is all there is to do."""
        self._make("unsent", f"select load_seq from sendable where load_seq > {known.load_seq}")
        self._make("unsendable", f"select {LISTED} from sendable where false")
        added = known.payload_count + count(self.connection, "unsent")
        return known.basis == basis and added == count(self.connection, "sendable")

    def _compare(self, sent_up_to: str) -> None:
        """Choose among all payloads what the lake lacks (`unsent`), and what it has that is not here (`unsendable`). What was
        loaded since the last time goes there in any case: its rows may be others."""
        alike = " and ".join(f"here.{name} is not distinct from there.{name}" for name in ALIKE)
        self._make("standing", f"from {standing(self.publisher)}")
        lacking = f"not exists (from standing as there where {alike})"
        self._make("unsent", f"select load_seq from sendable as here where coalesce(load_seq > {sent_up_to}, false) or {lacking}")
        kept = "(from sendable where load_seq not in (select load_seq from unsent))"
        self._make("unsendable", f"select {LISTED} from standing as there where not exists (from {kept} as here where {alike})")

    def _withdraw(self, known: SentUpTo) -> SentUpTo:
        datasets = self._datasets("unsendable")
        if not datasets:
            return known
        new = replace(known, sent_seq=known.sent_seq + 1)
        with self._locked(datasets), committed(self.connection, "raw rows withdrawn that the ledger holds no more"):
            for dataset in datasets:
                self.connection.execute(
                    f"delete from {raw_name(dataset)} where {OWNER} = {literal(self.publisher)} "
                    "and (_payload_id, _fetched_at) in (select (payload_id, fetched_at) from unsendable)"
                )
            self._log("unsendable", new, is_withdrawn=True)
            self._note(new)
        return new

    def _choose_step(self) -> int:
        """The next payloads (`sending`), in the order of their loads; how many."""
        self._make("sending", f"select load_seq from unsent order by load_seq limit {STEP_PAYLOADS}")
        self.connection.execute("delete from unsent where load_seq in (select load_seq from sending)")
        return count(self.connection, "sending")

    def _send_step(self, known: SentUpTo) -> tuple[int, SentUpTo]:
        rows, new = 0, self._reached(replace(known, sent_seq=known.sent_seq + 1), "(select max(load_seq) from sending)")
        with self._locked(), committed(self.connection, self._words()):
            for dataset in self._datasets(THIS_STEP):
                listed = ", ".join(map(quoted, raw_columns(self.tables[dataset])))
                done = self.connection.execute(
                    f"insert into {raw_name(dataset)} ({listed}, {OWNER}) select {listed}, {literal(self.publisher)} "
                    f"from raw.{quoted(dataset)} where _load_seq in (select load_seq from sending)"
                ).fetchone()
                rows += int(done[0]) if done else 0
            self._log(THIS_STEP, new, is_withdrawn=False)
            self._note(new)
        return rows, new

    def _finish(self, known: SentUpTo, basis: str) -> None:
        done = self._reached(replace(known, basis=basis), "(select max(load_seq) from sendable)")
        if done != landing_of(self.connection, self.publisher):
            with self._locked(), committed(self.connection, "raw rows compared"):
                self._note(done)

    def _reached(self, known: SentUpTo, load_seq: str) -> SentUpTo:
        row = self.connection.execute(
            f"select coalesce(max(load_seq), 0), count(*) from sendable where load_seq <= {load_seq}"
        ).fetchone()
        return replace(known, load_seq=int(row[0]), payload_count=int(row[1])) if row else known

    def _log(self, relation: str, new: SentUpTo, is_withdrawn: bool) -> None:
        self.connection.execute(
            f"insert into {LOG} ({LISTED}, {OWNER}, _sent_seq, _is_withdrawn) "
            f"select {LISTED}, {literal(self.publisher)}, {new.sent_seq}, {is_withdrawn} from {relation}"
        )

    def _note(self, new: SentUpTo) -> None:
        table = f"{NAME}.main.{notes_of(self.publisher)}"
        self.connection.execute(f"delete from {table}")
        values = [new.basis, new.load_seq, new.payload_count, new.sent_seq]
        self.connection.execute(f"insert into {table} values (?, ?, ?, ?)", values)

    def _locked(self, datasets: Sequence[str] = ()) -> AbstractContextManager[None]:
        return lake_lock(self.lake, tables=[notes_of(self.publisher), *datasets])

    def _datasets(self, relation: str) -> list[str]:
        return [name for (name,) in self.connection.execute(f"select distinct dataset from {relation} order by all").fetchall()]

    def _words(self) -> str:
        rows = self.connection.execute(
            f"select strftime(slot, '%Y-%m-%dT%H:%MZ'), string_agg(distinct dataset, ', ' order by dataset) from {THIS_STEP} "
            "group by slot order by slot desc"
        ).fetchall()
        return f"raw rows of {slots_in_words(rows)}"

    def _make(self, name: str, rows: str) -> None:
        self.connection.execute(f"create or replace temp table {name} as {rows}")
