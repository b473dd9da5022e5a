"""One sweep: everything due at one slot, asked for together, each payload in the vault the moment it is whole.

Belongs here: which scopes are asked, state readings around a sweep, turning errors into verdicts. Does not: HTTP
(`hypertracker.client`), verdicts on content (`landing`), what is due when (`planning`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from orchestration.clock import Clock
from orchestration.hypertracker.client import Client
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.hypertracker.endpoint import Dataset, Dating, Paging
from orchestration.hypertracker.errors import HyperTrackerError, NotFoundError, QuotaSpentError, TokenError, TransientError
from orchestration.hypertracker.shapes import ShapeError, instant
from orchestration.hypertracker.tally import Tally
from orchestration.pausing import Pause, Pauses, pause_after
from orchestration.planning.slots import slot_at
from orchestration.planning.urgency import Claim, Urgency
from orchestration.vault_bodies import VaultBodies
from warehouse.fetches import FetchRecord, Part, new_fetch_id
from warehouse.ledger import Verdict
from warehouse.vault import Vault, VaultError

MOST_ROUNDS = 2
ALL_AT_ONCE = 1_000_000
# Under this name a record says why its body cannot be data, where the client saw it.
DOUBT = "doubt"
LISTS_LOOKED_AT = 100


@dataclass(frozen=True)
class Ask:
    """One (dataset, scope, slot) to be filled; `source` is who is asked, the dataset itself or one that serves its past."""

    dataset: Dataset
    scope: str
    slot: datetime
    source: Dataset

    @property
    def key(self) -> tuple[str, str, datetime]:
        return (self.dataset.name, self.scope, self.slot)

    @property
    def is_dated(self) -> bool:
        """Whether what it brings carries no time, and is dated by the state read around it."""
        return self.source.dating is Dating.STATE

    @classmethod
    def of(cls, dataset: Dataset, scope: str, slot: datetime) -> Ask:
        """Ask the dataset's own endpoint."""
        return cls(dataset, scope, slot, dataset)


class Sweep:
    """Fills asks concurrently and keeps every outcome in the vault.

    What is lost soonest is asked first. A refused token ends the sweep, a spent quota ends it for all that is not more urgent:
    what was not asked is recorded as failed, with that reason; but for backfill, whose slots failed or not are as missing.
    `on_record` is told of every finished fetch, for progress; `requests_budget` (a day) is noted with each. `held` gives the
    newest state that the warehouse has of each (dataset, scope) dated by it: where that is the present one, nothing is asked.
    `urgency` is that of every ask; by default each dataset's own. `chunk` is how many asks lie between two readings of the state.
    What is among `paused`, or refused for what it is within the sweep, is not asked.
    """

    def __init__(
        self,
        client: Client[Part],
        vault: Vault,
        clock: Clock,
        on_record: Callable[[FetchRecord], None] | None = None,
        requests_budget: int = 0,
        held: Callable[[], Mapping[tuple[str, str], datetime]] = dict,
        urgency: Urgency | None = None,
        chunk: int = ALL_AT_ONCE,
        paused: Mapping[tuple[str, str], Pause] | None = None,
    ) -> None:
        self._client, self._vault, self._clock = client, vault, clock
        self._on_record = on_record
        self._requests_budget, self._held = requests_budget, held
        self._urgency, self._chunk = urgency, chunk
        self._ended_by: dict[Urgency, HyperTrackerError] = {}
        self._paused: Pauses = dict(paused or {})

    async def run(self, asks: Sequence[Ask]) -> list[FetchRecord]:
        """Every fetch made, in the order it finished, state readings among them.

        Payloads that carry no time go first. They are dated by the provider's `lastUpdate`, read before and after; where it
        moved in between, they are asked for once more.
        """
        distinct = {ask.key: ask for ask in map(self._redirected, asks)}.values()
        chosen = sorted(distinct, key=lambda ask: self._urgency_of(ask))
        late = [ask for ask in chosen if self._is_too_late(ask)]
        records = [self._keep(self._missed(ask)) for ask in late]
        timely = [ask for ask in chosen if ask not in late and ask.dataset.name != "state_status"]
        dated = [ask for ask in timely if ask.is_dated]
        await self._settle(timely)
        if dated:
            await self._ask_dated(dated, records)
        elif any(ask not in late and ask.dataset.name == "state_status" for ask in chosen):
            await self._read_state(records)
        fetched = await asyncio.gather(*(self._fetch(ask, None) for ask in timely if not ask.is_dated))
        return [*records, *(record for record in fetched if record)]

    async def _ask_dated(self, asks: Sequence[Ask], records: list[FetchRecord]) -> None:
        """A chunk after the other, each between two readings of the state: where it moves, one chunk is asked for again."""
        state = await self._read_state(records)
        spared = self._spared(asks, state)
        records += [self._keep(_unchanged(ask, state, self._clock.now())) for ask in spared if state]
        left = [ask for ask in asks if ask not in spared]
        for start in range(0, len(left), self._chunk):
            state = await self._ask_chunk(left[start : start + self._chunk], state, records)

    async def _ask_chunk(self, asks: Sequence[Ask], state: datetime | None, records: list[FetchRecord]) -> datetime | None:
        """The state at its end, which is that at the beginning of the next chunk."""
        for _ in range(MOST_ROUNDS):
            fetched = await asyncio.gather(*(self._fetch(ask, state) for ask in asks))
            after = await self._read_state(records)
            found = [(ask, self._closed(record, after)) for ask, record in zip(asks, fetched, strict=True) if record]
            records += [record for _, record in found]
            asks = [ask for ask, record in found if self._rolled_over(record)]
            state = after
            if not asks or self._ended_by:
                break
            state = state or await self._read_state(records)
        return state

    def _urgency_of(self, ask: Ask) -> Urgency:
        return urgency_of(ask.dataset) if self._urgency is None else self._urgency

    def _claim_of(self, ask: Ask) -> Claim:
        """What ends first goes first in a full minute; a slot that is over is as urgent at any time."""
        return Claim(self._urgency_of(ask), None if self._is_over(ask) else ask.slot + ask.dataset.cadence.step)

    def _spared(self, asks: Sequence[Ask], state: datetime | None) -> list[Ask]:
        """Asks for a state that the warehouse has already: they would bring the same bytes once more."""
        return spared(asks, self._held(), state) if state is not None else []

    async def _settle(self, asks: Sequence[Ask]) -> None:
        """Some payloads are published a little after their slot."""
        if asks:
            await self._clock.wait_until(max(_settled_at(ask) for ask in asks))

    async def _read_state(self, records: list[FetchRecord]) -> datetime | None:
        """The provider's `lastUpdate`; None where it cannot be had, and then slots date the payloads."""
        dataset = BY_NAME["state_status"]
        record = await self._fetch(Ask.of(dataset, "", slot_at(dataset.cadence, self._clock.now())), None)
        if record is None:
            return None
        records.append(record)
        if record.outcome != "received":
            return None
        try:
            value = json.loads(self._vault.read(record.parts[0]))
            return instant(value.get("lastUpdate") if isinstance(value, dict) else None, "lastUpdate")
        except (ShapeError, ValueError):
            return None

    async def _fetch(self, ask: Ask, state: datetime | None) -> FetchRecord | None:
        """One fetch, kept; None where the quota left nothing to ask with and the slot is as missing as before."""
        tally, record, urgency = Tally(), self._begun(ask, state), self._urgency_of(ask)
        if (ended_by := self._ended_by.get(urgency)) is not None:
            why = replace(record, reason=f"not asked: {ended_by}", mend=ended_by.mend)
            return None if urgency is Urgency.BACKFILL else self._keep(why)
        if (pause := self._paused.get((ask.source.name, ask.scope))) is not None:
            mend = pause.mend_of(ask.dataset.name)
            return self._keep(replace(record, reason=f"not asked again so soon: {pause.reason}", mend=mend))
        bodies, is_cut_off = self._bodies(ask), False
        try:
            parts = await self._client.fetch(ask.source, ask.scope, ask.slot, bodies, tally, self._claim_of(ask))
        except HyperTrackerError as error:
            self._note_end(error, ask, urgency)
            is_cut_off = isinstance(error, TransientError | QuotaSpentError | TokenError)
            if urgency is Urgency.BACKFILL and isinstance(error, QuotaSpentError) and not tally.requests:
                return None
            outcome = Verdict.ABSENT if isinstance(error, NotFoundError) else Verdict.FAILED
            record = replace(record, outcome=outcome.value, reason=str(error), mend=error.mend)
        else:
            notes = tally.notes | ({DOUBT: tally.doubt} if tally.doubt else {})
            record = replace(record, outcome="received", parts=parts, extra=notes)
        kept = self._keep(replace(record, finished_at=self._clock.now(), requests_spent=tally.requests))
        if not is_cut_off:
            bodies.note(())
        return kept

    def _bodies(self, ask: Ask) -> VaultBodies:
        source, slot = ask.source, ask.slot
        asked = (source.name, ask.scope, slot.isoformat(), repr(source.params(ask.scope, slot)))
        key = "\0".join(asked) if source.paging is Paging.CURSOR else ""
        return VaultBodies(self._vault, ask.dataset.name, slot, source.suffix, key)

    def _begun(self, ask: Ask, state: datetime | None) -> FetchRecord:
        now = self._clock.now()
        return FetchRecord(
            new_fetch_id(), ask.dataset.name, ask.scope, ask.slot, now, now, Verdict.FAILED.value,
            state_before=state if ask.is_dated else None,
            source="" if ask.source.name == ask.dataset.name else ask.source.name, requests_budget=self._requests_budget,
        )  # fmt: skip

    def _note_end(self, error: HyperTrackerError, ask: Ask, urgency: Urgency) -> None:
        if pause := pause_after(error, self._clock.now()):
            self._paused[ask.source.name, ask.scope] = pause
        if isinstance(error, TokenError | QuotaSpentError):
            first = Urgency.PERISHABLE if isinstance(error, TokenError) else urgency
            self._ended_by = {level: error for level in Urgency if level >= first} | self._ended_by

    def _closed(self, record: FetchRecord, after: datetime | None) -> FetchRecord:
        if record.outcome != "received" or record.state_before is None:
            return record
        closed = replace(record, state_after=after)
        self._vault.keep(closed)
        return closed

    def _rolled_over(self, record: FetchRecord) -> bool:
        return record.outcome == "received" and record.state_before is not None and record.state_before != record.state_after

    def _redirected(self, ask: Ask) -> Ask:
        """A slot that is over is asked of whoever still serves the past; a file of the whole exchange is asked for once."""
        if not self._is_over(ask):
            return ask
        if not ask.dataset.is_current_state:
            return replace(ask, source=ask.dataset.ending_at_slot)
        source = ask.dataset.past_source(ask.slot, self._clock.now())
        return replace(ask, source=source, scope=ask.scope if source.scoped_by else "") if source else ask

    def _is_too_late(self, ask: Ask) -> bool:
        return ask.source.is_current_state and self._is_over(ask)

    def _is_over(self, ask: Ask) -> bool:
        return self._clock.now() >= ask.slot + ask.dataset.cadence.step

    def _missed(self, ask: Ask) -> FetchRecord:
        now = self._clock.now()
        reason = (
            f"asked at {now:%Y-%m-%d %H:%M:%S}, when the state of {ask.slot:%H:%M} was gone: the provider serves the present only"
        )
        return FetchRecord(
            new_fetch_id(), ask.dataset.name, ask.scope, ask.slot, now, now, Verdict.MISSED.value, reason=reason,
            mend="nothing heals it; keep the schedules running",
        )  # fmt: skip

    def _keep(self, record: FetchRecord) -> FetchRecord:
        self._vault.keep(record)
        if self._on_record:
            self._on_record(record)
        return record


def spared(asks: Sequence[Ask], held: Mapping[tuple[str, str], datetime], state: datetime) -> list[Ask]:
    """Asks that would bring the state that is held of their (dataset, scope) already."""
    return [ask for ask in asks if ask.is_dated and held.get((ask.dataset.name, ask.scope)) == state]


def urgency_of(dataset: Dataset) -> Urgency:
    """How urgent the live polls of a dataset are."""
    is_perishable = dataset.is_current_state and dataset.window is None
    return Urgency.PERISHABLE if is_perishable else Urgency.FRESHNESS


def listed_coins(vault: Vault) -> list[str]:
    """Every coin of the newest readable list of coins in the vault, largest open value first; empty where there is none yet."""
    lists = islice(vault.received("coins"), LISTS_LOOKED_AT)
    return next(filter(None, (_coins_in(vault, record) for record in lists)), [])


def _coins_in(vault: Vault, record: FetchRecord) -> list[str]:
    try:
        rows = json.loads(vault.read(record.parts[0]))
        coins = [row["coin"] for row in sorted(rows, key=lambda row: -float(row["totalValue"]))]
        " ".join(coins).encode()  # a name that is no text, or that no request could carry
        return coins
    except (ValueError, TypeError, KeyError, RecursionError, VaultError):
        return []


def _unchanged(ask: Ask, state: datetime, now: datetime) -> FetchRecord:
    return FetchRecord(
        new_fetch_id(), ask.dataset.name, ask.scope, ask.slot, now, now, Verdict.UNCHANGED.value,
        reason=f"not asked: the state of {state:%H:%M:%S} is there already", state_before=state, state_after=state,
    )  # fmt: skip


def _settled_at(ask: Ask) -> datetime:
    return ask.slot + timedelta(seconds=ask.source.settle_s)
