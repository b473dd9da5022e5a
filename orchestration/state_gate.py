"""The state gate: when the provider's next state is worth a poll.

Belongs here: whether a slot waits for a state, and whether that is published by now. Does not: sparing the polls of a state that
is there already (`collecting`), starting the run (`sensors`). Looks at the ledger and at the newest reading of the state; asks
the provider nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from orchestration.hypertracker.shapes import ShapeError, instant
from orchestration.pipeline import Pipeline
from orchestration.planning.slots import Cadence, slot_at
from warehouse.connection import WarehouseError, open_reader
from warehouse.ledger import naive
from warehouse.vault import VaultError

PUBLISHED_AFTER = timedelta(seconds=20)
FIRST_PAUSE = timedelta(minutes=1)
LEFT_FOR_THE_SWEEP = timedelta(minutes=1)
READER_WAIT_S = 5.0
SPARED = """
    select max(times), max(last_at) from (
        select scope, count(*) filter (where verdict = 'unchanged' and requests_spent = 0) as times, max(finished_at) as last_at,
            bool_or(verdict = 'loaded') as is_loaded
        from ops.fetches where slot = ? and list_contains(?, dataset) group by dataset, scope
    ) where not is_loaded and times > 0
"""


@dataclass(frozen=True)
class Awaited:
    """A slot whose state was there already, and the next state has been published since. `key` tells one try from another."""

    slot: datetime
    key: str


def awaited(pipeline: Pipeline, cadence: Cadence, datasets: Sequence[str]) -> Awaited | str:
    """The slot in force, where it is worth another poll; else why not.

    Not before the time that the provider named for its next state; where it is late, after pauses that double.
    """
    now = pipeline.clock.now()
    slot = slot_at(cadence, now)
    if now > slot + cadence.step - LEFT_FOR_THE_SWEEP:
        return "the slot is about to end"
    spared = _spared(pipeline, slot, datasets)
    if spared is None:
        return "nothing waits for a state"
    expected, again_at = _next_state(pipeline), spared.last_at + FIRST_PAUSE * 2 ** (spared.times - 1)
    if expected is not None and now < expected + PUBLISHED_AFTER:
        return f"the next state is expected at {expected:%H:%M:%S}"
    if now < again_at:
        return f"the provider is late; looking again at {again_at:%H:%M:%S}"
    return Awaited(slot, f"{slot.isoformat()} {spared.times}")


@dataclass(frozen=True)
class _Spared:
    """How often polls of a slot were spared for want of a new state, and when last (UTC)."""

    times: int
    last_at: datetime


def _spared(pipeline: Pipeline, slot: datetime, datasets: Sequence[str]) -> _Spared | None:
    """None where nothing was spared, or something came of it since."""
    if not pipeline.settings.warehouse_file.exists():
        return None
    try:
        with open_reader(pipeline.settings.warehouse_file, READER_WAIT_S) as connection:
            row = connection.execute(SPARED, [naive(slot), list(datasets)]).fetchone()
    except WarehouseError:
        return None
    return _Spared(int(row[0]), row[1].replace(tzinfo=UTC)) if row and row[0] else None


def _next_state(pipeline: Pipeline) -> datetime | None:
    """When the provider said that its next state would come."""
    record = pipeline.vault.latest("state_status")
    if record is None:
        return None
    try:
        value = json.loads(pipeline.vault.read(record.parts[0]))
        return instant(value.get("nextUpdate") if isinstance(value, dict) else None, "nextUpdate").astimezone(UTC)
    except (ShapeError, ValueError, VaultError):
        return None
