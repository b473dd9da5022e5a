"""Times as people write them, in UTC.

Belongs here: reading a time or a day that somebody typed. Does not: slots, which lie on a grid (`orchestration.planning.slots`).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from warehouse.connection import WarehouseError

Instant = datetime | date | str


class InstantError(WarehouseError):
    """What was given is no time."""


def utc(moment: Instant) -> datetime:
    """The instant, with its zone: UTC where none is said, midnight where only a day is. Raises `InstantError`."""
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment.strip())
        except ValueError:
            raise InstantError(f"{moment!r} is no time", "write 2026-03-24 or 2026-03-24T10:15Z") from None
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def naive_utc(moment: Instant | None) -> datetime | None:
    """The same as the tables have it, in UTC without a zone; None for none."""
    return None if moment is None else utc(moment).replace(tzinfo=None)


def utc_day(moment: Instant) -> date:
    """The day, for what goes by whole days. Raises `InstantError` for a time within one."""
    found = utc(moment)
    if found.time() != time():
        raise InstantError(f"{moment!r} is no whole day", "write a day such as 2026-03-24")
    return found.date()
