"""The sandbox's own time: running at a chosen speed, or standing still until it is moved.

What happens at which time belongs to `market`; this file only tells the time.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Literal


class SandboxClock:
    """A clock in UTC that every answer, link and quota of the sandbox reads; safe to use from several threads."""

    def __init__(self, start: datetime, mode: Literal["running", "manual"] = "running", speed: float = 1.0) -> None:
        """Start at `start`; a running clock gains `speed` seconds a real second."""
        self.mode = mode
        self.speed = speed
        self._lock = threading.Lock()
        self._base = start.astimezone(UTC)
        self._anchor = time.monotonic()

    def now(self) -> datetime:
        """Give the present sandbox time."""
        with self._lock:
            return self._read()

    def now_ms(self) -> int:
        """Give the present sandbox time as epoch milliseconds."""
        return int(self.now().timestamp() * 1000)

    def set(self, moment: datetime) -> None:
        """Move to `moment`, forwards or backwards; a running clock runs on from there."""
        with self._lock:
            self._base = moment.astimezone(UTC)
            self._anchor = time.monotonic()

    def advance(self, seconds: float) -> None:
        """Move by `seconds` of sandbox time."""
        with self._lock:
            self._base = self._read() + timedelta(seconds=seconds)
            self._anchor = time.monotonic()

    def _read(self) -> datetime:
        if self.mode == "manual":
            return self._base
        return self._base + timedelta(seconds=(time.monotonic() - self._anchor) * self.speed)
