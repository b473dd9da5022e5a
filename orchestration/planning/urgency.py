"""How urgent a request is: who goes first where the quota does not suffice for all."""

from __future__ import annotations

from enum import IntEnum


class Urgency(IntEnum):
    """The lower, the sooner it is served."""

    PERISHABLE = 0
    """For a slot that is gone for ever if it is not asked for now."""
    FRESHNESS = 1
    """Of a live poll that can be had later too."""
    BACKFILL = 2
    """Of healing and backfill."""
