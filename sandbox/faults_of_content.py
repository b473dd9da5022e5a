"""Faults within an answer: what it says, how it is packed, which rows it has, at which moment it was made.

How it travels belongs to `faults_of_transport`.
"""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime
from typing import Any

from sandbox.hits import Hit, Kind
from sandbox.settings import PLANTABLE
from sandbox.wire import CSV_TYPE, JSON_TYPE, Reply, to_json


async def _short(hit: Hit) -> Reply:
    """The body ends at a line end after `fraction` of it, and the announced length agrees: only its content tells."""
    reply = await hit.call()
    return reply.but(body=reply.body[: reply.body.rfind(b"\n", 0, int(len(reply.body) * hit.params.get("fraction", 0.5))) + 1])


async def _replace(hit: Hit) -> Reply:
    """The right answer with the text `old` replaced by `new` (the first `times` places, default all)."""
    reply = await hit.call()
    old, new = hit.params["old"].encode(), hit.params["new"].encode()
    return reply.but(body=reply.body.replace(old, new, hit.params.get("times", -1)))


async def _packed(hit: Hit) -> Reply:
    """A compressed file that is wrong inside; `mode` is `twice`, `bad_crc`, `broken` (it ends early, though announced so)
    or `bomb` (one line of `bytes` spaces)."""
    reply = await hit.call()
    mode = hit.params["mode"]
    if mode == "bomb":
        return reply.but(body=gzip.compress(b" " * hit.params["bytes"], compresslevel=1, mtime=0))
    packed = reply.body if reply.body.startswith(b"\x1f\x8b") else gzip.compress(reply.body, mtime=0)
    if mode == "twice":
        return reply.but(body=gzip.compress(packed, mtime=0))
    # The last eight bytes are the checksum and the length.
    return reply.but(body=packed[: len(packed) // 2] if mode == "broken" else packed[:-8] + bytes(4) + packed[-4:])


async def _merge(hit: Hit) -> Reply:
    """The right JSON object with other `members`."""
    reply = await hit.call()
    return reply.but(body=to_json({**json.loads(reply.body), **hit.params["members"]}))


async def _sticky(hit: Hit) -> Reply:
    """The right JSON object, but its members `names` stay as they were in the first answer."""
    reply = await hit.call()
    value = json.loads(reply.body)
    kept = hit.memory.setdefault("kept", {name: value[name] for name in hit.params["names"]})
    return reply.but(body=to_json({**value, **kept}))


async def _overlap(hit: Hit) -> Reply:
    """The right page, before its own rows (under `name`) the last `rows` of the page before."""
    reply = await hit.call()
    name, value = hit.params["name"], json.loads(reply.body)
    before = hit.memory.get("rows", [])[-hit.params.get("rows", 1) :]
    hit.memory["rows"] = value[name]
    return reply.but(body=to_json({**value, name: [*before, *value[name]]}))


async def _shrink(hit: Hit) -> Reply:
    """A page of `rows` rows, however many are asked for; the next one goes on behind it."""
    query = hit.exchange.query_string
    hit.exchange.query_string = re.sub(r"limit=\d+", f"limit={hit.params['rows']}", query)
    return await hit.call()


async def _reorder(hit: Hit) -> Reply:
    """The right page, with the rows under `name` the other way round."""
    reply = await hit.call()
    value = json.loads(reply.body)
    return reply.but(body=to_json({**value, hit.params["name"]: value[hit.params["name"]][::-1]}))


async def _wrong_columns(hit: Hit) -> Reply:
    """A table that is not as declared; `mode` is `rename`, `drop`, `extra` (all of the last column) or `ragged`."""
    reply = await hit.call()
    mode = hit.params.get("mode", "rename")
    if reply.content_type == CSV_TYPE:
        return reply.but(body=_spoil_csv(reply.body.decode(), mode).encode())
    if reply.content_type == JSON_TYPE or reply.content_type.startswith("application/json"):
        return reply.but(body=to_json(_spoil_json(json.loads(reply.body), mode)))
    return reply


async def _foreign(hit: Hit) -> Reply:
    """The open-positions file holds `share` of rows of another coin."""
    hit.exchange.options["foreign_share"] = hit.params["share"]
    return await hit.call()


async def _planted(hit: Hit) -> Reply:
    """The answer lacks one position of `coin` (default BTC); a coin's file of orders lacks an order, or with `mode`
    `twice` gives one twice."""
    unwanted = "orders_missing" if hit.params.get("mode") == "twice" else "orders_twice"
    names = set(PLANTABLE) - {unwanted}
    hit.exchange.options["planted"] = {"coin": hit.params.get("coin", "BTC"), "names": names}
    return await hit.call()


async def _frozen(hit: Hit) -> Reply:
    """Time stands still for these requests at the moment of the first one."""
    hit.exchange.now_ms = hit.memory.setdefault("now_ms", hit.exchange.now_ms)
    return await hit.call()


async def _rollover(hit: Hit) -> Reply:
    """The next state is published just before the request is answered: the clock jumps to it."""
    clock, states = hit.exchange.core.clock, hit.exchange.core.market.states
    upcoming = states.time(states.index_at(clock.now_ms()) + 1)
    clock.set(datetime.fromtimestamp((upcoming + 1) / 1000, UTC))
    hit.exchange.now_ms = clock.now_ms()
    return await hit.call()


CONTENT_KINDS: dict[str, Kind] = {
    "short": _short,
    "replace": _replace,
    "packed": _packed,
    "merge": _merge,
    "sticky": _sticky,
    "overlap": _overlap,
    "shrink": _shrink,
    "reorder": _reorder,
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
