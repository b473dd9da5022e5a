"""The sandbox's own paths on the API port: clock, faults, requests. Not part of the provider's API, no token, not counted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sandbox.core import Core
from sandbox.faults import Fault
from sandbox.times import iso, parse_iso
from sandbox.wire import Exchange, Reply, json_reply

CONTROL_PREFIX = "/_sandbox/"


def control(core: Core, exchange: Exchange, method: str, body: bytes) -> Reply:
    """Answer GET/PUT `clock`, GET/POST/DELETE `faults`, GET `requests`, GET `usage`; 400 for what it cannot read."""
    room = exchange.path.removeprefix(CONTROL_PREFIX)
    try:
        given: dict[str, Any] = json.loads(body) if body else {}
        if room == "clock" and method in ("GET", "PUT"):
            return _clock(core, given if method == "PUT" else {})
        if room == "faults" and method in ("GET", "POST", "DELETE"):
            return _faults(core, method, given)
    except (ValueError, TypeError, KeyError) as error:
        return json_reply({"error": str(error)}, 400)
    if room == "requests" and method == "GET":
        return json_reply([{**record._asdict(), "time": record.time.isoformat()} for record in core.requests()])
    if room == "usage" and method == "GET":
        return json_reply(core.meter.usage(exchange.now_ms))
    return json_reply({"error": "no such control"}, 404)


def _clock(core: Core, given: dict[str, Any]) -> Reply:
    """Move the clock to `now` (ISO) or by `advance_s` seconds, and give its state."""
    clock, states = core.clock, core.market.states
    if "now" in given:
        clock.set(datetime.fromtimestamp(parse_iso(given["now"]) / 1000, UTC))
    if "advance_s" in given:
        clock.advance(float(given["advance_s"]))
    now_ms = clock.now_ms()
    state = states.index_at(now_ms)
    times = {"now": iso(now_ms), "lastState": iso(states.time(state)), "nextState": iso(states.time(state + 1))}
    return json_reply({**times, "mode": clock.mode, "speed": clock.speed})


def _faults(core: Core, method: str, given: dict[str, Any]) -> Reply:
    board = core.faults
    if method == "POST":
        board.add(Fault(**given))
    if method == "DELETE":
        board.clear()
    fields = ("kind", "path", "leg", "count", "after", "params", "seen")
    return json_reply([{name: getattr(fault, name) for name in fields} for fault in board.active()])
