"""Times as the API writes and reads them: ISO 8601, UTC, milliseconds, `Z`.

Inside the sandbox a time is an integer of epoch milliseconds; grids and states belong to `market`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

import numpy as np

from sandbox.market.hashing import Array

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
RECENCIES_MS = {"24h": DAY_MS, "7d": 7 * DAY_MS, "30d": 30 * DAY_MS}

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?)?")


def iso(moment_ms: int) -> str:
    """Write epoch milliseconds as the API does, e.g. `2026-03-24T09:54:30.589Z`."""
    moment = datetime.fromtimestamp(moment_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment_ms % 1000:03d}Z"


def iso_column(moments_ms: Array) -> list[str]:
    """Write a column of epoch milliseconds as the API does."""
    return [f"{text}Z" for text in np.datetime_as_string(moments_ms.astype("datetime64[ms]"), unit="ms").tolist()]


def to_ms(moment: datetime) -> int:
    """Give epoch milliseconds of an aware datetime."""
    return round(moment.timestamp() * 1000)


def parse_iso(text: str) -> int:
    """Read an ISO 8601 time (a bare date is its midnight, no zone means UTC) as epoch milliseconds.

    Raises ValueError on anything else, epoch numbers included.
    """
    if not _ISO.fullmatch(text):
        raise ValueError(text)
    moment = datetime.fromisoformat(text)
    return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
