"""Faults on request: what can go wrong, where, and how often.

A fault wraps the normal answer of a request, so a new kind is one function below with its name in front. Faults see
a request after the token check and after it was counted, as trouble behind the provider's gate would.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from sandbox.settings import PLANTABLE
from sandbox.storage import XML_TYPE, expired
from sandbox.wire import CSV_TYPE, JSON_TYPE, Exchange, Leg, Reply, to_json

Call = Callable[[], Awaitable[Reply]]
_HTML = b"<!doctype html><html><body><h1>We will be back soon</h1></body></html>"
_S3_XML = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"


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
    return lambda: KINDS[fault.kind](Hit(fault, call, exchange))


@dataclass(frozen=True)
class Hit:
    """One request struck by one fault; `call` gives what would be answered without it."""

    fault: Fault
    call: Call
    exchange: Exchange


async def _status(hit: Hit) -> Reply:
    """Any status (`status`), with `body` (text or JSON value) and `headers`."""
    body = hit.fault.params.get("body", {"statusCode": hit.fault.params["status"], "message": "injected fault"})
    content = body.encode() if isinstance(body, str) else to_json(body)
    return Reply(hit.fault.params["status"], content, headers=hit.fault.params.get("headers", {}))


async def _html(_: Hit) -> Reply:
    """200 with a web page."""
    return Reply(body=_HTML, content_type="text/html; charset=utf-8")


async def _xml(_: Hit) -> Reply:
    """200 with an object store's error."""
    return Reply(body=_S3_XML, content_type=XML_TYPE)


async def _reset(_: Hit) -> Reply:
    """The connection is reset before headers."""
    return Reply(reset=True)


async def _cut(hit: Hit) -> Reply:
    """The body ends after `fraction` of it (default half), the announced length being right; `at_line_end` cuts there."""
    reply = await hit.call()
    cut_at = int(len(reply.body) * hit.fault.params.get("fraction", 0.5))
    if hit.fault.params.get("at_line_end"):
        cut_at = reply.body.rfind(b"\n", 0, cut_at) + 1
    return reply.but(cut_at=cut_at)


async def _short(hit: Hit) -> Reply:
    """The body ends at a line end after `fraction` of it, and the announced length agrees: only its content tells."""
    reply = await hit.call()
    return reply.but(
        body=reply.body[: reply.body.rfind(b"\n", 0, int(len(reply.body) * hit.fault.params.get("fraction", 0.5))) + 1]
    )


async def _empty(hit: Hit) -> Reply:
    """200 with nothing in it (or `status`)."""
    return (await hit.call()).but(status=hit.fault.params.get("status", 200), body=b"")


async def _slow(hit: Hit) -> Reply:
    """`delay_s` real seconds of silence before the headers."""
    await asyncio.sleep(hit.fault.params["delay_s"])
    return await hit.call()


async def _drip(hit: Hit) -> Reply:
    """The body comes in pieces of `bytes` with `pause_s` real seconds between them."""
    return (await hit.call()).but(drip=(hit.fault.params.get("bytes", 1), hit.fault.params.get("pause_s", 1.0)))


async def _expired(_: Hit) -> Reply:
    """The storage host says that the link has expired."""
    return expired()


async def _headers(hit: Hit) -> Reply:
    """The right answer with other `headers`, or another `content_type`."""
    reply = await hit.call()
    content_type = hit.fault.params.get("content_type", reply.content_type)
    return reply.but(headers={**reply.headers, **hit.fault.params.get("headers", {})}, content_type=content_type)


async def _replace(hit: Hit) -> Reply:
    """The right answer with the text `old` replaced by `new` (the first `times` places, default all)."""
    reply = await hit.call()
    old, new = hit.fault.params["old"].encode(), hit.fault.params["new"].encode()
    return reply.but(body=reply.body.replace(old, new, hit.fault.params.get("times", -1)))


async def _detour(hit: Hit) -> Reply:
    """A redirect to the same file under another address: `count` of them are a chain, without one it has no end."""
    target = hit.exchange.target
    location = f"{target}{'&' if '?' in target else '?'}hop={hit.fault.seen}"
    return Reply(hit.fault.params.get("status", 307), headers={"Location": location})


async def _packed(hit: Hit) -> Reply:
    """A compressed file that is wrong inside; `mode` is `twice`, `bad_crc`, `broken` (it ends early, though announced so)
    or `bomb` (one line of `bytes` spaces)."""
    reply = await hit.call()
    mode = hit.fault.params["mode"]
    if mode == "bomb":
        return reply.but(body=gzip.compress(b" " * hit.fault.params["bytes"], compresslevel=1, mtime=0))
    packed = reply.body if reply.body.startswith(b"\x1f\x8b") else gzip.compress(reply.body, mtime=0)
    if mode == "twice":
        return reply.but(body=gzip.compress(packed, mtime=0))
    # The last eight bytes are the checksum and the length.
    return reply.but(body=packed[: len(packed) // 2] if mode == "broken" else packed[:-8] + bytes(4) + packed[-4:])


async def _merge(hit: Hit) -> Reply:
    """The right JSON object with other `members`."""
    reply = await hit.call()
    return reply.but(body=to_json({**json.loads(reply.body), **hit.fault.params["members"]}))


async def _sticky(hit: Hit) -> Reply:
    """The right JSON object, but its members `names` stay as they were in the first answer."""
    reply = await hit.call()
    value = json.loads(reply.body)
    kept = hit.fault.memory.setdefault("kept", {name: value[name] for name in hit.fault.params["names"]})
    return reply.but(body=to_json({**value, **kept}))


async def _overlap(hit: Hit) -> Reply:
    """The right page, before its own rows (under `name`) the last `rows` of the page before."""
    reply = await hit.call()
    name, value = hit.fault.params["name"], json.loads(reply.body)
    before = hit.fault.memory.get("rows", [])[-hit.fault.params.get("rows", 1) :]
    hit.fault.memory["rows"] = value[name]
    return reply.but(body=to_json({**value, name: [*before, *value[name]]}))


async def _wrong_columns(hit: Hit) -> Reply:
    """A table that is not as declared; `mode` is `rename`, `drop`, `extra` (all of the last column) or `ragged`."""
    reply = await hit.call()
    mode = hit.fault.params.get("mode", "rename")
    if reply.content_type == CSV_TYPE:
        return reply.but(body=_spoil_csv(reply.body.decode(), mode).encode())
    if reply.content_type == JSON_TYPE or reply.content_type.startswith("application/json"):
        return reply.but(body=to_json(_spoil_json(json.loads(reply.body), mode)))
    return reply


async def _foreign(hit: Hit) -> Reply:
    """The open-positions file holds `share` of rows of another coin."""
    hit.exchange.options["foreign_share"] = hit.fault.params["share"]
    return await hit.call()


async def _planted(hit: Hit) -> Reply:
    """The answer lacks one position of `coin` (default BTC); a coin's file of orders lacks an order, or with `mode`
    `twice` gives one twice."""
    unwanted = "orders_missing" if hit.fault.params.get("mode") == "twice" else "orders_twice"
    names = set(PLANTABLE) - {unwanted}
    hit.exchange.options["planted"] = {"coin": hit.fault.params.get("coin", "BTC"), "names": names}
    return await hit.call()


async def _frozen(hit: Hit) -> Reply:
    """Time stands still for these requests at the moment of the first one."""
    hit.exchange.now_ms = hit.fault.memory.setdefault("now_ms", hit.exchange.now_ms)
    return await hit.call()


async def _rollover(hit: Hit) -> Reply:
    """The next state is published just before the request is answered: the clock jumps to it."""
    clock, states = hit.exchange.core.clock, hit.exchange.core.market.states
    upcoming = states.time(states.index_at(clock.now_ms()) + 1)
    clock.set(datetime.fromtimestamp((upcoming + 1) / 1000, UTC))
    hit.exchange.now_ms = clock.now_ms()
    return await hit.call()


KINDS: dict[str, Callable[[Hit], Awaitable[Reply]]] = {
    "status": _status,
    "html": _html,
    "xml": _xml,
    "reset": _reset,
    "cut": _cut,
    "short": _short,
    "empty": _empty,
    "slow": _slow,
    "drip": _drip,
    "expired": _expired,
    "headers": _headers,
    "replace": _replace,
    "detour": _detour,
    "packed": _packed,
    "merge": _merge,
    "sticky": _sticky,
    "overlap": _overlap,
    "wrong_columns": _wrong_columns,
    "foreign": _foreign,
    "planted": _planted,
    "frozen": _frozen,
    "rollover": _rollover,
}


def _spoil_csv(text: str, mode: str) -> str:
    lines = text.splitlines()
    if mode == "ragged":
        return "\n".join([*lines[:1], *(line.rpartition(",")[0] for line in lines[1:2]), *lines[2:]]) + "\n"
    return "\n".join(_spoil_row(line.split(","), mode, place == 0) for place, line in enumerate(lines)) + "\n"


def _spoil_row(cells: list[str], mode: str, is_header: bool) -> str:
    if mode == "drop":
        return ",".join(cells[:-1])
    if mode == "extra":
        return ",".join([*cells, "surprise" if is_header else "1"])
    return ",".join([*cells[:-1], "renamed" if is_header else cells[-1]])


def _spoil_json(value: Any, mode: str) -> Any:
    if isinstance(value, dict) and isinstance(value.get("columns"), list) and value.get("data"):
        columns, rows = value["columns"], value["data"]
        edits = {"rename": ([*columns[:-1], "renamed"], rows), "drop": (columns[:-1], rows)}
        edits["extra"] = ([*columns, "surprise"], rows)
        edits["ragged"] = (columns, [rows[0][:-1], *rows[1:]] if isinstance(rows[0], list) else rows[:-1])
        spoilt = edits[mode]
        return {**value, "columns": spoilt[0], "data": spoilt[1]}
    if isinstance(value, dict):
        return {name: _spoil_json(part, mode) for name, part in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [_spoil_json(part, mode) if _holds_table(part) else _spoil_record(part, mode) for part in value]
    return value


def _holds_table(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(part, dict | list) for part in value.values())


def _spoil_record(record: dict[str, Any], mode: str) -> dict[str, Any]:
    *kept, last = record
    if mode in ("drop", "ragged"):
        return {name: record[name] for name in kept}
    if mode == "extra":
        return {**record, "surprise": 1}
    return {**{name: record[name] for name in kept}, "renamed": record[last]}
