"""Path and query parameters as the contract reads them, and the refusals for what it does not take.

What is done with them belongs to the endpoint modules.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import numpy as np

from sandbox.market.cohorts import COHORTS
from sandbox.market.hashing import Array
from sandbox.times import RECENCIES_MS, iso, parse_iso
from sandbox.wire import Exchange, bad_request, not_found

MAX_PAGE = 1_000


def coin_code(exchange: Exchange, or_delisted: bool = False) -> int:
    """Give the code of the path's coin; 404 where it is not listed, exact case. With `or_delisted` a coin that once was
    listed will do."""
    name, market, now_ms = exchange.args["coin"], exchange.core.market, exchange.state_ms
    code = market.codes.get(name)
    until_ms = now_ms if code is None or not or_delisted else min(now_ms, int(market.listings.until_ms[code]) - 1)
    if code is None or not market.listings.is_listed(code, until_ms):
        raise not_found(f"Coin {name} not found")
    return code


def cohort_id(exchange: Exchange, name: str = "segmentId") -> int:
    """Give the path's cohort id; 400 where it is not one of 1 to 16."""
    return _number_in(exchange.args[name], name, len(COHORTS))


def _number_in(text: str, name: str, highest: int) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= highest:
        raise bad_request(f"{name} must be an integer between 1 and {highest}")
    return int(text)


def bucket_id(exchange: Exchange) -> int:
    """Give the path's size bucket id; 400 where it is not one of 1 to 10."""
    return _number_in(exchange.args["sizeBucketId"], "sizeBucketId", 10)


def moment(exchange: Exchange, name: str) -> int | None:
    """Give an ISO time parameter in epoch milliseconds, None where it is absent; 400 for any other form."""
    text = exchange.param(name)
    if text is None:
        return None
    try:
        return parse_iso(text)
    except ValueError:
        raise bad_request(f"{name} must be a valid ISO 8601 date string") from None


def window(exchange: Exchange, default_start_ms: int | None = None) -> tuple[int, int]:
    """Give `start` and `end`, closed, in epoch milliseconds; `end` defaults to now and reaches no further, a missing
    `start` is 400 unless there is a default."""
    start, end = moment(exchange, "start"), moment(exchange, "end")
    if start is None:
        start = default_start_ms
    if start is None:
        raise bad_request("start should not be empty")
    return start, min(exchange.now_ms, exchange.now_ms if end is None else end)


def limit(exchange: Exchange, default: int = MAX_PAGE, highest: int = MAX_PAGE) -> int:
    """Give the page size; 400 where it is not between 1 and the highest."""
    text = exchange.param("limit")
    return default if text is None else _number_in(text, "limit", highest)


def recency(exchange: Exchange, name: str = "positionRecencyTimeframe") -> str:
    """Give the position age filter, `all` where it is absent; 400 for an unknown one."""
    text = exchange.param(name) or "all"
    if text != "all" and text not in RECENCIES_MS:
        raise bad_request(f"{name} must be one of: all, 24h, 7d, 30d")
    return text


def cursor(exchange: Exchange) -> int | None:
    """Give the time (epoch milliseconds) that `nextCursor` stands for; a parameter named `cursor` is not looked at.

    400 where the signature does not fit.
    """
    text = exchange.param("nextCursor")
    if text is None:
        return None
    payload, _, signature = text.partition(".")
    if not hmac.compare_digest(signature.encode(), _sign(exchange, payload).encode()):
        raise bad_request("nextCursor is invalid")
    return parse_iso(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["createdAt"])


def make_cursor(exchange: Exchange, created_ms: int | None) -> str | None:
    """Give the signed cursor of a page's last row, None after the last page."""
    if created_ms is None:
        return None
    payload = _encode(json.dumps({"createdAt": iso(created_ms)}, separators=(",", ":")).encode())
    return f"{payload}.{_sign(exchange, payload)}"


def _sign(exchange: Exchange, payload: str) -> str:
    return _encode(hmac.new(exchange.core.secret, payload.encode(), hashlib.sha256).digest())


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def cut_page(times_ms: Array, after_ms: int | None, size: int, newest_first: bool = False) -> tuple[slice, int | None]:
    """Give the place of a page in ordered times, and the last row's time where more rows follow.

    The cursor knows the time alone, so rows of equal time are never parted: such a page is a little shorter, or longer
    where one instant has more rows than a page.
    """
    keys = -times_ms if newest_first else times_ms
    sign = -1 if newest_first else 1
    first = 0 if after_ms is None else int(np.searchsorted(keys, sign * after_ms, side="right"))
    last = min(len(keys), first + size)
    if last < len(keys) and keys[last - 1] == keys[last]:
        edge = int(np.searchsorted(keys, keys[last], side="left"))
        last = edge if edge > first else int(np.searchsorted(keys, keys[last], side="right"))
    return slice(first, last), int(times_ms[last - 1]) if last < len(keys) else None
