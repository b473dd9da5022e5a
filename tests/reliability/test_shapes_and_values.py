"""Real payloads, each changed in one way: exactly the rows it holds, or a verdict in words; and one build over all of them.

Belongs here: what a payload's bytes may be. Does not: how they arrive (transport), names of coins (`test_coin_names`), payloads
nobody thought of (`test_properties`, `test_fuzz`).
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.hypertracker.datasets import BY_NAME
from orchestration.landing import land_all
from orchestration.modelling import build, raise_for_failures
from orchestration.registering import prepare
from warehouse.connection import open_writer
from warehouse.fetches import FetchRecord, new_fetch_id
from warehouse.ledger import Judgement, Verdict
from warehouse.quarantine import quarantine_rows, rejects_of
from warehouse.vault import Vault

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
BEGIN = datetime(2026, 4, 28, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
HEADER, *LINES = (SAMPLES / "positions_open_coin_BTC.csv").read_text("utf-8").splitlines()
COLUMNS = HEADER.split(",")
POSITIONS = [line.split(",") for line in LINES if ",BTC," in line][:3]
EXPORT = json.loads((SAMPLES / "exports_position_metrics_BTC.json").read_text("utf-8"))["metrics"]
ROW_TIME = EXPORT["data"][0][0]


@dataclass(frozen=True)
class Place:
    """Where a payload lands: a coin and a slot that no other case has."""

    coin: str
    slot: datetime

    @property
    def mark(self) -> str:
        return f"{self.slot:%Y-%m-%dT%H:%M:%S.000Z}"


Body = Callable[[Place], bytes]


@dataclass(frozen=True)
class Case:
    """One changed payload. It is `loaded` with `rows` rows, of which `shows` (SQL over one mart, `$1` its payload) gives `value`;
    or, without rows, it is quarantined and `says` why. `fault` and `sees` are for the page."""

    name: str
    dataset: str
    body: Body
    says: str = ""
    rows: int = 0
    shows: str = ""
    value: Any = None
    fault: str = ""
    sees: str = ""

    def record(self, vault: Vault, number: int) -> FetchRecord:
        place = Place(f"C{number}", BEGIN + number * QUARTER)
        scope = place.coin if BY_NAME[self.dataset].is_per_coin else "day" if "leaderboard" in self.dataset else ""
        with vault.new_body(self.dataset, place.slot, BY_NAME[self.dataset].suffix) as writer:
            writer.write(self.body(place))
            part = writer.finish()
        now = place.slot + timedelta(seconds=9)
        return FetchRecord(
            new_fetch_id(), self.dataset, scope, place.slot, now, now, "received", (part,),
            state_before=place.slot, state_after=place.slot,
        )  # fmt: skip


def positions(change: Callable[[bytes], bytes] = lambda body: body, **cells: str) -> Body:
    """Three positions as CSV, the first with other cells."""

    def body(place: Place) -> bytes:
        rows = [dict(zip(COLUMNS, row, strict=True)) | {"coin": place.coin} for row in POSITIONS]
        rows[0] |= cells
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([COLUMNS, *([row[name] for name in COLUMNS] for row in rows)])
        return change(text.getvalue().encode())

    return body


def orders(change: Callable[[bytes], bytes] = lambda body: body, **values: Any) -> Body:
    """Two orders as JSON, the first with other values."""

    def body(place: Place) -> bytes:
        order = dict.fromkeys(BY_NAME["order_snapshots"].columns) | {
            "oid": 1, "coin": place.coin, "side": "B", "limitPx": 7.5, "sz": 2, "snapshotTs": place.mark,
            "timestamp": "2026-03-24T09:00:00.000Z", "children": [], "orderType": "Limit",
        }  # fmt: skip
        return change(json.dumps([order | values, order | {"oid": 2}]).encode())

    return body


def export(change: Callable[[bytes], bytes] = lambda body: body, **parts: Any) -> Body:
    """The documented export of a coin's series, its first two rows, with other columns or rows."""
    metrics = {**EXPORT, "data": EXPORT["data"][:2], **parts}
    return lambda place: change(json.dumps({"coin": place.coin, "metrics": metrics}).encode())


def first_row(**values: Any) -> Body:
    """The same, with other values in its first row, by name."""
    names, (first, *others) = EXPORT["columns"][1:], EXPORT["data"][:2]
    return export(data=[[values.get(name, value) for name, value in zip(names, first, strict=True)], *others])


def coins(change: Callable[[bytes], bytes] = lambda body: body, **values: Any) -> Body:
    """A list of two coins, the first with other values."""

    def body(place: Place) -> bytes:
        coin = {
            "coin": place.coin, "totalValue": 10.0, "totalValueLong": 4.0, "totalValueShort": 6.0, "count": 3, "countLong": 1,
            "countShort": 2,
        }  # fmt: skip
        return change(json.dumps([coin | values, coin | {"coin": "other"}]).encode())

    return body


def heatmap(**values: Any) -> Body:
    sums = {"totalValue": 10, "totalLongValue": 4, "totalShortValue": 6, "count": 3, "countLong": 1, "countShort": 2, "bias": 0.4}
    return lambda place: json.dumps(
        {"heatmap": [{"coin": place.coin, **sums, "segments": [{"segmentId": 3, **sums, **values}]}]}
    ).encode()


def buckets(**values: Any) -> Body:
    bucket = {"size": "$0-$1k", "minSize": 0, "maxSize": 1000, "positionCount": 2, "totalPositionValue": 9,
              "totalPositionValueLong": 4, "valueCloseToLiquidation": 0, "bias": 0.4, "sizeSegmentId": 1}  # fmt: skip
    return lambda place: json.dumps({"coin": place.coin, "createdAt": place.mark, "breakdownBySize": [bucket | values]}).encode()


def lines(*edits: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
    """A change of a body line by line."""

    def change(body: bytes) -> bytes:
        found = body.splitlines()
        for edit in edits:
            found = edit(found)
        return b"\n".join(found) + b"\n"

    return change


def swap(old: bytes, new: bytes, count: int = 1) -> Callable[[bytes], bytes]:
    def change(body: bytes) -> bytes:
        assert old in body, (old, body)
        return body.replace(old, new, count)

    return change


def named(*names: str) -> str:
    return f"select {', '.join(names)} from marts.fct_open_positions where payload_id = $1 and leverage is not null"


POSITION = "select {} from marts.fct_open_positions where payload_id = $1 order by position_id"
ORDER = "select {} from marts.fct_order_versions where payload_id = $1 and order_id <> 2"
SERIES = "select {} from marts.fct_coin_metrics where payload_id = $1 order by snapshot_at desc limit 1"
COIN = "select {} from marts.fct_coin_metrics where payload_id = $1 and coin <> 'other'"
SIZES = sorted((row[0], float(row[5])) for row in POSITIONS)
AS_EVER = {"rows": 3, "shows": POSITION.format("list((position_id, size) order by position_id)")[:-21], "value": SIZES}
REVERSED = [list(reversed(row)) for row in [EXPORT["columns"][1:], *EXPORT["data"][:2]]]
SAME = {"rows": 2, "shows": SERIES.format("gross_value_usd"), "value": EXPORT["data"][0][3]}
FIRST_ID = POSITIONS[0][0]
AT_FIRST = POSITION.format("{}").replace("order by", f"and position_id = '{FIRST_ID}' order by")
ON_OFFER = "2026-03-24T10:00:00+02:00"
AT_EIGHT = datetime(2026, 3, 24, 8)

CASES = (
    # Columns
    Case(
        "a column added",
        "open_positions",
        positions(lines(lambda found: [found[0] + b",mood", *(row + b",fine" for row in found[1:])])),
        **AS_EVER,
        fault="column-added",
        sees="the same facts; the new column is kept beside them in `raw`",
    ),
    Case("a key added", "coins", coins(mood="fine"), rows=2, shows=COIN.format("position_count"), value=3),
    Case(
        "a column added to an export",
        "position_metrics_export",
        export(columns=[*EXPORT["columns"], "mood"], data=[[*row, "fine"] for row in EXPORT["data"][:2]]),
        **SAME,
    ),
    Case(
        "a column removed",
        "open_positions",
        positions(swap(b",size,", b",", 1)),
        "columns missing: size",
        fault="column-removed",
        sees="the payload is quarantined: “columns missing: size; found id, address, coin”",
    ),
    Case("a key removed", "coins", coins(swap(b'"totalValue": 10.0, ', b"")), "record 1 lacks totalValue"),
    Case(
        "a column renamed",
        "position_metrics_export",
        export(swap(b"positionCountLong", b"longPositionCount")),
        "columns missing: positionCountLong; found timestamp, positionCount, longPositionCount",
        fault="column-renamed",
        sees="the payload is quarantined: “columns missing: positionCountLong; found timestamp, positionCount”",
    ),
    Case(
        "a header of another case",
        "open_positions",
        positions(lines(lambda found: [found[0].upper(), *found[1:]])),
        "columns missing: id",
    ),
    Case("a header with blanks", "open_positions", positions(swap(b",size,", b", size,")), "columns missing: size"),
    Case(
        "a number that is text",
        "open_positions",
        positions(size="lots"),
        "not a number up to 1e+30 in size: lots",
        fault="column-retyped",
        sees="the payload is quarantined: “not a number up to 1e+30 in size: lots”; numbers as plain text are read as numbers",
    ),
    Case(
        "a number that is text in one record of many",
        "coins",
        coins(count="many"),
        "count is not a whole number of at most 64 bits: many",
    ),
    Case(
        "a number that is an object",
        "coins",
        coins(totalValue={"usd": 10}),
        "totalValue is not a number up to 1e+30: {'usd': 10}",
    ),
    Case("a number that is true", "coins", coins(count=True), "count is not a whole number"),
    Case("a list that is an object", "heatmap", lambda _: b'{"heatmap": {"coin": 1}}', "no list under heatmap"),
    Case("a name that is a number", "coins", coins(coin=5), "coin is not text: 5"),
    Case(
        "numbers as text",
        "coins",
        coins(totalValue="10.0", count="3"),
        rows=2,
        shows=COIN.format("gross_value_usd, position_count"),
        value=(10.0, 3),
    ),
    Case(
        "numbers of an export as text",
        "position_metrics_export",
        first_row(positionCount="12", totalPositionValue="1.5"),
        rows=2,
        shows=SERIES.format("position_count, gross_value_usd"),
        value=(12, 1.5),
    ),
    Case("a fraction of a position", "coins", coins(count=12.5), "count is not a whole number of at most 64 bits: 12.5"),
    Case(
        "a fraction of a position in a file", "open_positions", positions(profile_countOpenPositions="12.5"), "not a whole number"
    ),
    Case("a hexadecimal count", "open_positions", positions(profile_countOpenPositions="0x1F"), "not a whole number"),
    Case(
        "columns reversed",
        "position_metrics_export",
        export(columns=REVERSED[0], data=REVERSED[1:]),
        **SAME,
        fault="column-reordered",
        sees="the same facts: columns are matched by name",
    ),
    Case(
        "columns of a file reversed",
        "open_positions",
        positions(lines(lambda found: [b",".join(reversed(row.split(b","))) for row in found])),
        **AS_EVER,
    ),
    Case("a column twice", "open_positions", positions(swap(b"address", b"id")), "columns missing: address"),
    Case(
        "a column twice and all others there",
        "open_positions",
        positions(lines(lambda found: [found[0] + b",ID", *(row + b",x" for row in found[1:])])),
        "columns twice: ID, id",
        fault="column-doubled",
        sees="the payload is quarantined: “columns twice: ID, id”",
    ),
    Case(
        "a column of an export twice",
        "position_metrics_export",
        export(columns=[*EXPORT["columns"], "positionCount"], data=[[*row, 1] for row in EXPORT["data"][:2]]),
        "a column name stands twice",
    ),
    Case("a key twice", "coins", coins(swap(b'"count": 3', b'"count": 3, "count": 4')), "a key stands twice: count"),
    Case("a key twice in an order", "order_snapshots", orders(swap(b'"oid": 1', b'"oid": 1, "oid": 9')), 'duplicate key "oid"'),
    Case(
        "a column without a name",
        "open_positions",
        positions(lines(lambda found: [row + b"," for row in found])),
        "column 23 has no name",
    ),
    Case(
        "no header",
        "open_positions",
        positions(lines(lambda found: found[1:])),
        "columns missing: id, address",
        fault="header-missing",
        sees="the payload is quarantined: “columns missing: id, address, coin”",
    ),
    Case(
        "a header twice",
        "open_positions",
        positions(lines(lambda found: [found[0], *found])),
        "not a number up to 1e+30 in size: size",
        fault="header-twice",
        sees="the payload is quarantined: “not a number up to 1e+30 in size: size”",
    ),
    Case(
        "a header between rows",
        "open_positions",
        positions(lines(lambda found: [*found[:2], found[0], *found[2:]])),
        "in size: size",
    ),
    Case("a header alone", "open_positions", positions(lines(lambda found: found[:1])), "the provider sent no rows"),
    Case("one column", "open_positions", lambda _: b"id\n1\n2\n", "columns missing: address"),
    Case("other separators", "open_positions", positions(swap(b",", b";", -1)), "columns missing: id"),
    Case(
        "a row too short",
        "open_positions",
        positions(lines(lambda found: [*found[:2], found[2].rpartition(b",")[0], found[3]])),
        "Expected Number of Columns: 22 Found: 21",
        fault="ragged-rows",
        sees="the payload is quarantined: “CSV Error on Line: 3 Expected Number of Columns: 22 Found: 21”; the row is kept aside",
    ),
    Case(
        "a row too long",
        "open_positions",
        positions(lines(lambda found: [*found[:2], found[2] + b",7", found[3]])),
        "Expected Number of Columns",
    ),
    Case(
        "rows of an export too short",
        "position_metrics_export",
        export(data=[EXPORT["data"][0], EXPORT["data"][1][:3]]),
        "rows have 3, 5 values",
    ),
    Case(
        "columns longer",
        "position_metrics_export",
        export(columns=[*EXPORT["columns"], "mood"]),
        "7 columns declared, rows have 5 values",
        fault="columns-longer",
        sees="the payload is quarantined: “7 columns declared, rows have 5 values”; only `coin` may be too many",
    ),
    Case("columns longer by `coin`", "position_metrics_export", export(), **SAME),
    Case(
        "columns shorter",
        "position_metrics_export",
        export(columns=EXPORT["columns"][1:-1]),
        "4 columns declared, rows have 5 values",
        fault="columns-shorter",
        sees="the payload is quarantined: “4 columns declared, rows have 5 values”",
    ),
    Case("no columns", "position_metrics_export", export(columns=[]), "0 columns declared, rows have 5 values"),
    Case(
        "no columns, and rows that are none",
        "position_metrics_export",
        export(columns=[], data=[1]),
        "a row that is no list of values",
    ),
    Case("rows that are null", "position_metrics_export", export(data=None), "no list under data"),
    Case("columns that are null", "position_metrics_export", export(columns=None), "no list under columns"),
    Case("a table that is null", "perp_pnl_leaderboard", lambda _: b'{"columns": null, "data": null}', "no list under data"),
    Case(
        "a table of no lists",
        "perp_pnl_leaderboard",
        lambda _: b'{"columns": [], "data": [1]}',
        "a row that is no list of values",
    ),
    # Text
    Case(
        "quotes",
        "open_positions",
        positions(id='he said "no"'),
        rows=3,
        shows=POSITION.format("max(position_id)")[:-21],
        value='he said "no"',
        fault="quotes",
        sees="the same value in the facts, quotes and all",
    ),
    Case(
        "quotes in an order",
        "order_snapshots",
        orders(cloid="\"';drop table raw.coins;--"),
        rows=2,
        shows=ORDER.format("client_order_id"),
        value="\"';drop table raw.coins;--",
    ),
    Case(
        "a quoted header",
        "open_positions",
        positions(lines(lambda found: [b",".join(b'"' + name + b'"' for name in found[0].split(b",")), *found[1:]])),
        **AS_EVER,
    ),
    Case(
        "a quote without an end",
        "open_positions",
        positions(lines(lambda found: [found[0], b'"' + found[1], *found[2:]])),
        "CSV Error on Line",
    ),
    Case(
        "line breaks",
        "open_positions",
        positions(address="a\nb\r\nc"),
        rows=3,
        shows=AT_FIRST.format("address"),
        value="a\nb\r\nc",
        fault="embedded-newlines",
        sees="the same value in the facts, line breaks and all",
    ),
    Case(
        "line breaks in a table",
        "perp_pnl_leaderboard",
        lambda _: b'address,rank\n"0xa\nb",1\n0xc,2\n',
        rows=2,
        shows="select address from marts.fct_perp_pnl_leaderboard where payload_id = $1 and rank = 1",
        value="0xa\nb",
    ),
    Case(
        "a table whose quote has no end",
        "perp_pnl_leaderboard",
        lambda _: b'address,rank\n"0xa,1\n',
        "no CSV: unexpected end of data",
    ),
    Case(
        "a cell of 200,000 characters",
        "perp_pnl_leaderboard",
        lambda _: b"address,rank\n" + b"x" * 200_000 + b",1\n",
        rows=1,
        shows="select length(address) from marts.fct_perp_pnl_leaderboard where payload_id = $1",
        value=200_000,
    ),
    Case(
        "NUL",
        "open_positions",
        positions(address="a\0b"),
        rows=3,
        shows=AT_FIRST.format("address"),
        value="a\0b",
        fault="nul",
        sees="the same value in the facts",
    ),
    Case("NUL in JSON", "order_snapshots", orders(cloid="a\0b"), rows=2, shows=ORDER.format("client_order_id"), value="a\0b"),
    Case("half a character", "coins", coins(mood="\ud800"), "half a character (a lone surrogate) in text"),
    Case("half a character in an order", "order_snapshots", orders(cloid="\ud800"), "no low surrogate in string"),
    Case("half a character in a key", "coins", coins(**{"\ud800": 1}), "half a character (a lone surrogate) in text"),
    Case("half a character in a column", "order_snapshots", orders(**{"\ud800": 1}), "in the name of a column"),
    Case("a reading twice", "position_metrics_export", first_row(timestamp=EXPORT["data"][1][0]), "two rows of"),
    Case("no UTF-8", "coins", coins(swap(b"other", b"\xff\xfe")), "not UTF-8 text"),
    Case("no UTF-8 in a file", "open_positions", positions(swap(b"long", b"\xff\xfe")), "not utf-8 encoded"),
    Case("no UTF-8 in an order", "order_snapshots", orders(swap(b"Limit", b"\xff\xfe")), "invalid UTF-8"),
    Case("UTF-16", "open_positions", positions(lambda body: body.decode().encode("utf-16")), "UTF-16 text instead of UTF-8"),
    Case("a byte order mark", "open_positions", positions(lambda body: b"\xef\xbb\xbf" + body), **AS_EVER),
    Case("a byte order mark before an export", "position_metrics_export", export(lambda body: b"\xef\xbb\xbf" + body), **SAME),
    Case(
        "a byte order mark before orders",
        "order_snapshots",
        orders(lambda body: b"\xef\xbb\xbf" + body),
        rows=2,
        shows=ORDER.format("size"),
        value=2.0,
    ),
    Case("CRLF", "open_positions", positions(swap(b"\n", b"\r\n", -1)), **AS_EVER),
    Case("CRLF and LF", "open_positions", positions(swap(b"\n", b"\r\n", 2)), "CSV"),
    Case(
        "ids of 10,000 characters",
        "open_positions",
        positions(id="f" * 10_000),
        rows=3,
        shows=POSITION.format("max(length(position_id))")[:-21],
        value=10_000,
        fault="long-ids",
        sees="the same facts, under the whole id",
    ),
    Case(
        "an order id of 19 digits",
        "order_snapshots",
        orders(oid=2**63 - 1),
        rows=2,
        shows=ORDER.format("order_id"),
        value=2**63 - 1,
    ),
    Case(
        "a line of three megabytes",
        "open_positions",
        positions(id="f" * 3_000_000),
        "one line is longer than",
    ),
    # Numbers
    Case(
        "NaN",
        "coins",
        coins(swap(b"10.0", b"NaN")),
        "NaN is not a number",
        fault="nan",
        sees="the payload is quarantined: “NaN is not a number”",
    ),
    Case("NaN in a file", "open_positions", positions(size="NaN"), "not a number up to 1e+30 in size: NaN"),
    Case("NaN in an order", "order_snapshots", orders(swap(b'"sz": 2', b'"sz": NaN')), "not a number up to 1e+30 in sz: NaN"),
    Case("NaN as text", "coins", coins(totalValue="NaN"), "totalValue is not a number up to 1e+30: NaN"),
    Case(
        "NaN as text in an export",
        "position_metrics_export",
        first_row(totalPositionValue="nan"),
        "totalPositionValue is not a number up to 1e+30: nan",
    ),
    Case(
        "Infinity",
        "coins",
        coins(swap(b"10.0", b"Infinity")),
        "Infinity is not a number",
        fault="infinity",
        sees="the payload is quarantined: “Infinity is not a number”",
    ),
    Case("-Infinity in a file", "open_positions", positions(size="-Infinity"), "not a number up to 1e+30 in size: -Infinity"),
    Case("Infinity as text", "heatmap", heatmap(totalValue="Infinity"), "totalValue is not a number up to 1e+30: Infinity"),
    Case("1e309", "coins", coins(swap(b"10.0", b"1e309")), "totalValue is not a number up to 1e+30: inf"),
    Case(
        "1e309 in a file",
        "open_positions",
        positions(size="1e309"),
        "not a number up to 1e+30 in size: 1e309",
        fault="1e309",
        sees="the payload is quarantined: “not a number up to 1e+30 in size: 1e309”",
    ),
    Case(
        "1e309 in an order", "order_snapshots", orders(swap(b'"sz": 2', b'"sz": 1e309')), "not a number up to 1e+30 in sz: 1e309"
    ),
    Case(
        "-0.0",
        "open_positions",
        positions(funding="-0.0"),
        rows=3,
        shows=AT_FIRST.format("funding_usd"),
        value=0.0,
        fault="negative-zero",
        sees="zero in the facts",
    ),
    Case(
        "-0.0 in a list",
        "coins",
        coins(totalValueLong=-0.0, totalValue=6.0),
        rows=2,
        shows=COIN.format("long_value_usd"),
        value=0.0,
    ),
    Case(
        "1,234.5",
        "open_positions",
        positions(size="1,234.5"),
        "not a number up to 1e+30 in size: 1,234.5",
        fault="thousands",
        sees="the payload is quarantined: “not a number up to 1e+30 in size: 1,234.5”",
    ),
    Case(
        "1,234.5 in an export",
        "position_metrics_export",
        first_row(totalPositionValue="1,234.5"),
        "totalPositionValue is not a number up to 1e+30: 1,234.5",
    ),
    Case(
        "past 2^53",
        "order_snapshots",
        orders(oid=2**53 + 1),
        rows=2,
        shows=ORDER.format("order_id"),
        value=2**53 + 1,
        fault="past-2-53",
        sees="the same whole number in the facts, to the last digit",
    ),
    Case("past 2^53 in a list", "coins", coins(count=2**53 + 1), rows=2, shows=COIN.format("position_count"), value=2**53 + 1),
    Case(
        "past 2^63",
        "order_snapshots",
        orders(oid=2**63),
        "not a whole number of at most 64 bits in oid: 9223372036854775808",
        fault="past-2-63",
        sees="the payload is quarantined: “not a whole number of at most 64 bits in oid: 9223372036854775808”",
    ),
    Case(
        "past 2^63 in a list", "coins", coins(count=2**63), "count is not a whole number of at most 64 bits: 9223372036854775808"
    ),
    Case(
        "past 2^63 in a file",
        "open_positions",
        positions(profile_countOpenPositions=str(2**63)),
        "at most 64 bits in profile_countOpenPositions",
    ),
    Case("5,000 digits", "coins", coins(swap(b"10.0", b"9" * 5_000)), "Exceeds the limit (4300 digits)"),
    Case("400 digits", "coins", coins(swap(b"10.0", b"9" * 400)), "totalValue is not a number up to 1e+30: 9999"),
    Case("past 2^31 in a cohort", "heatmap", heatmap(segmentId=2**31), "segmentId is not a whole number of at most 32 bits"),
    Case("1e308", "coins", coins(totalValue=1e308), "totalValue is not a number up to 1e+30: 1e+308"),
    Case("1e308 in a file", "open_positions", positions(value="1e308"), "not a number up to 1e+30 in value: 1e308"),
    Case(
        "figures that do not add up",
        "coins",
        coins(totalValue=10.5),
        "totalValue is 10.5, but totalValueLong and totalValueShort are 10 together",
    ),
    # Times
    Case(
        "epoch",
        "order_snapshots",
        orders(timestamp=1_774_346_400_000),
        "not a time with its zone in timestamp: 1774346400000",
        fault="time-epoch",
        sees="the payload is quarantined: “not a time with its zone in timestamp: 1774346400000”",
    ),
    Case(
        "epoch in an export",
        "position_metrics_export",
        first_row(timestamp=1_774_346_400_000),
        "timestamp is not an ISO 8601 time: 1774346400000",
    ),
    Case("`epoch`", "open_positions", positions(openTime="epoch"), "not a time with its zone in openTime: epoch"),
    Case("`infinity`", "open_positions", positions(openTime="infinity"), "not a time with its zone in openTime: infinity"),
    Case(
        "no zone",
        "open_positions",
        positions(openTime="2026-03-24T10:00:00"),
        "not a time with its zone in openTime: 2026-03-24T10:00:00",
        fault="time-without-zone",
        sees="the payload is quarantined: “not a time with its zone in openTime: 2026-03-24T10:00:00”",
    ),
    Case(
        "no zone in an export",
        "position_metrics_export",
        first_row(timestamp="2026-03-24T10:00:00"),
        "timestamp has no time zone",
    ),
    Case("a day only", "open_positions", positions(openTime="2026-03-24"), "not a time with its zone"),
    Case("a week", "position_metrics_export", first_row(timestamp="2026-W13-2T10:00:00Z"), "timestamp is not an ISO 8601 time"),
    Case(
        "the year 1",
        "position_metrics_export",
        first_row(timestamp="0001-01-01T00:00:00+05:00"),
        "timestamp is not an ISO 8601 time",
    ),
    Case(
        "an offset",
        "open_positions",
        positions(openTime=ON_OFFER),
        rows=3,
        shows=AT_FIRST.format("opened_at"),
        value=AT_EIGHT,
        fault="time-offset",
        sees="the same instant in the facts, in UTC",
    ),
    Case(
        "an offset in an order",
        "order_snapshots",
        orders(timestamp=ON_OFFER),
        rows=2,
        shows=ORDER.format("placed_at"),
        value=AT_EIGHT,
    ),
    Case(
        "an offset in an export",
        "position_metrics_export",
        first_row(timestamp="2026-03-24T12:54:30.589+03:00"),
        rows=2,
        shows=SERIES.format("snapshot_at"),
        value=datetime(2026, 3, 24, 9, 54, 30, 589_000),
    ),
    Case(
        "the future",
        "position_metrics_export",
        first_row(timestamp="2999-01-01T00:00:00.000Z"),
        "it tells of 2999-01-01 00:00:00",
        fault="time-future",
        sees="the payload is quarantined: “it tells of 2999-01-01 00:00:00, and came at”",
    ),
    Case("orders of the future", "order_snapshots", orders(snapshotTs="2999-01-01T00:00:00.000Z"), "rows of two snapshots"),
    Case("a state of the future", "state_status", lambda _: b'{"lastUpdate": "2999-01-01T00:00:00.000Z"}', "it tells of 2999"),
    # Words
    Case(
        "an unknown cohort",
        "heatmap",
        heatmap(segmentId=77),
        rows=1,
        shows="select cohort_id, axis, position_count from marts.fct_cohort_metrics where payload_id = $1",
        value=(77, None, 3),
        fault="unknown-cohort",
        sees="its figures under its id, on neither axis",
    ),
    Case(
        "an unknown cohort of a wallet",
        "open_positions",
        positions(profile_sizeSegmentId="99"),
        rows=3,
        shows=AT_FIRST.format("size_cohort_id"),
        value=99,
    ),
    Case(
        "an unknown bucket",
        "breakdown_by_size_export",
        buckets(sizeSegmentId=11),
        rows=1,
        shows="select size_bucket_id, position_count from marts.fct_size_bucket_metrics where payload_id = $1",
        value=(11, 2),
        fault="unknown-bucket",
        sees="its figures under its id",
    ),
    Case(
        "an unknown side",
        "open_positions",
        positions(side="sideways"),
        rows=3,
        shows=AT_FIRST.format("side"),
        value="sideways",
        fault="unknown-side",
        sees="the side as sent",
    ),
    Case("an unknown side of an order", "order_snapshots", orders(side="X"), rows=2, shows=ORDER.format("side"), value="X"),
    Case(
        "an unknown order type",
        "order_snapshots",
        orders(orderType="Iceberg"),
        rows=2,
        shows=ORDER.format("order_type"),
        value="Iceberg",
        fault="unknown-order-type",
        sees="the type as sent",
    ),
    Case(
        "rows of another coin",
        "open_positions",
        positions(coin="ETH"),
        rows=3,
        shows=POSITION.format("count(*)")[:-21],
        value=2,
        fault="foreign-rows",
        sees="they are counted in the ledger and left out; a file of nothing else is quarantined",
    ),
    Case(
        "only rows of another coin",
        "open_positions",
        lambda place: positions()(Place("ETH", place.slot)),
        "none of the 3 rows is of",
    ),
    Case("an export of another coin", "position_metrics_export", lambda place: export()(Place("ETH", place.slot)), "got 'ETH'"),
    # Nothing where something must be
    Case("a position without id", "open_positions", positions(id=""), "no value in id"),
    Case("a position without coin", "open_positions", positions(coin=""), "no value in coin"),
    Case("an order without id", "order_snapshots", orders(oid=None), "no value in oid"),
    Case("an order without snapshot", "order_snapshots", orders(snapshotTs=None), "no value in snapshotTs"),
    Case("a coin without name", "coins", coins(coin=None), "a record has no coin"),
    Case("a cohort without id", "heatmap", heatmap(segmentId=None), "a record has no segmentId"),
    Case("a bucket without id", "breakdown_by_size_export", buckets(sizeSegmentId=None), "a record has no sizeSegmentId"),
    Case(
        "figures that are null",
        "coins",
        coins(totalValue=None, count=None),
        rows=2,
        shows=COIN.format("gross_value_usd, position_count"),
        value=(None, None),
    ),
    Case(
        "cells that are empty",
        "open_positions",
        positions(size="", liquidationPrice=""),
        rows=3,
        shows=AT_FIRST.format("size, liquidation_price"),
        value=(None, None),
    ),
    # No data at all
    Case("a string", "coins", lambda _: b'"BTC"', "no list in the payload"),
    Case("a number", "coins", lambda _: b"3", "no list in the payload"),
    Case("true", "heatmap", lambda _: b"true", "no list under heatmap"),
    Case("null", "position_metrics_export", lambda _: b"null", "the payload is no object"),
    Case("null for orders", "order_snapshots", lambda _: b"null", "columns missing"),
    Case("an object for orders", "order_snapshots", lambda _: b"{}", "neither CSV nor a list of records"),
    Case("numbers for orders", "order_snapshots", lambda _: b"[1, 2]", "neither CSV nor a list of records"),
    Case("lists without end", "coins", lambda _: b"[" * 100_000, "too deep"),
    Case("lists within lists", "coins", lambda _: b"[" * 100_000 + b"]" * 100_000, "too deep"),
    Case(
        "lists within an order", "order_snapshots", lambda _: b'[{"oid": ' + b"[" * 100_000, "neither CSV nor a list of records"
    ),
    Case("more after the end", "coins", coins(lambda body: body + b" x"), "Extra data"),
    Case("two lists of orders", "order_snapshots", orders(lambda body: body * 2), "Malformed JSON"),
    Case("an order a line", "order_snapshots", orders(lambda body: body[1:-1].replace(b"}, {", b"}\n{")), "array"),
)
LOADED = [case for case in CASES if case.rows]


def marked(case: Case) -> Any:
    return pytest.param(case, id=case.name, marks=pytest.mark.proves(case.fault, sees=case.sees) if case.fault else ())


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working file that nothing has landed in."""
    file = tmp_path_factory.mktemp("blank") / "warehouse.duckdb"
    with open_writer(file) as connection:
        prepare(connection)
    return file


@contextmanager
def landed(
    folder: Path, blank: Path, *cases: Case
) -> Iterator[tuple[duckdb.DuckDBPyConnection, list[tuple[FetchRecord, Judgement]]]]:
    """Every case as the first of its kind, in a file of their own."""
    vault, file = Vault(folder / "vault"), folder / "warehouse.duckdb"
    vault.create()
    shutil.copyfile(blank, file)
    with open_writer(file) as connection:
        found = []
        for case in cases:
            connection.execute("delete from ops.definitions")
            found += land_all(connection, vault, [case.record(vault, CASES.index(case))])
        yield connection, found


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_a_payload_is_read_exactly_or_not_at_all(case: Case, tmp_path: Path, blank: Path, said: Callable[..., None]) -> None:
    with landed(tmp_path, blank, case) as (connection, [(record, judgement)]):
        said(judgement.reason, judgement.mend)
        count = connection.execute(f"select count(*) from raw.{case.dataset}").fetchone()
        held = quarantine_rows(connection)
        if case.rows:
            assert (judgement.verdict, judgement.row_count, judgement.reason) == (Verdict.LOADED, case.rows, "")
            return
        assert case.says in judgement.reason
        assert count == (0,)
        assert connection.execute("select count(*) from ops.payloads").fetchone() == (0,)
        if judgement.verdict is not Verdict.EMPTY:
            assert judgement.verdict is Verdict.QUARANTINED
            assert [(row.fetch_id, row.reason) for row in held] == [(record.fetch_id, judgement.reason)]
            assert "Traceback" not in judgement.reason
            assert "htw quarantine replay" in judgement.mend


@pytest.mark.parametrize(
    ("name", "line", "column"),
    [
        ("1,234.5", 2, "size"),
        ("past 2^63", 1, "oid"),
        ("an order without id", 1, "oid"),
        ("no zone", 2, "openTime"),
        ("a row too short", 3, ""),
    ],
)
def test_the_row_at_fault_is_named(name: str, line: int, column: str, tmp_path: Path, blank: Path) -> None:
    (case,) = (case for case in CASES if case.name == name)
    with landed(tmp_path, blank, case) as (connection, [(record, _)]):
        found = {(reject.line, reject.column) for reject in rejects_of(connection, record.fetch_id)}
    assert found == {(line, column)} or {at for at, _ in found} == {line}


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory, blank: Path
) -> Iterator[tuple[duckdb.DuckDBPyConnection, dict[str, FetchRecord]]]:
    """All cases in one working file, the bad between the good, and one build and its tests over all of it."""
    folder = tmp_path_factory.mktemp("built")
    with landed(folder, blank, *CASES) as (_, found):
        records = {case.name: record for case, (record, _) in zip(CASES, found, strict=True)}
    raise_for_failures(build(folder / "warehouse.duckdb", folder / "dbt"))
    with open_writer(folder / "warehouse.duckdb") as connection:
        yield connection, records


@pytest.mark.parametrize("case", LOADED, ids=lambda case: case.name)
def test_what_was_accepted_is_in_the_facts_as_it_was_sent(
    case: Case, built: tuple[duckdb.DuckDBPyConnection, dict[str, FetchRecord]]
) -> None:
    connection, records = built
    found = connection.execute(case.shows, [records[case.name].payload_id]).fetchone()
    assert found == (case.value if isinstance(case.value, tuple) else (case.value,))


def test_nothing_of_what_was_refused_is_anywhere(built: tuple[duckdb.DuckDBPyConnection, dict[str, FetchRecord]]) -> None:
    connection, records = built
    refused = {records[case.name].payload_id for case in CASES if not case.rows}
    assert not refused & {key for (key,) in connection.execute("select payload_id from ops.payloads").fetchall()}
    for dataset in {case.dataset for case in CASES}:
        assert not refused & {key for (key,) in connection.execute(f"select distinct _payload_id from raw.{dataset}").fetchall()}
