"""The one door to time: what now is, and waiting. Tests and the demo pass a clock of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Gives the present in UTC, and waits for a moment to come."""

    def now(self) -> datetime: ...
    async def wait_until(self, moment: datetime) -> None: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def wait_until(self, moment: datetime) -> None:
        while (left := (moment - self.now()).total_seconds()) > 0:
            await asyncio.sleep(left)


class SteppedClock:
    """A clock that somebody else moves: `read` tells the time, `move` sets it when waiting would pass it on."""

    def __init__(self, read: Callable[[], datetime], move: Callable[[datetime], None]) -> None:
        self._read, self._move = read, move

    def now(self) -> datetime:
        return self._read()

    async def wait_until(self, moment: datetime) -> None:
        if moment > self._read():
            self._move(moment)
