"""From a fetch in the vault to rows in raw and a verdict in the ledger.

Belongs here: deciding the verdict of one fetch. Does not: asking the API (`collecting`), moving rows (`warehouse.load`).
A pure consequence of the record, its bytes and what was loaded before, so that replaying the vault gives the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import duckdb

from orchestration.collecting import DOUBT
from orchestration.definition_watch import RedefinedError, note_refusal, watch_columns, watch_document
from orchestration.hypertracker.datasets import SOURCES
from orchestration.hypertracker.endpoint import Dataset, Dating
from orchestration.hypertracker.kinds import check_values
from orchestration.hypertracker.shapes import Contents, ShapeError, instant
from orchestration.hypertracker.texts import payload_text, strict_json
from orchestration.registering import raw_table, rows_source, source_of
from warehouse import ledger
from warehouse.definitions import forget_sightings
from warehouse.fetches import FetchRecord
from warehouse.ledger import Judgement, Verdict
from warehouse.load import Origin, as_json_text, find_rejects, insert_documents, insert_rows
from warehouse.payload_columns import LoadError
from warehouse.quarantine import (
    Case,
    Decision,
    DecisionBook,
    Status,
    forget_case,
    note_case,
    trouble_of,
)
from warehouse.rejects import Rejects
from warehouse.vault import Vault, VaultError

POLL_AGAIN = "run the same `htw poll` again"
REDEFINED_MEND = (
    "adapt the staging model, set `redefined_at` in the dataset's registry record, "
    "then run `htw quarantine replay --all` or `htw rebuild`"
)
QUARANTINE_MEND = "the payload is kept in the vault; after a fix `htw quarantine replay --all` or `htw rebuild` reads it again"
UNSOUND_MEND = "restore that file of the vault from a backup and run `htw quarantine replay --all`, or ask again: `htw heal`"
AHEAD = timedelta(days=1)  # clocks and zones may differ; nobody tells of tomorrow
RELEASED_MEND = "nothing; `htw quarantine list --all` shows what was left out"


class ShortFileError(Exception):
    """A file that does not have the number of rows the provider said it has."""

    def __init__(self, declared: int, found: int) -> None:
        super().__init__(f"the provider counts {declared:,} rows, the file has {found:,}")
        self.found = found


def land_all(
    connection: duckdb.DuckDBPyConnection, vault: Vault, records: Iterable[FetchRecord]
) -> Iterator[tuple[FetchRecord, Judgement]]:
    """Land records one by one, each in a transaction of its own: a bad payload costs its own slot only."""
    for record in records:
        yield record, land(connection, vault, record)


def land(connection: duckdb.DuckDBPyConnection, vault: Vault, record: FetchRecord, again: bool = False) -> Judgement:
    """The verdict on one fetch, with its rows in raw where it is `loaded`. Landing a record again changes nothing.

    `again` judges anew one that has a verdict already: what is accepted replaces all that the fetch left behind, and so does a
    refusal for another reason; for the same reason, nothing changes.
    """
    known, decision = ledger.recorded(connection, record), DecisionBook(vault.root).about(record.fetch_id)
    if known and not again:
        return known
    if decision and decision.status is Status.RELEASED:
        return _refuse(connection, record, _left_out(decision), decision.case, known, decision)
    try:
        with ledger.transaction(connection):
            if known:
                _forget(connection, record)
            judgement = _judge(connection, vault, record)
            if decision:
                note_case(connection, record, decision.case, decision)
            return judgement
    except ShortFileError as error:
        return _refuse(connection, record, Judgement(Verdict.INCOMPLETE, str(error), POLL_AGAIN, error.found), None, known)
    except RedefinedError as error:
        return _quarantine(connection, vault, record, error, REDEFINED_MEND, known)
    except VaultError as error:
        return _quarantine(connection, vault, record, error, UNSOUND_MEND, known)
    except RecursionError:
        return _quarantine(
            connection, vault, record, ShapeError("lists or objects within each other too deep"), QUARANTINE_MEND, known
        )
    except (ShapeError, LoadError) as error:
        return _quarantine(connection, vault, record, error, QUARANTINE_MEND, known)


def _judge(connection: duckdb.DuckDBPyConnection, vault: Vault, record: FetchRecord) -> Judgement:
    if record.outcome != "received":
        held = ledger.payload_of_state(connection, record) if record.outcome == Verdict.UNCHANGED else None
        return _note(connection, record, Judgement(Verdict(record.outcome), record.reason, record.mend), held)
    if doubt := _doubt(record):
        return _note(connection, record, doubt, None)
    ledger.forget_later_load(connection, record)
    if repeated := repeated_payload(connection, record):
        return _note(connection, record, Judgement(Verdict.UNCHANGED, "the same bytes as the slot before"), repeated)
    if ledger.is_loaded(connection, record):
        return _note(connection, record, Judgement(Verdict.LOADED, "the same bytes as an earlier fetch"), record.payload_id)
    return _load(connection, vault, record)


def repeated_payload(connection: duckdb.DuckDBPyConnection, record: FetchRecord) -> str | None:
    """The payload of the slot before, where a fetch brought nothing but the same once more."""
    return ledger.repeated_payload(connection, record, snapshot_time(record, source_of(record), None)[0])


def _quarantine(
    connection: duckdb.DuckDBPyConnection, vault: Vault, record: FetchRecord, error: Exception, mend: str, known: Judgement | None
) -> Judgement:
    if (doubt := record.extra.get(DOUBT)) and all(map(vault.verify, record.parts)):
        # It came so: what the client saw of all its bytes says more than what could not be read of them.
        error, mend = ShapeError(f"the answer cannot be data: {doubt}"), QUARANTINE_MEND
    rejects = _rejects(connection, vault, record, error)
    case = Case(str(error), mend, trouble_of(vault, record, rejects), rejects)
    redefined = error if isinstance(error, RedefinedError) else None
    return _refuse(connection, record, Judgement(Verdict.QUARANTINED, case.reason, mend), case, known, redefined=redefined)


def _rejects(connection: duckdb.DuckDBPyConnection, vault: Vault, record: FetchRecord, error: Exception) -> Rejects:
    if not isinstance(error, LoadError) or not record.parts:
        return Rejects()
    source = source_of(record)
    return find_rejects(connection, raw_table(SOURCES[record.dataset]), rows_source(source), vault, record.parts)


def _refuse(
    connection: duckdb.DuckDBPyConnection,
    record: FetchRecord,
    judgement: Judgement,
    case: Case | None,
    known: Judgement | None,
    decision: Decision | None = None,
    redefined: RedefinedError | None = None,
) -> Judgement:
    """Note a fetch that gives no rows, and why. One that was refused in the same words before stays as it is."""
    if known and (known.verdict, known.reason) == (judgement.verdict, judgement.reason):
        return known
    with ledger.transaction(connection):
        if known:
            _forget(connection, record)
        if redefined:
            note_refusal(connection, record, source_of(record), redefined)
        if case:
            note_case(connection, record, case, decision)
        return _note(connection, record, judgement, None)


def _forget(connection: duckdb.DuckDBPyConnection, record: FetchRecord) -> None:
    ledger.forget_fetch(connection, record)
    forget_sightings(connection, record.fetch_id)
    forget_case(connection, record.fetch_id)


def _left_out(decision: Decision) -> Judgement:
    words = f"left out for good by a person: {decision.why} (it could not be read: {decision.case.reason})"
    return Judgement(Verdict.QUARANTINED, words, RELEASED_MEND)


def _load(connection: duckdb.DuckDBPyConnection, vault: Vault, record: FetchRecord) -> Judgement:
    if unsound := next((part for part in record.parts if not vault.verify(part)), None):
        raise VaultError(f"{unsound.file} is not there as it was received")
    load_seq = ledger.next_load_seq(connection)
    judgement = _insert(connection, vault, record, source_of(record), load_seq)
    if judgement.verdict is Verdict.EMPTY:
        return _note(connection, record, judgement, None)
    ledger.note_payload(connection, record, judgement, load_seq)
    return _note(connection, record, judgement, record.payload_id)


def _insert(
    connection: duckdb.DuckDBPyConnection, vault: Vault, record: FetchRecord, source: Dataset, load_seq: int
) -> Judgement:
    if source.shape is None:
        return _insert_rows(connection, vault, record, source, load_seq)
    texts = [as_json_text(payload_text(vault.read(part))) for part in record.parts]
    pages = [strict_json(text) for text in texts]
    contents = source.shape.inspect(pages, record.scope)
    if contents.row_count == 0:
        return Judgement(Verdict.EMPTY, "the provider sent no records")
    snapshot_at, basis = snapshot_time(record, source, contents.snapshot_at)
    origin = _origin(record, snapshot_at, basis, load_seq)
    _refuse_future(record, contents)
    watch_document(connection, record, source, pages)
    if source.form is not None:
        check_values(pages, source.form, source.identity, source.adds_up)
    insert_documents(connection, raw_table(source), origin, texts)
    return _loaded(contents, snapshot_at, basis)


def _insert_rows(
    connection: duckdb.DuckDBPyConnection, vault: Vault, record: FetchRecord, source: Dataset, load_seq: int
) -> Judgement:
    snapshot_at, basis = snapshot_time(record, source, _noted_time(record, source))
    table, origin = raw_table(SOURCES[record.dataset]), _origin(record, snapshot_at, basis, load_seq)
    counts = insert_rows(connection, table, rows_source(source), origin, vault, record.parts)
    declared = declared_row_count(record)
    if declared is not None and declared != counts.row_count:
        raise ShortFileError(declared, counts.row_count)
    if counts.row_count == 0:
        return Judgement(Verdict.EMPTY, "the provider sent no rows")
    watch_columns(connection, record, source, counts.columns)
    if counts.row_count == counts.foreign_row_count:
        raise LoadError(f"none of the {counts.row_count} rows is of {record.scope!r}")
    contents = Contents(counts.row_count, counts.snapshot_at or snapshot_at, counts.snapshot_at or snapshot_at)
    _refuse_future(record, contents)
    return _loaded(contents, contents.snapshot_at, basis, counts.foreign_row_count)


def put_back(
    connection: duckdb.DuckDBPyConnection,
    vault: Vault,
    record: FetchRecord,
    load_seq: int,
    snapshot_at: datetime | None,
    basis: str | None,
) -> None:
    """The raw rows of a payload once more, as they were when it was loaded, in the transaction of whoever calls. Judges nothing.

    Raises `VaultError`, `ShapeError` or `LoadError` where they cannot be had.
    """
    if unsound := next((part for part in record.parts if not vault.verify(part)), None):
        raise VaultError(f"{unsound.file} is not there as it was received")
    source, table = source_of(record), raw_table(SOURCES[record.dataset])
    if source.shape is None:
        origin = _origin(record, *snapshot_time(record, source, _noted_time(record, source)), load_seq)
        insert_rows(connection, table, rows_source(source), origin, vault, record.parts)
    else:
        texts = [as_json_text(payload_text(vault.read(part))) for part in record.parts]
        insert_documents(connection, table, _origin(record, snapshot_at, basis, load_seq), texts)


def declared_row_count(record: FetchRecord) -> int | None:
    """How many rows the provider said the file has, where it said so."""
    note = source_of(record).link_note
    text = record.extra.get(note.row_count, "") if note else ""
    return int(text) if text.isdigit() else None


def _noted_time(record: FetchRecord, source: Dataset) -> datetime | None:
    note = source.link_note
    return instant(record.extra.get(note.snapshot), note.snapshot) if note else None


def snapshot_time(record: FetchRecord, source: Dataset, own: datetime | None) -> tuple[datetime | None, str | None]:
    """When the provider saw what it sent, and how we know: `payload`, `state` or `slot`; nothing for a series."""
    if source.dating is Dating.SERIES:
        return None, None
    if source.dating is Dating.PAYLOAD:
        return own, "payload"
    if source.dating is Dating.STATE and record.state_before is not None:
        return record.state_before, "state"
    return record.slot, "slot"


def _doubt(record: FetchRecord) -> Judgement | None:
    """A payload that may mix two states of the market, or whose sweep never ended."""
    if source_of(record).dating is not Dating.STATE or record.state_before is None:
        return None
    if record.state_after is None:
        return Judgement(Verdict.INCOMPLETE, "the sweep was cut off before the state was read again", POLL_AGAIN)
    if record.state_after != record.state_before:
        moved = f"the state moved from {record.state_before:%H:%M:%S} to {record.state_after:%H:%M:%S} during the sweep"
        return Judgement(Verdict.INCOMPLETE, moved, POLL_AGAIN)
    return None


def _refuse_future(record: FetchRecord, contents: Contents) -> None:
    moments = [moment for moment in (contents.snapshot_at, contents.newest_at) if moment]
    if moments and max(moments) > record.finished_at + AHEAD:
        raise ShapeError(f"it tells of {max(moments):%Y-%m-%d %H:%M:%S}, and came at {record.finished_at:%Y-%m-%d %H:%M:%S}")


def _loaded(contents: Contents, snapshot_at: datetime | None, basis: str | None, foreign: int = 0) -> Judgement:
    return Judgement(
        Verdict.LOADED, row_count=contents.row_count, foreign_row_count=foreign, snapshot_at=snapshot_at,
        snapshot_at_basis=basis, newest_at=contents.newest_at or snapshot_at,
    )  # fmt: skip


def _origin(record: FetchRecord, snapshot_at: datetime | None, basis: str | None, load_seq: int) -> Origin:
    return Origin(record.payload_id, record.scope, record.slot, record.finished_at, snapshot_at, basis, load_seq)


def _note(connection: duckdb.DuckDBPyConnection, record: FetchRecord, judgement: Judgement, payload_id: str | None) -> Judgement:
    ledger.note_fetch(connection, record, judgement, payload_id, declared_row_count(record))
    return judgement
