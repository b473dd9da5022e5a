"""Raw rows of old payloads: dropped once the vault is seen to hold the payload, brought back from it where a build needs them.

Belongs here: what connects the working file with the vault for both, and with the lake for what other machines sent there. Does
not: which rows may go and which are needed (`warehouse.retention`), the command and the job (`storage_commands`, `jobs`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from orchestration.hypertracker.shapes import ShapeError
from orchestration.landing import put_back
from orchestration.registering import raw_tables
from warehouse.connection import WarehouseError, open_writer
from warehouse.fetches import FetchRecord
from warehouse.lake import Lake
from warehouse.lake_taking import held_by, take_again
from warehouse.ledger import transaction
from warehouse.payload_columns import LoadError
from warehouse.retention import Payload, Readers, drop, note_back, old_raw
from warehouse.vault import Vault, VaultError

RESTORE_MEND = "restore that file of the vault from a backup; `htw rebuild` goes on without it, and its facts are lost then"


@dataclass(frozen=True)
class DroppedRaw:
    """Payloads whose raw rows were dropped (or would be), and those kept because they could not be had again as received."""

    payloads: tuple[Payload, ...] = ()
    kept: tuple[Payload, ...] = ()
    row_count: int = 0


@dataclass(frozen=True)
class Sources:
    """Where raw rows can be had again: those polled here from the vault, those taken from a shared lake from there."""

    vault: Vault
    lake: Lake | None = None

    def taken(self, connection: duckdb.DuckDBPyConnection, payloads: Sequence[Payload]) -> set[Payload]:
        """Those that came from the lake, and are there."""
        # The ledger knows no fetch of what was polled elsewhere.
        foreign = [payload for payload in payloads if payload.fetch_id is None]
        return held_by(connection, self.lake, foreign) if self.lake and foreign else set()

    def bring_back(self, connection: duckdb.DuckDBPyConnection, payloads: Sequence[Payload]) -> None:
        """The raw rows of payloads, once more. Raises `WarehouseError` for one that cannot be had: what a build would make
        without it lacks history."""
        taken = self.taken(connection, payloads)
        if self.lake and taken:
            take_again(connection, self.lake, raw_tables(), [*taken])
        for payload in payloads:
            if payload not in taken:
                _bring_back(self.vault, connection, payload)


def drop_old_raw(file: Path, sources: Sources, readers: Readers, before: datetime, is_dry: bool = False) -> DroppedRaw:
    """Drop the raw rows of payloads of slots before an instant (UTC) that no build needs and that can be had again as received.

    The vault is read with the working file free for others; what changed meanwhile is left for the next time.
    """
    with open_writer(file) as connection:
        old = list(old_raw(connection, readers, before))
        taken = sources.taken(connection, old)
    sound = {payload for payload in old if payload in taken or _is_held(sources.vault, payload)}
    kept = tuple(payload for payload in old if payload not in sound)
    if is_dry or not sound:
        return DroppedRaw(tuple(payload for payload in old if payload in sound), kept)
    with open_writer(file) as connection:
        still = [payload for payload in old_raw(connection, readers, before) if payload in sound]
        return DroppedRaw(tuple(still), kept, drop(connection, still))


def _bring_back(vault: Vault, connection: duckdb.DuckDBPyConnection, payload: Payload) -> None:
    with _in_words(payload), transaction(connection):
        put_back(
            connection, vault, _record(vault, payload), payload.load_seq, _utc(payload.snapshot_at), payload.snapshot_at_basis
        )
        note_back(connection, [payload.load_seq])


def _is_held(vault: Vault, payload: Payload) -> bool:
    with contextlib.suppress(VaultError):
        return all(map(vault.verify, _record(vault, payload).parts))
    return False


def _record(vault: Vault, payload: Payload) -> FetchRecord:
    if payload.fetch_id is None:
        raise VaultError("the ledger does not know the fetch that brought it")
    return vault.record(payload.dataset, payload.slot.replace(tzinfo=UTC), payload.fetch_id)


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


@contextlib.contextmanager
def _in_words(payload: Payload) -> Iterator[None]:
    try:
        yield
    except (VaultError, ShapeError, LoadError) as error:
        what = f"{payload.dataset} {payload.scope or 'market'} of {payload.slot:%Y-%m-%d %H:%M}"
        says = f"this build reads {what} again, whose raw rows were dropped and cannot be had from the vault ({error})"
        raise WarehouseError(says, RESTORE_MEND) from error
