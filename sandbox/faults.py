"""Faults on request: what can go wrong, where, and how often.

A fault wraps the normal answer of a request, so a new kind is one function, of transport (`faults_of_transport`) or of content
(`faults_of_content`). Faults see a request after the token check and after it was counted, as trouble behind the provider's
gate would.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from sandbox.faults_of_content import CONTENT_KINDS
from sandbox.faults_of_transport import TRANSPORT_KINDS
from sandbox.hits import Call, Hit, Kind
from sandbox.wire import Exchange, Leg, Reply

KINDS: dict[str, Kind] = TRANSPORT_KINDS | CONTENT_KINDS


@dataclass(init=False)
class Fault:
    """A fault of one kind on the requests of one leg whose path and query, raw or decoded, match the regular
    expression `path`.

    It passes over the first `after` matching requests, then strikes `count` times (None: always). Whatever else is
    given are the kind's own parameters.
    """

    kind: str
    path: str
    leg: Leg
    count: int | None
    after: int
    params: dict[str, Any]
    memory: dict[str, Any] = field(repr=False)
    seen: int = 0

    def __init__(
        self, kind: str, path: str = "", leg: Leg = "api", count: int | None = None, after: int = 0, **params: Any
    ) -> None:
        """Describe a fault. Raises ValueError for a kind that does not exist."""
        if kind not in KINDS:
            raise ValueError(f"unknown fault {kind!r}; one of {', '.join(sorted(KINDS))}")
        self.kind, self.path, self.leg, self.count, self.after, self.params = kind, path, leg, count, after, params
        self.memory, self.seen = {}, 0

    def strikes(self, exchange: Exchange) -> bool:
        """Tell whether this request is hit, and count it."""
        if exchange.leg != self.leg or not _matches(self.path, exchange.target):
            return False
        self.seen += 1
        return self.seen > self.after and (self.count is None or self.seen <= self.after + self.count)


def _matches(pattern: str, target: str) -> bool:
    return bool(re.search(pattern, target) or re.search(pattern, unquote(target)))


class FaultBoard:
    """The faults in force; safe to change while requests are served."""

    def __init__(self) -> None:
        """Start without faults."""
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Put a fault in force; the one added first is nearest to the client."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Lift all faults."""
        with self._lock:
            self._faults.clear()

    def active(self) -> list[Fault]:
        """Give the faults in force."""
        with self._lock:
            return list(self._faults)

    async def around(self, exchange: Exchange, call: Call) -> Reply:
        """Answer a request through every fault that strikes it."""
        with self._lock:
            striking = [fault for fault in self._faults if fault.strikes(exchange)]
        for fault in reversed(striking):
            call = _bind(fault, call, exchange)
        return await call()


def _bind(fault: Fault, call: Call, exchange: Exchange) -> Call:
    return lambda: KINDS[fault.kind](Hit(fault.params, fault.memory, fault.seen, call, exchange))
