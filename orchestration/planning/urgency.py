"""How urgent a request is: who goes first where the quota does not suffice for all, and what is kept for whom.

Belongs here: the order, claims and demand as values. Does not: which ask is how urgent (`collecting`), the spending (`budget`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum


class Urgency(IntEnum):
    """The lower, the sooner it is served."""

    PERISHABLE = 0
    """For a slot that is gone for ever if it is not asked for now."""
    FRESHNESS = 1
    """Of a live poll that can be had later too."""
    BACKFILL = 2
    """Of healing and backfill."""


@dataclass(frozen=True)
class Claim:
    """What a request may say for being sent before others: its urgency, then the end of its slot (UTC), None where that is over
    or there is none."""

    urgency: Urgency = Urgency.PERISHABLE
    ends_at: datetime | None = None


FIRST = Claim()


@dataclass(frozen=True)
class Demand:
    """Requests a day that the plan means to send, by urgency; what is less urgent leaves them untouched."""

    perishable_a_day: int = 0
    freshness_a_day: int = 0

    def before(self, urgency: Urgency) -> int:
        """Requests a day that are more urgent than this."""
        return sum((self.perishable_a_day, self.freshness_a_day)[: int(urgency)])
