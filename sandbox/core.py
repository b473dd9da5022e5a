"""What every request of a sandbox shares: settings, clock, market, links, meter, faults, log.

It decides nothing itself; handlers, faults and servers work on it.
"""

from __future__ import annotations

import threading
from datetime import datetime
from typing import NamedTuple

from sandbox.clock import SandboxClock
from sandbox.faults import FaultBoard
from sandbox.limits import Meter, plan_of
from sandbox.links import BodyCache, Links
from sandbox.market.market import Market
from sandbox.settings import SandboxSettings


class RequestRecord(NamedTuple):
    """One request as it was answered; `status` 0 is a connection closed without an answer."""

    time: datetime
    path: str
    status: int
    leg: str
    has_auth: bool


class Core:
    """The shared parts of one sandbox."""

    def __init__(self, settings: SandboxSettings) -> None:
        """Generate the market and set everything to its beginning."""
        self.settings = settings
        self.token = settings.token
        self.clock = SandboxClock(settings.start, settings.clock, settings.speed)
        self.market = Market(settings)
        self.secret = f"sandbox-{settings.seed}".encode()
        self.links = Links(self.clock, self.secret)
        self.bodies = BodyCache()
        self.meter = Meter(plan_of(settings))
        self.faults = FaultBoard()
        self._log: list[RequestRecord] = []
        self._log_lock = threading.Lock()

    def record(self, record: RequestRecord) -> None:
        """Remember a request."""
        with self._log_lock:
            self._log.append(record)

    def requests(self) -> list[RequestRecord]:
        """Give all requests so far, oldest first."""
        with self._log_lock:
            return list(self._log)
