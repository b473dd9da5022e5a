"""Filling slots that are over: healing what was missed, and backfill of what never was due.

Belongs here: what is lacking by the coverage and the registry, and running errands batch by batch. Does not: the order of
errands (`planning.errands`), asking and loading (`pipeline`), words for people (`filling_report`). An errand that was cut off,
by a kill or by the end of the budget, is lacking still, and so is taken up again by the next run; what it brought is kept.
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import duckdb

from orchestration.collecting import Ask
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.hypertracker.endpoint import Dataset, Paging
from orchestration.modelling import raise_for_failures
from orchestration.pipeline import Outcome, Pipeline, Progress
from orchestration.planning.errands import Errand, Filling, Lack, errands_for, urgent_first, within
from orchestration.planning.slots import slot_at, slots_between
from orchestration.sole import sole
from warehouse.connection import open_reader
from warehouse.ledger import naive, newest_row_counts

HEALS_BACK = timedelta(days=31)
# Of older slots the mart tells: nothing but healing changes them, and that builds it anew.
ASKED_ANEW = timedelta(days=2)
BATCH_REQUESTS = 60
PUBLISH_EVERY_S = 600.0
LACKING = """
    select dataset, scope, slot, recoverable_until, cost_to_fix, attempts, known_at
    from {coverage}
    where is_missing and slot >= $since and slot < $until
        and (recoverable_until > $now or (recoverable_until is null and slot > $now::timestamp - interval 1 day))
"""
ANEW, MART = "ops.slot_coverage($since::timestamp, $until::timestamp)", "marts.fct_slot_coverage"
HAS_MART = "select count(*) > 0 from duckdb_tables() where schema_name = 'marts' and table_name = 'fct_slot_coverage'"
ARRIVED = "select scope, slot from ops.slot_coverage(?, ?) where dataset = ? and has_arrived"


@dataclass(frozen=True)
class Wanted:
    """Slots of one dataset that somebody wants filled: a half-open window (UTC), for scopes."""

    dataset: Dataset
    scopes: tuple[str, ...]
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Survey:
    """What a wish comes to, in (scope, slot)s: wanted, there already, lost because the provider serves the present only, older
    than its floor; and the errands for the rest."""

    wanted: int
    arrived: int
    lost: int
    below_floor: int
    errands: tuple[Errand, ...]

    @property
    def cost(self) -> int:
        """Requests, as far as pages can be told beforehand."""
        return sum(errand.cost for errand in self.errands)


def healing(pipeline: Pipeline) -> list[Errand]:
    """Errands for everything of the last month that was due, did not arrive and can still be had, what is lost first first."""
    now = pipeline.clock.now()
    if not pipeline.settings.warehouse_file.exists():
        return []
    pipeline.load()
    with open_reader(pipeline.settings.warehouse_file) as connection:
        rows = _lacking_rows(connection, now)
        counts = newest_row_counts(connection)
    wanted = {dataset.name for dataset in pipeline.settings.wanted_datasets()}
    lacks, paused = filter(None, (_lack(row, counts, now) for row in rows if row[0] in wanted)), pipeline.paused()
    open_lacks = [lack for lack in lacks if (_source_of(lack, now).name, lack.scope) not in paused]
    return errands_of([lack for lack in open_lacks if lack.is_worth_trying(now)], now)


def sole_healing(pipeline: Pipeline) -> contextlib.AbstractContextManager[bool]:
    """Whether nobody else heals this folder now; two would ask for the same slots. To be held from before `healing`."""
    return sole(pipeline.settings.data_dir / "healing.lock")


def survey(pipeline: Pipeline, wanted: Wanted) -> Survey:
    """What filling a wish takes. Reads the ledger only."""
    now, dataset = pipeline.clock.now(), wanted.dataset
    slots = list(slots_between(dataset.cadence, wanted.start, min(wanted.end, now)))
    arrived, counts = _known(pipeline, wanted)
    open_slots = [(scope, slot) for slot in slots for scope in wanted.scopes if (scope, slot) not in arrived]
    until = {slot: recoverable(dataset, slot, now) for slot in slots}
    lacks = [
        Lack(dataset.name, scope, slot, at, cost_of(dataset, scope, slot, now, counts))
        for scope, slot in open_slots
        if (at := until[slot]) is not None
    ]
    gone, total = len(open_slots) - len(lacks), len(slots) * len(wanted.scopes)
    lost, below = (0, gone) if dataset.past or dataset.reaches_back else (gone, 0)
    return Survey(total, total - len(open_slots), lost, below, tuple(errands_of(lacks, now)))


def arrived_scopes(pipeline: Pipeline, wanted: Wanted) -> Collection[tuple[str, datetime]]:
    """The (scope, slot)s of a wish that are there."""
    return _known(pipeline, wanted)[0]


def affordable_now(pipeline: Pipeline, errands: Sequence[Errand], most: int | None = None) -> list[Errand]:
    """The errands, from the first on, that what live polls leave of today's quota pays for; at most so many requests."""
    left = pipeline.left_for_backfill()
    bounds = [bound for bound in (left, most) if bound is not None]
    return within(errands, min(bounds)) if bounds else list(errands)


def run_errands(
    pipeline: Pipeline, errands: Sequence[Errand], on_record: Progress | None = None, publish: bool = True
) -> Iterator[list[Outcome]]:
    """Run errands in their order, a batch at a time, and give each batch's outcomes. Ends early where the budget does.

    Models are built and published every ten minutes and at the end. Raises `BuildError` when they cannot be.
    """
    built_at, is_built = time.monotonic(), True
    for batch in batches_of(errands):
        asks = [Ask.of(BY_NAME[errand.dataset], scope, errand.slot) for errand in batch for scope in errand.scopes]
        outcomes = pipeline.ask(asks, on_record)
        is_built = is_built and not outcomes
        yield outcomes
        if publish and not is_built and time.monotonic() - built_at > PUBLISH_EVERY_S:
            _build_and_publish(pipeline)
            built_at, is_built = time.monotonic(), True
        if not outcomes or pipeline.left_for_backfill() == 0:
            break
    if publish and not is_built:
        _build_and_publish(pipeline)


def recoverable(dataset: Dataset, slot: datetime, now: datetime) -> datetime | None:
    """Until when a slot can be asked for; None where it cannot be, or not any more."""
    until = dataset.recoverable_until(slot)
    if until is None and slot == slot_at(dataset.cadence, now):
        return slot + dataset.cadence.step
    return until if until is not None and until > now else None


def cost_of(dataset: Dataset, scope: str, slot: datetime, now: datetime, row_counts: dict[tuple[str, str], int]) -> int:
    """Requests that a slot of a scope is reckoned to cost: its pages, where the newest payload tells how many there are."""
    source = dataset.past_source(slot, now) or dataset
    rows = row_counts.get((dataset.name, scope), 0) if dataset.shape is None and source.paging is Paging.CURSOR else 0
    return max(source.requests_a_poll, -(-rows // source.page_limit))


def _source_of(lack: Lack, now: datetime) -> Dataset:
    """Who is asked for what is lacking."""
    dataset = BY_NAME[lack.dataset]
    is_over = now >= lack.slot + dataset.cadence.step
    return (dataset.past_source(lack.slot, now) if is_over else None) or dataset


def filling_of(dataset: Dataset, slot: datetime, now: datetime) -> Filling:
    """How a slot of a dataset that is over is asked for."""
    step, present = dataset.cadence.step, slot_at(dataset.cadence, now)
    if source := dataset.past_source(slot, now):
        return Filling(step, is_shared=not source.scoped_by)
    if dataset.is_current_state:
        return Filling(step, dataset.window or timedelta(), at=present)
    return Filling(step, dataset.lookback, at=None if dataset.lookback else present)


def errands_of(lacks: Iterable[Lack], now: datetime) -> list[Errand]:
    """The errands that fill what is lacking, of whatever datasets, what is lost first first."""
    alike: dict[tuple[str, Filling], list[Lack]] = defaultdict(list)
    for lack in lacks:
        alike[lack.dataset, filling_of(BY_NAME[lack.dataset], lack.slot, now)].append(lack)
    return urgent_first(errand for (_, filling), found in alike.items() for errand in errands_for(found, filling))


def _lacking_rows(connection: duckdb.DuckDBPyConnection, now: datetime) -> list[tuple[object, ...]]:
    row = connection.execute(HAS_MART).fetchone()
    windows = [(ANEW, now - ASKED_ANEW, now), (MART, now - HEALS_BACK, now - ASKED_ANEW)]
    if not (row and row[0]):
        windows = [(ANEW, now - HEALS_BACK, now)]
    values = [({"now": naive(now), "since": naive(since), "until": naive(until)}, table) for table, since, until in windows]
    return [found for given, table in values for found in connection.execute(LACKING.format(coverage=table), given).fetchall()]


def _lack(row: tuple[object, ...], counts: dict[tuple[str, str], int], now: datetime) -> Lack | None:
    """None for what is lost. A slot that is in force still can be had, whatever it is of."""
    name, scope, slot, until, cost, attempts, tried_at = row
    assert isinstance(slot, datetime)
    dataset, due = BY_NAME[str(name)], slot.replace(tzinfo=UTC)
    expires_at = until.replace(tzinfo=UTC) if isinstance(until, datetime) else recoverable(dataset, due, now)
    if expires_at is None:
        return None
    pages = cost_of(dataset, str(scope), due, now, counts)
    tried = tried_at.replace(tzinfo=UTC) if isinstance(tried_at, datetime) else None
    return Lack(dataset.name, str(scope), due, expires_at, max(int(str(cost or 1)), pages), int(str(attempts)), tried)


def _known(pipeline: Pipeline, wanted: Wanted) -> tuple[Collection[tuple[str, datetime]], dict[tuple[str, str], int]]:
    if not pipeline.settings.warehouse_file.exists():
        return set(), {}
    pipeline.load()
    with open_reader(pipeline.settings.warehouse_file) as connection:
        return _arrived(connection, wanted), newest_row_counts(connection)


def _arrived(connection: duckdb.DuckDBPyConnection, wanted: Wanted) -> set[tuple[str, datetime]]:
    rows = connection.execute(ARRIVED, [naive(wanted.start), naive(wanted.end), wanted.dataset.name]).fetchall()
    scopes = set(wanted.scopes)
    return {(scope, slot.replace(tzinfo=UTC)) for scope, slot in rows if scope in scopes}


def batches_of(errands: Sequence[Errand]) -> Iterator[list[Errand]]:
    """Errands in their order, as many at once as are asked between two looks at the budget."""
    batch: list[Errand] = []
    for errand in errands:
        batch.append(errand)
        if sum(held.cost for held in batch) >= BATCH_REQUESTS:
            yield batch
            batch = []
    if batch:
        yield batch


def _build_and_publish(pipeline: Pipeline) -> None:
    raise_for_failures(pipeline.build())
    pipeline.publish()
