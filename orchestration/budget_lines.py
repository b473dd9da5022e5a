"""Who waits for the minute, of all processes: a request that has to wait says so, and those ranked behind it leave it a place.

Belongs here: SQL over one connection within a transaction. Does not: the table (`budget_file`), what a claim is
(`planning.urgency`), who is granted a place (`budget`).

A line is what one budget object waits for with one claim. One that was not seen for longer than anybody naps is of a process that
was killed, or that is busy with what it was granted; it holds up nobody.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

from orchestration.budget_entries import microseconds
from orchestration.planning.urgency import Claim

LONGEST_NAP = timedelta(seconds=10)
SEEN_WITHIN = LONGEST_NAP + timedelta(seconds=5)
# Later than any slot ends: what has no end goes last.
NEVER = 2**62


def stand(db: sqlite3.Connection, now: datetime, owner: str, claim: Claim, requests: int) -> None:
    """So many requests of this claim wait now; none leaves the line."""
    if requests <= 0:
        db.execute("delete from waiting where owner = ? and urgency = ? and ends_at = ?", (owner, *_rank(claim)))
        return
    row = (owner, *_rank(claim), requests, microseconds(now))
    db.execute("insert or replace into waiting values (?, ?, ?, ?, ?)", row)


def ahead(db: sqlite3.Connection, now: datetime, claim: Claim) -> int:
    """Requests waiting that are ranked before this claim; those of equal rank are not."""
    _forget_unseen(db, now)
    text = "select coalesce(sum(requests), 0) from waiting where (urgency, ends_at) < (?, ?)"
    return int(db.execute(text, _rank(claim)).fetchone()[0])


def _forget_unseen(db: sqlite3.Connection, now: datetime) -> None:
    """Those seen in time to come were seen before the clock was set back."""
    bounds = (microseconds(now - SEEN_WITHIN), microseconds(now + SEEN_WITHIN))
    db.execute("delete from waiting where seen_at < ? or seen_at > ?", bounds)


def _rank(claim: Claim) -> tuple[int, int]:
    return int(claim.urgency), NEVER if claim.ends_at is None else microseconds(claim.ends_at)
