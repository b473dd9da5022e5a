"""One request struck by one fault, as every kind of fault sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sandbox.wire import Exchange, Reply

Call = Callable[[], Awaitable[Reply]]


@dataclass(frozen=True)
class Hit:
    """`call` gives what would be answered without the fault; `params` are those of its kind, `memory` what it remembers from
    one request to the next, `seen` the requests it has seen so far."""

    params: dict[str, Any]
    memory: dict[str, Any]
    seen: int
    call: Call
    exchange: Exchange


Kind = Callable[[Hit], Awaitable[Reply]]
