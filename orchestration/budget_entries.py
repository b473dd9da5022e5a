"""What is written into the budget's file and read from it, entry by entry.

Belongs here: SQL over one connection within a transaction. Does not: the tables and transactions (`budget_file`), what follows
from the entries (`budget`).

A clock that is set back frees nothing and raises nothing: places are held longer, and requests of days to come count for today.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta

from orchestration.planning.urgency import Urgency
from orchestration.planning.windows import Window

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
A_SECOND = timedelta(seconds=1)
# A little more than a minute: two clocks do not run equally fast.
MINUTE = timedelta(seconds=60.1)
# Longer than a request can be on its way (connecting 10 s, sending 30 s), and then a minute.
UNANSWERED = timedelta(seconds=60) + MINUTE
LONGEST_QUIET = timedelta(minutes=2)
PLACES_KEPT = timedelta(minutes=5)
DAYS_KEPT = 62


def book(db: sqlite3.Connection, now: datetime, urgency: Urgency, count: int) -> int:
    """Write the request down, and forget what nobody asks for any more."""
    day, expiry = f"{now:%Y-%m-%d}", microseconds(now + UNANSWERED)
    db.execute("delete from places where free_at < ?", (microseconds(now - PLACES_KEPT),))
    # By their number, because a clock that was set forward and back must not lose the days between.
    db.execute("delete from days where day < (select distinct day from days order by day desc limit 1 offset ?)", (DAYS_KEPT,))
    db.execute(
        "insert into days values (?, ?, ?) on conflict do update set requests = requests + excluded.requests",
        (day, int(urgency), count),
    )
    values = (day, int(urgency), count, microseconds(now), expiry)
    text = "insert into places (day, urgency, requests, debited_at, free_at) values (?, ?, ?, ?, ?)"
    return db.execute(text, values).lastrowid or 0


def refund(db: sqlite3.Connection, ticket: int) -> None:
    row = db.execute("delete from places where ticket = ? returning requests, day, urgency", (ticket,)).fetchone()
    if row is not None:
        db.execute("update days set requests = requests - ? where day = ? and urgency = ?", row)


def note_answer(db: sqlite3.Connection, now: datetime, ticket: int) -> None:
    """Its place is free a minute from now; only the first call for a ticket counts."""
    text = "update places set free_at = ?, is_answered = 1 where ticket = ? and not is_answered"
    db.execute(text, (microseconds(now + MINUTE), ticket))


def spent_since(db: sqlite3.Connection, window: Window) -> int:
    """Requests of a window. Those of later days, which a clock that was set back has left, can only have been of this one."""
    row = db.execute("select coalesce(sum(requests), 0) from days where day >= ?", (f"{window.start:%Y-%m-%d}",)).fetchone()
    return int(row[0])


def said_of(db: sqlite3.Connection, window: Window, now: datetime) -> tuple[int | None, int]:
    """The limit that the server named for a window, and the requests that it counted beyond ours."""
    is_in_force = "window_start >= :start" if window.unit == "day" else "closed_until > :now"
    row = db.execute(
        f'select "limit", elsewhere from said where unit = :unit and {is_in_force}',
        {"unit": window.unit, "start": microseconds(window.start), "now": microseconds(now)},
    ).fetchone()
    return row or (None, 0)


def keep_said(db: sqlite3.Connection, window: Window, until: datetime, figures: tuple[int | None, int | None, int]) -> None:
    """Limit, count, and the requests counted beyond ours; a closing is not made shorter by a later one."""
    before = db.execute("select closed_until from said where unit = ?", (window.unit,)).fetchone()
    closed_until = max(microseconds(until), before[0] if before else 0)
    row = (window.unit, microseconds(window.start), closed_until, *figures)
    db.execute("insert or replace into said values (?, ?, ?, ?, ?, ?)", row)


def keep_quiet(db: sqlite3.Connection, until: datetime) -> None:
    text = "insert into quiet values (1, ?) on conflict do update set until = max(until, excluded.until)"
    db.execute(text, (microseconds(until),))


def quiet_until(db: sqlite3.Connection, now: datetime) -> datetime | None:
    """A clock that was set back does not make the quiet longer than it can have been."""
    row = db.execute(
        "select min(until, ?) from quiet where until > ?", (microseconds(now + LONGEST_QUIET), microseconds(now))
    ).fetchone()
    return moment_of(row[0]) if row else None


def shorten_places(db: sqlite3.Connection, now: datetime) -> None:
    """After a clock was set back, places are held for as long as any can be, counted from now."""
    latest = microseconds(now + UNANSWERED)
    text = "update places set free_at = ?, debited_at = min(debited_at, ?) where free_at > ?"
    db.execute(text, (latest, microseconds(now), latest))


def occupied(db: sqlite3.Connection, now: datetime, least: Urgency = Urgency.PERISHABLE) -> int:
    text = "select coalesce(sum(requests), 0) from places where free_at > ? and urgency >= ?"
    return int(db.execute(text, (microseconds(now), int(least))).fetchone()[0])


def enough_places_at(db: sqlite3.Connection, now: datetime, most: int, least: Urgency) -> datetime | None:
    """When places of this urgency and less urgent ones may have come down to `most`; None if they have."""
    surplus = occupied(db, now, least) - most
    if surplus <= 0:
        return None
    text = "select free_at, is_answered, debited_at, requests from places where free_at > ? and urgency >= ?"
    soon = microseconds(now + A_SECOND)
    ends = [
        (free_at if is_answered else max(soon, debited_at + MINUTE // MICROSECOND), requests)
        for free_at, is_answered, debited_at, requests in db.execute(text, (microseconds(now), int(least)))
    ]
    for end, requests in sorted(ends):
        surplus -= requests
        if surplus <= 0:
            return moment_of(end)
    raise AssertionError("more places are asked for than there are")


def microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def moment_of(microseconds_since_1970: int) -> datetime:
    return EPOCH + microseconds_since_1970 * MICROSECOND
