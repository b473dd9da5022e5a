"""One ledger of requests for every process of a data folder: debited before a request is sent, corrected by the server.

Belongs here: who may send now, who waits until when, who may not, and why. Does not: the file (`budget_file`), its entries
(`budget_entries`) and who waits (`budget_lines`), calendar arithmetic (`planning.windows`), what the server's words mean
(`hypertracker.answers`).

Home-made, because no library of rate limits has priorities, calendar quotas and corrections by the server together.

The minute is a sliding window that holds however the server counts: a request has a place from its debit until 60 s after its
answer began, and the server received it in between. Where it is full, the most urgent go first, and of those what ends first:
a request has a place if more are free than requests ranked before it wait. Days and months are calendar ones in UTC, because
the moment at which the vendor's counters start anew is not documented.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from orchestration.budget_entries import (
    A_SECOND,
    LONGEST_QUIET,
    book,
    enough_places_at,
    keep_quiet,
    keep_said,
    microseconds,
    moment_of,
    note_answer,
    occupied,
    quiet_until,
    refund,
    said_of,
    shorten_places,
    spent_since,
)
from orchestration.budget_file import BudgetFile
from orchestration.budget_lines import LONGEST_NAP, ahead, stand
from orchestration.clock import Clock
from orchestration.hypertracker.errors import QuotaHeldError, QuotaSpentError, SlotOverError
from orchestration.planning.plans import Plan
from orchestration.planning.urgency import Claim, Demand, Urgency
from orchestration.planning.windows import Unit, Window, day_at, enough_from, held_back, window_at

JITTER_S = 0.05
UNITS: tuple[Unit, ...] = ("day", "month")


@dataclass(frozen=True)
class Granted:
    """It may be sent, once."""

    ticket: int


@dataclass(frozen=True)
class Later:
    """The minute is full, or the server wants quiet: not before `moment` (UTC)."""

    moment: datetime


@dataclass(frozen=True)
class Refused:
    """The day or the month says no until a moment (UTC). `is_held`: only to requests as little urgent as this one."""

    unit: Unit
    until: datetime
    reason: str
    is_held: bool = False


Grant = Granted | Later | Refused


@dataclass(frozen=True)
class Left:
    """Requests left for the most urgent, None without such a limit; `reason` says why it is closed, if it is."""

    today: int | None
    this_month: int | None
    this_minute: int | None
    closed_until: datetime | None = None
    reason: str = ""


class Budget:
    """The turns of all clients of a data folder; cheap to make, safe to use from several threads and event loops."""

    def __init__(self, file: Path, plan: Plan, clock: Clock, demand: Demand | None = None) -> None:
        self._file = BudgetFile(file)
        self._plan, self._clock, self._demand = plan, clock, demand or Demand()
        self._owner, self._waiting = uuid4().hex, Counter[Claim]()

    async def take(self, claim: Claim, behind: int = 0) -> int:
        """Wait for a turn in the minute, ahead of claims ranked behind this one; `behind` more requests of it follow.

        Raises `QuotaSpentError` where the day, the month or the server says no, `SlotOverError` where the claim ends first.
        """
        grant = self._file.write(lambda db: self._queue(db, claim, 1, behind))
        try:
            while isinstance(grant, Later):
                await self._nap(grant.moment, claim)
                grant = self._file.write(lambda db: self._queue(db, claim, 0, behind))
        except BaseException:
            self._file.write(lambda db: self._stand(db, claim, -1, 0))
            raise
        if isinstance(grant, Granted):
            return grant.ticket
        kind = QuotaHeldError if grant.is_held else QuotaSpentError
        raise kind(f"{grant.reason}; asked again from {grant.until:%Y-%m-%d %H:%M:%S} UTC", grant.unit, until=grant.until)

    def grant(self, urgency: Urgency, count: int = 1, ends_at: datetime | None = None) -> Grant:
        """Debit so many requests at once if they may be sent now. Raises `ValueError` for more than a minute ever allows."""
        if count < 1 or (self._plan.per_minute and count > self._most_places(urgency)):
            raise ValueError(f"{count} requests at once are not possible with plan {self._plan.name}")
        return self._file.write(lambda db: self._grant(db, Claim(urgency, ends_at), count))

    def answered(self, ticket: int) -> None:
        """The answer to a request began: its place is free a minute from now. Only the first call for a ticket counts."""
        self._file.write(lambda db: note_answer(db, self._clock.now(), ticket))

    def refund(self, ticket: int) -> None:
        """A request never reached the server. May be called twice."""
        self._file.write(lambda db: refund(db, ticket))

    def rate_limited(self, wait_s: float) -> None:
        """The server wants nobody to ask for so many seconds."""
        wait = min(timedelta(seconds=wait_s), LONGEST_QUIET)
        self._file.write(lambda db: keep_quiet(db, self._clock.now() + wait))

    def spent(self, error: QuotaSpentError) -> None:
        """The server says that a quota is spent: nobody asks until it says, else until the next UTC midnight.

        That holds for a month too: as nobody knows when it starts anew, the first request of each day finds out. Figures that
        are worse than ours hold for the rest of that day; those of a month only until it is asked again.
        """
        self._file.write(lambda db: self._close(db, error))

    def left(self) -> Left:
        """What the most urgent requests may still spend. Makes no file."""
        return self._file.read(self._left)

    def spendable(self, urgency: Urgency) -> int | None:
        """How many requests of this urgency the day and the month still allow; None without a limit, 0 while it is closed."""
        return self._file.read(lambda db: self._spendable(db, urgency))

    def spent_in(self, day: date) -> dict[Urgency, int]:
        """Requests of a UTC day by urgency, of the last two months."""
        rows = self._file.read(lambda db: db.execute("select urgency, requests from days where day = ?", (f"{day}",)).fetchall())
        return {Urgency(urgency): requests for urgency, requests in rows if requests}

    async def _nap(self, moment: datetime, claim: Claim) -> None:
        """Wait, but never long without looking again: the clock may be set, a place given back. The more urgent wake first."""
        jitter = timedelta(seconds=JITTER_S * (claim.urgency + random.random()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_NAP.total_seconds()):
                await self._clock.wait_until(min(moment + jitter, self._clock.now() + LONGEST_NAP))
        if claim.ends_at is not None and claim.ends_at <= self._clock.now():
            raise SlotOverError(f"not sent before its slot ended at {claim.ends_at:%Y-%m-%d %H:%M:%S}: the minute was full")

    def _queue(self, db: sqlite3.Connection, claim: Claim, joining: int, behind: int) -> Grant:
        """A grant, and the place in the line that goes with it: kept by who has to wait, left by who has not."""
        grant = self._grant(db, claim, 1)
        change = joining if isinstance(grant, Later) else joining - 1
        self._stand(db, claim, change, 0 if isinstance(grant, Refused) else behind)
        return grant

    def _stand(self, db: sqlite3.Connection, claim: Claim, change: int, behind: int) -> None:
        """So many more wait with this claim, and so many follow them."""
        self._waiting[claim] += change
        stand(db, self._clock.now(), self._owner, claim, self._waiting[claim] + behind)

    def _grant(self, db: sqlite3.Connection, claim: Claim, count: int) -> Grant:
        now = self._clock.now()
        if refusal := self._closed(db, now) or self._over_quota(db, now, claim.urgency, count):
            return refusal
        if moment := max(filter(None, (quiet_until(db, now), self._full_until(db, now, claim, count))), default=None):
            return Later(moment)
        return Granted(book(db, now, claim.urgency, count))

    def _closed(self, db: sqlite3.Connection, now: datetime) -> Refused | None:
        """What the server said; it holds for every urgency."""
        row = db.execute(
            'select unit, closed_until, "limit", current from said where closed_until > ? order by closed_until desc',
            (microseconds(now),),
        ).fetchone()
        if row is None:
            return None
        unit, until, limit, current = row
        figures = f" ({current:,} of {limit:,} requests)" if limit is not None and current is not None else ""
        return Refused(unit, moment_of(until), f"the provider says that the quota of the {unit} is spent{figures}")

    def _over_quota(self, db: sqlite3.Connection, now: datetime, urgency: Urgency, count: int) -> Refused | None:
        """The refusal that lasts longest, of the day's and the month's."""
        checks = (self._over_limit(db, window_at(unit, now), now, urgency, count) for unit in UNITS)
        return max(filter(None, checks), key=lambda refusal: (not refusal.is_held, refusal.until), default=None)

    def _over_limit(self, db: sqlite3.Connection, window: Window, now: datetime, urgency: Urgency, count: int) -> Refused | None:
        limit, spent = self._figures(db, window, now)
        if limit is None:
            return None
        words = f"{spent:,} of the {limit:,} requests of this UTC {window.unit} are spent"
        if (left := limit - spent - count) < 0:
            return Refused(window.unit, window.end, words)
        a_day = self._demand.before(urgency)
        if (held := held_back(a_day, window, now)) <= left:
            return None
        until = min(enough_from(left, a_day, window), window.end)
        return Refused(window.unit, until, f"{words}, and {held:,} are kept for more urgent ones", is_held=True)

    def _figures(self, db: sqlite3.Connection, window: Window, now: datetime) -> tuple[int | None, int]:
        """The limit of a window, None where there is none, and what is spent of it, by us and by what the server said."""
        limit = self._own_limit(window.unit)
        said_limit, elsewhere = said_of(db, window, now)
        limits = [figure for figure in (limit, said_limit) if figure is not None]
        return min(limits, default=None), spent_since(db, window) + elsewhere

    def _spendable(self, db: sqlite3.Connection, urgency: Urgency) -> int | None:
        now, a_day = self._clock.now(), self._demand.before(urgency)
        if self._closed(db, now):
            return 0
        windows = (window_at(unit, now) for unit in UNITS)
        rests = ((_rest(*self._figures(db, window, now)), held_back(a_day, window, now)) for window in windows)
        return min((max(0, rest - held) for rest, held in rests if rest is not None), default=None)

    def _own_limit(self, unit: Unit) -> int | None:
        if unit == "month":
            return self._plan.per_month or None
        return None if self._plan.per_month else self._plan.per_day

    def _most_places(self, urgency: Urgency) -> int:
        """Backfill has half of the minute, so that live polls always find places."""
        return max(1, self._plan.per_minute // 2) if urgency is Urgency.BACKFILL else self._plan.per_minute

    def _full_until(self, db: sqlite3.Connection, now: datetime, claim: Claim, count: int) -> datetime | None:
        """When enough places may be free, None if they are now; a late answer, or others in the line, make it later."""
        if not self._plan.per_minute:
            return None
        shorten_places(db, now)
        limits = [(self._plan.per_minute, Urgency.PERISHABLE), (self._most_places(claim.urgency), claim.urgency)]
        waits = (enough_places_at(db, now, most - count, least) for most, least in limits)
        if moment := max(filter(None, waits), default=None):
            return moment
        is_next = occupied(db, now) + ahead(db, now, claim) + count <= self._plan.per_minute
        return None if is_next else now + A_SECOND

    def _close(self, db: sqlite3.Connection, error: QuotaSpentError) -> None:
        now = self._clock.now()
        window, midnight = window_at(error.unit, now), day_at(now).end
        until = error.until if error.until is not None and error.until > now else midnight
        limit, elsewhere = said_of(db, window, now)
        limit = min((figure for figure in (limit, error.limit) if figure is not None), default=None)
        elsewhere = max(elsewhere, (error.current or 0) - spent_since(db, window))
        keep_said(db, window, until, (limit, error.current, elsewhere))

    def _left(self, db: sqlite3.Connection) -> Left:
        now = self._clock.now()
        today, this_month = (_rest(*self._figures(db, window_at(unit, now), now)) for unit in UNITS)
        minute = _rest(self._plan.per_minute or None, occupied(db, now))
        refusal = self._closed(db, now) or self._over_quota(db, now, Urgency.PERISHABLE, 1)
        return Left(today, this_month, minute, *((refusal.until, refusal.reason) if refusal else ()))


def _rest(limit: int | None, spent: int) -> int | None:
    return None if limit is None else max(0, limit - spent)
