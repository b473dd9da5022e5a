"""What is done about quarantined fetches: judged again by today's code, or left out for good.

Belongs here: replaying and releasing in one working file, and which other fetches that touches. Does not: the verdict on one
fetch (`landing`), the tables (`warehouse.quarantine`), the commands (`quarantine_commands`).

After a replay, raw and ledger are what they would be had the code been today's when the fetch came, and what a rebuild makes of
the vault. Later fetches whose verdict rests on the replayed one are judged again too: one that brought the bytes of the slot
before may not have, once there is a slot in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import duckdb

from orchestration.hypertracker.datasets import SOURCES
from orchestration.landing import land, repeated_payload
from orchestration.pipeline import Pipeline
from orchestration.registering import prepare
from warehouse import ledger
from warehouse.connection import WarehouseError, open_writer
from warehouse.definitions import has_redefined
from warehouse.fetches import FetchRecord
from warehouse.ledger import Judgement, Verdict
from warehouse.quarantine import (
    Decision,
    DecisionBook,
    Quarantined,
    Status,
    case_of,
    held_case,
    note_case,
    quarantine_rows,
    row_of,
)
from warehouse.vault import Vault

ACCEPTED = "judged again and accepted"


@dataclass(frozen=True)
class Replay:
    """One fetch that was judged again. `touched` counts later fetches whose verdict or payload changed with it; `lost_rows` says
    that rows which models have read already are gone, so that they are to be built anew."""

    row: Quarantined
    judgement: Judgement
    touched: int = 0
    lost_rows: bool = False

    @property
    def is_accepted(self) -> bool:
        return self.judgement.verdict is not Verdict.QUARANTINED


@contextmanager
def working_file(pipeline: Pipeline) -> Iterator[duckdb.DuckDBPyConnection]:
    """The working file for writing, all that is pending in the vault landed. Raises `WarehouseError` where there is no file."""
    if not pipeline.settings.warehouse_file.exists():
        raise WarehouseError(f"there is no {pipeline.settings.warehouse_file} yet", "run `htw poll` or `htw rebuild`")
    pipeline.load()
    with open_writer(pipeline.settings.warehouse_file) as connection:
        prepare(connection)
        yield connection


def chosen_rows(connection: duckdb.DuckDBPyConnection, prefixes: Iterable[str]) -> list[Quarantined]:
    """The held fetches whose ids begin so; all of them without any. Raises `WarehouseError` for one that is not held."""
    rows = {row.fetch_id: row for row in (row_of(connection, prefix) for prefix in prefixes)}
    for row in rows.values():
        if row.status != Status.HELD:
            said = f"{row.fetch_id} was {row.status} at {row.decided_at:%Y-%m-%d %H:%M}: {row.decided_why}"
            raise WarehouseError(said, "only what is held can be decided: `htw quarantine list`")
    return sorted(rows.values(), key=lambda row: (row.fetched_at, row.fetch_id)) if rows else quarantine_rows(connection)


def replay(connection: duckdb.DuckDBPyConnection, vault: Vault, row: Quarantined, now: datetime) -> Replay:
    """Judge a held fetch again. Where it is accepted its verdict is what it would have been; else nothing changes."""
    record = vault.record(row.dataset, row.slot, row.fetch_id)
    _, judgement = _judge_again(connection, vault, record, now)
    if judgement.verdict is Verdict.QUARANTINED:
        return Replay(row, judgement)
    changes = [*_follow(connection, vault, record, now)]
    lost = any(before.verdict is Verdict.LOADED and after.verdict is Verdict.QUARANTINED for before, after in changes)
    return Replay(row, judgement, len(changes), lost)


def release(connection: duckdb.DuckDBPyConnection, vault: Vault, row: Quarantined, why: str, now: datetime) -> Judgement:
    """Leave a held payload out for good: its slot stays missing for that reason, unless another fetch fills it."""
    record, case = vault.record(row.dataset, row.slot, row.fetch_id), case_of(connection, row)
    DecisionBook(vault.root).keep(Decision(row.fetch_id, Status.RELEASED, now, why, case))
    return land(connection, vault, record, again=True)


def judge_with_followers(
    connection: duckdb.DuckDBPyConnection, vault: Vault, record: FetchRecord, now: datetime
) -> list[tuple[Judgement | None, Judgement]]:
    """Judge any fetch again, and what rests on it; the verdicts before and after, its own first."""
    return [_judge_again(connection, vault, record, now), *_follow(connection, vault, record, now)]


def _judge_again(
    connection: duckdb.DuckDBPyConnection, vault: Vault, record: FetchRecord, now: datetime
) -> tuple[Judgement | None, Judgement]:
    """The verdicts before and after. That a held one was accepted is kept as a decision."""
    before, held = ledger.recorded(connection, record), held_case(connection, record.fetch_id)
    after = land(connection, vault, record, again=True)
    if held and after.verdict is not Verdict.QUARANTINED:
        decision = Decision(record.fetch_id, Status.REPLAYED, now, f"{ACCEPTED}: {after.verdict}", held)
        DecisionBook(vault.root).keep(decision)
        with ledger.transaction(connection):
            note_case(connection, record, held, decision)
    return before, after


def _follow(
    connection: duckdb.DuckDBPyConnection, vault: Vault, record: FetchRecord, now: datetime
) -> Iterator[tuple[Judgement, Judgement]]:
    """Judge again what finished later and rests on a fetch; before and after of what changed."""
    redefined = has_redefined(connection, record.fetch_id)
    of_all_scopes = redefined and SOURCES[record.source or record.dataset].defines is not None
    for fetch_id, slot, payload_id in ledger.later_fetches(connection, record, of_all_scopes):
        later = vault.record(record.dataset, slot, fetch_id)
        if redefined or later.payload_id == record.payload_id or payload_id != _payload_now(connection, later, payload_id):
            before, after = _judge_again(connection, vault, later, now)
            if before and (before.verdict, before.reason) != (after.verdict, after.reason):
                yield before, after


def _payload_now(connection: duckdb.DuckDBPyConnection, record: FetchRecord, noted: str | None) -> str | None:
    """The payload that a fetch would be said to have brought, as far as the slot before decides that."""
    if record.outcome == Verdict.UNCHANGED:
        return ledger.payload_of_state(connection, record)
    return repeated_payload(connection, record) or (record.payload_id if noted else None)
