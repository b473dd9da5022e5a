"""The virtual clock, and what runs on it side by side: each task is a generator that yields the instants it waits for.

Belongs here: whose turn it is. Does not: what the tasks do (`sweeps`, `month`). Of tasks that wait for the same instant the one
that has waited longest goes first.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import datetime
from heapq import heappop, heappush
from itertools import count

from orchestration.clock import SteppedClock

Task = Generator[datetime]


class Agenda:
    """Runs tasks in the order of the instants (UTC) that they wait for. Those of the daemon end for good where it is away."""

    def __init__(self, start: datetime, is_away: Callable[[datetime], bool] = lambda _: False) -> None:
        self.now = start
        self.clock = SteppedClock(lambda: self.now, self._move)
        self._is_away = is_away
        self._waiting: list[tuple[datetime, int, Task, bool]] = []
        self._numbers = count()

    def add(self, moment: datetime, task: Task, is_daemon: bool = False) -> None:
        """Begin a task, or go on with it, at an instant; now where that is over."""
        heappush(self._waiting, (max(moment, self.now), next(self._numbers), task, is_daemon))

    def run(self, until: datetime) -> None:
        """Let time pass; what waits for a later instant than `until` is left undone."""
        while self._waiting and self._waiting[0][0] < until:
            self.now, _, task, is_daemon = heappop(self._waiting)
            if is_daemon and self._is_away(self.now):
                task.close()
            elif (moment := next(task, None)) is not None:
                self.add(moment, task, is_daemon)
        self._move(until)

    def _move(self, moment: datetime) -> None:
        self.now = moment
