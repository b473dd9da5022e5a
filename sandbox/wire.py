"""One request and its answer, as values: what handlers are given and what they give back.

How they travel over a socket belongs to `server`; what they mean belongs to `sandbox.api`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Protocol
from urllib.parse import parse_qsl

from sandbox.clock import SandboxClock
from sandbox.links import BodyCache, Links
from sandbox.market.market import Market
from sandbox.settings import SandboxSettings

Leg = Literal["api", "storage"]
JSON_TYPE = "application/json; charset=utf-8"
CSV_TYPE = "text/csv"


class Shared(Protocol):
    """What an answer may draw on; `core` brings it together."""

    settings: SandboxSettings
    token: str
    clock: SandboxClock
    market: Market
    secret: bytes
    links: Links
    bodies: BodyCache


@dataclass(frozen=True)
class Reply:
    """An answer. `cut_at` sends only so many bytes of the announced length, `reset` resets the connection then, or before any
    header, `mute_s` are real seconds of silence after the headers, `drip` sends (bytes at a time, pause in real seconds)."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_at: int | None = None
    reset: bool = False
    mute_s: float = 0.0
    drip: tuple[int, float] | None = None

    def but(self, **changes: Any) -> Reply:
        """Give the same answer with some things changed."""
        return replace(self, **changes)


class ApiError(Exception):
    """A refusal by the API: carries the whole reply."""

    def __init__(self, status: int, message: str | list[str], error: str) -> None:
        """Refuse in the envelope of the provider's framework (the contract leaves the envelope open)."""
        super().__init__(message)
        self.reply = json_reply({"statusCode": status, "message": message, "error": error}, status)


def bad_request(message: str) -> ApiError:
    """Make a 400 with one validation text."""
    return ApiError(400, [message], "Bad Request")


def not_found(message: str) -> ApiError:
    """Make a 404."""
    return ApiError(404, message, "Not Found")


@dataclass
class Exchange:
    """One request on one leg; times are epoch milliseconds of sandbox time.

    Faults may change `now_ms` and `options` before the handler reads them. `args` are the decoded variable parts of
    the path, `query` the decoded pairs.
    """

    core: Shared
    leg: Leg
    path: str
    query_string: str
    authorization: str | None
    now_ms: int
    args: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """Give path and query as sent."""
        return f"{self.path}?{self.query_string}" if self.query_string else self.path

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """Give all query pairs, repeated keys included."""
        return parse_qsl(self.query_string, keep_blank_values=True)

    def param(self, name: str) -> str | None:
        """Give the last value of a query parameter; a blank one counts as absent."""
        values = [value for key, value in self.pairs if key == name]
        return values[-1] or None if values else None

    @property
    def state(self) -> int:
        """Give the index of the state in force."""
        return self.core.market.states.index_at(self.now_ms)

    @property
    def state_ms(self) -> int:
        """Give the time of the state in force."""
        return self.core.market.states.time(self.state)


def to_json(value: Any) -> bytes:
    """Write JSON as the provider does: no spaces, no escapes of non-ASCII."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Answer with JSON."""
    return Reply(status=status, body=to_json(value), headers=headers or {})


def number(value: float) -> float | int:
    """Give a number as JavaScript prints it: whole ones without a decimal point."""
    whole = int(value)
    return whole if whole == value else float(value)


def usd(micro: int | float) -> float | int:
    """Give dollars of millionths of a dollar."""
    return number(micro / 1e6)
