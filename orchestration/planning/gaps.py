"""What should have arrived and did not: the slot grid held against the ledger. Pure functions over values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from orchestration.planning.slots import Cadence, slots_between

ARRIVED = frozenset({"loaded", "unchanged", "empty"})
NEVER_ASKED = "missed"
NOT_THERE = "absent"
NEVER_ASKED_REASON = "nothing asked for it: the schedules were not running"


@dataclass(frozen=True)
class SlotVerdict:
    """How one (scope, slot) of a dataset ended, as the ledger has it."""

    verdict: str
    reason: str = ""
    mend: str = ""


@dataclass(frozen=True)
class Gap:
    """Consecutive slots of one dataset and one scope that did not arrive, for one and the same reason.

    `first` and `last` are slots, both included (UTC). `recoverable_until` is None where the provider serves the present only.
    """

    dataset: str
    scope: str
    first: datetime
    last: datetime
    slot_count: int
    verdict: str
    reason: str
    mend: str
    recoverable_until: datetime | None


def best_verdict(verdicts: Sequence[SlotVerdict]) -> SlotVerdict:
    """Of several fetches of a slot the one that counts: an arrival if there is one, else the last."""
    return next((verdict for verdict in reversed(verdicts) if verdict.verdict in ARRIVED), verdicts[-1])


def find_gaps(
    dataset: str,
    cadence: Cadence,
    scopes: Collection[str],
    window: tuple[datetime, datetime],
    verdicts: Mapping[tuple[str, datetime], SlotVerdict],
    recoverable_until: Callable[[datetime], datetime | None] = lambda _: None,
) -> list[Gap]:
    """Every gap of a dataset in the half-open window, oldest first; slots without a verdict were never asked for.

    `recoverable_until` says how long after a slot a later request still brings it; None where nothing does.
    """
    never = SlotVerdict(NEVER_ASKED, NEVER_ASKED_REASON, "keep `make up` running")
    gaps: list[Gap] = []
    for scope in scopes:
        current: Gap | None = None
        for slot in slots_between(cadence, *window):
            found = verdicts.get((scope, slot), never)
            if found.verdict in ARRIVED:
                current = None
                continue
            until = None if found.verdict == NOT_THERE else recoverable_until(slot)
            if current and (current.verdict, current.reason) == (found.verdict, found.reason):
                gaps.remove(current)
                current = _extended(current, slot)
            else:
                current = Gap(dataset, scope, slot, slot, 1, found.verdict, found.reason, found.mend, until)
            gaps.append(current)
    return sorted(gaps, key=lambda gap: (gap.first, gap.scope))


def _extended(gap: Gap, slot: datetime) -> Gap:
    return replace(gap, last=slot, slot_count=gap.slot_count + 1)
