"""Stretches of time: which are asked for, and how finely.

Belongs here: the span of a page and its grain. Does not: what is read in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pandas as pd

# More cannot be told apart on a screen, and each is sent to the browser.
POINTS = 700
STEPS = tuple(timedelta(minutes=minutes) for minutes in (5, 15, 30, 60, 120, 240, 360, 720, 1440, 2880, 10080))
# Every series is kept to the last reading of a step, whole as it was read.
LAST_OF_STEP = "qualify row_number() over (partition by {keys}time_bucket($step, snapshot_at) order by snapshot_at desc) = 1"
NEWEST = """
select greatest(
    (select max(snapshot_at) from fct_market_metrics), (select max(snapshot_at) from fct_coin_metrics),
    (select max(snapshot_at) from fct_cohort_metrics), (select max(slot) from fct_slot_coverage)) as newest_at,
least(
    (select min(snapshot_at) from fct_market_metrics), (select min(snapshot_at) from fct_coin_metrics),
    (select min(snapshot_at) from fct_cohort_metrics), (select min(slot) from fct_slot_coverage)) as oldest_at
"""


@dataclass(frozen=True)
class Span:
    """From `since` to `until`, both in UTC without a zone, both inclusive."""

    since: datetime
    until: datetime

    @property
    def step(self) -> timedelta:
        """The finest step of a line."""
        return self.step_of(POINTS)

    def step_of(self, points: int) -> timedelta:
        """The finest step that shows the span in at most so many points."""
        wanted = (self.until - self.since) / points
        return next((step for step in STEPS if step >= wanted), STEPS[-1])

    @property
    def values(self) -> dict[str, Any]:
        """As parameters of a statement that reads a series."""
        return {"since": self.since, "until": self.until, "step": self.step}

    @property
    def bounds(self) -> dict[str, Any]:
        """As parameters of a statement that reads all within."""
        return {"since": self.since, "until": self.until}


def last_of_step(*keys: str) -> str:
    """The clause that keeps the last reading of each step, of each value of `keys`."""
    return LAST_OF_STEP.format(keys="".join(f"{key}, " for key in keys))


def frame(connection: duckdb.DuckDBPyConnection, sql: str, values: dict[str, Any] | None = None) -> pd.DataFrame:
    """The answer to one statement with its parameters."""
    return connection.execute(sql, values or {}).df()


def extent(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """`oldest_at` and `newest_at` of what is there, null where nothing is. One row."""
    return frame(connection, NEWEST)
