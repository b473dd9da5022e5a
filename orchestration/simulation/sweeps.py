"""Sweeps of a simulated month, live and healing, as `orchestration.collecting` and the state sensor make them.

Belongs here: the course of a sweep: readings of the state around what it dates, what is spared, what is asked again. Does not:
sending (`asking`), and what collecting decides itself: what is spared, how urgent it is.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count, groupby

from orchestration.collecting import MOST_ROUNDS, Ask, spared, urgency_of
from orchestration.filling import batches_of
from orchestration.hypertracker.datasets import BY_NAME, DATASETS
from orchestration.hypertracker.endpoint import Dataset, Dating
from orchestration.planning.errands import Errand
from orchestration.planning.slots import EPOCH, Cadence, slot_at
from orchestration.planning.urgency import Urgency
from orchestration.sensors import LOOKS_EVERY_S
from orchestration.simulation.agenda import Agenda, Task
from orchestration.simulation.asking import Asker, Batch, Purpose, Why
from orchestration.simulation.chronicle import Chronicle, Entry
from orchestration.simulation.mending import Missing, is_over
from orchestration.simulation.timetable import Timetable
from orchestration.simulation.weather import PROMISED_STATE, Weather
from orchestration.state_gate import FIRST_PAUSE, LEFT_FOR_THE_SWEEP, PUBLISHED_AFTER
from warehouse.ledger import Verdict

STATE = BY_NAME["state_status"]
LOOKS_EVERY = timedelta(seconds=LOOKS_EVERY_S)
Reading = Generator[datetime, None, datetime | None]
Sweeping = Generator[datetime, None, bool]


class Sweeps:
    """Makes sweeps on the agenda. `spared_count` counts the polls that were not worth a request."""

    def __init__(
        self, agenda: Agenda, asker: Asker, timetable: Timetable, missing: Missing, weather: Weather, chronicle: Chronicle,
        chunk: int,
    ) -> None:  # fmt: skip
        self._agenda, self._asker, self._timetable, self._missing = agenda, asker, timetable, missing
        self._weather, self._chronicle, self._chunk = weather, chronicle, chunk
        self._held: dict[tuple[str, str], datetime] = {}
        self._loaded: dict[tuple[str, datetime], set[str]] = {}
        self._is_healing = False
        self.spared_count = 0

    def live(self, cadence: Cadence, slot: datetime) -> Task:
        """The sweep of one slot, and those that follow it where its state was there already."""
        due = [batch for dataset in DATASETS if dataset.cadence is cadence for batch in self._due(dataset, slot)]
        if not due:
            return
        yield slot + timedelta(seconds=max(BY_NAME[batch.dataset].settle_s for batch in due))
        waits = yield from self._sweep(due)
        if waits and cadence is Cadence.QUARTER_HOUR:
            yield from self._at_next_state(slot)

    def heal(self) -> Task:
        """One run of the job that heals."""
        if self._is_healing:
            return
        self._is_healing = True
        try:
            errands = self._missing.errands(self._agenda.now, self._asker.budget.spendable(Urgency.BACKFILL))
            for some in batches_of(errands):
                yield from self._sweep([batch for errand in some for batch in self._errand(errand)])
                if self._asker.budget.spendable(Urgency.BACKFILL) == 0:
                    return
        finally:
            self._is_healing = False

    def _at_next_state(self, slot: datetime) -> Task:
        """What the state sensor starts: not before the next state was promised, and after longer and longer pauses."""
        dated = [dataset for dataset in DATASETS if dataset.cadence is Cadence.QUARTER_HOUR and dataset.dating is Dating.STATE]
        for times in count():
            expected = self._weather.state_at(self._agenda.now) + PROMISED_STATE + PUBLISHED_AFTER
            moment = _next_look(max(expected, self._agenda.now + FIRST_PAUSE * 2**times))
            if moment > slot + Cadence.QUARTER_HOUR.step - LEFT_FOR_THE_SWEEP:
                return
            yield moment
            due = [left for dataset in dated for batch in self._due(dataset, slot) for left in self._not_loaded(batch)]
            if not (yield from self._sweep(due)):
                return

    def _due(self, dataset: Dataset, slot: datetime) -> Iterator[Batch]:
        scopes = self._timetable.due(dataset, slot)
        if scopes:
            is_dated = dataset.dating is Dating.STATE
            ends_at = slot + dataset.cadence.step
            yield Batch(
                dataset.name, scopes, slot, urgency_of(dataset), Purpose.PLANNED, ends_at, dataset.requests_a_poll,
                is_waiting=is_dated,
            )  # fmt: skip

    def _not_loaded(self, batch: Batch) -> Iterator[Batch]:
        """The sensor's sweep leaves out what was loaded at its slot."""
        there = self._loaded.get((batch.dataset, batch.slot), set())
        if left := tuple(scope for scope in batch.scopes if scope not in there):
            yield replace(batch, scopes=left)

    def _errand(self, errand: Errand) -> Iterator[Batch]:
        """Scopes of an errand that cost the same, as one batch each."""
        dataset, now = BY_NAME[errand.dataset], self._agenda.now
        past = is_over(dataset, errand.slot, now)
        source = dataset.past_source(errand.slot, now) if past and dataset.is_current_state else None
        if past and dataset.is_current_state and source is None:
            return
        costs = {scope: self._missing.cost(dataset, scope, errand.slot, now) for scope in errand.scopes}
        ends_at = errand.expires_at if past else errand.slot + dataset.cadence.step
        for each, scopes in groupby(sorted(costs, key=lambda scope: costs[scope]), key=lambda scope: costs[scope]):
            yield Batch(
                dataset.name, tuple(scopes), errand.slot, Urgency.BACKFILL, Purpose.HEALING, ends_at, each,
                source.name if source else "", is_waiting=not past and dataset.dating is Dating.STATE,
            )  # fmt: skip

    def _sweep(self, batches: Sequence[Batch]) -> Sweeping:
        """Ask; whether something was spared and waits for the next state."""
        dated = sorted((batch for batch in batches if batch.is_waiting), key=lambda batch: batch.urgency)
        others = [batch for batch in batches if not batch.is_waiting and batch.dataset != STATE.name]
        first = Purpose.PLANNED if any(batch.dataset == STATE.name for batch in batches) else Purpose.READING
        waits, ended = False, set[Urgency]()
        if dated:
            waits = yield from self._ask_dated(dated, first, ended)
        elif first is Purpose.PLANNED:
            yield from self._read(first, batches)
        yield from self._asker.ask(others, ended)
        return waits

    def _ask_dated(self, batches: Sequence[Batch], first: Purpose, ended: set[Urgency]) -> Sweeping:
        """A chunk after the other, each between two readings of the state."""
        state = yield from self._read(first, batches)
        left, found = self._spare(batches, state)
        for chunk in _chunks(left, self._chunk):
            state = yield from self._ask_chunk(chunk, state, ended)
        return found

    def _ask_chunk(self, batches: Sequence[Batch], state: datetime | None, ended: set[Urgency]) -> Reading:
        """The state at its end. Where it moved, the chunk is asked for once more."""
        asked = list(batches)
        for _ in range(MOST_ROUNDS):
            served = yield from self._asker.ask(asked, ended)
            after = yield from self._read(Purpose.READING, batches)
            asked, state = self._dated(served, state, after), after
            if not asked or ended:
                break
            state = state or (yield from self._read(Purpose.READING, batches))
        return state

    def _read(self, purpose: Purpose, batches: Sequence[Batch]) -> Reading:
        """The provider's state; None where it cannot be had."""
        now = self._agenda.now
        if any(batch.urgency is Urgency.BACKFILL for batch in batches):
            urgency, purpose = Urgency.BACKFILL, Purpose.HEALING
        else:
            urgency = urgency_of(STATE)
        slot = slot_at(STATE.cadence, now)
        asked = Batch(STATE.name, ("",), slot, urgency, purpose, slot + STATE.cadence.step)
        served = yield from self._asker.ask([asked])
        return self._weather.state_at(self._agenda.now) if served else None

    def _spare(self, dated: Sequence[Batch], state: datetime | None) -> tuple[list[Batch], bool]:
        """What is still to be asked, and whether something is not."""
        if state is None:
            return list(dated), False
        left, found = [], False
        for batch in dated:
            asks = [Ask.of(BY_NAME[batch.dataset], scope, batch.slot) for scope in batch.scopes]
            there = {ask.scope for ask in spared(asks, self._held, state)}
            if there:
                found = True
                self.spared_count += len(there)
                entry = (batch.dataset, tuple(s for s in batch.scopes if s in there), batch.slot, self._agenda.now)
                self._chronicle.note(Entry(*entry, Verdict.UNCHANGED))
            if rest := tuple(scope for scope in batch.scopes if scope not in there):
                left.append(replace(batch, scopes=rest))
        return left, found

    def _dated(self, served: Sequence[Batch], before: datetime | None, after: datetime | None) -> list[Batch]:
        """Verdicts on what the state dates; gives what is to be asked for once more, because the state moved."""
        moved = []
        for batch in served:
            if before is None or before == after:
                self._asker.note(batch, Verdict.LOADED)
                self._loaded.setdefault((batch.dataset, batch.slot), set()).update(batch.scopes)
                self._held |= dict.fromkeys(((batch.dataset, scope) for scope in batch.scopes), before or batch.slot)
            else:
                self._asker.note(batch, Verdict.INCOMPLETE, Why.MOVED if after else Why.DOWN)
                moved.append(replace(batch, spent=0, tries=1, again_at=None))
        return moved


def _chunks(batches: Sequence[Batch], size: int) -> Iterator[list[Batch]]:
    """So many asks each, in their order."""
    chunk, room = list[Batch](), size
    for batch in batches:
        left = batch
        while left.scopes:
            piece, left = left.cut(room)
            chunk.append(piece)
            room -= len(piece.scopes)
            if not room:
                yield chunk
                chunk, room = [], size
    if chunk:
        yield chunk


def _next_look(moment: datetime) -> datetime:
    """When the sensor looks next, at an instant or after it."""
    return EPOCH - (EPOCH - moment) // LOOKS_EVERY * LOOKS_EVERY
