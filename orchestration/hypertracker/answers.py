"""What a status code means, by the contract's table of errors. Pure functions over status, headers and a short body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from orchestration.hypertracker.errors import (
    BadRequestError,
    ForbiddenError,
    HyperTrackerError,
    LinkExpiredError,
    NotFoundError,
    QuotaSpentError,
    RateLimitedError,
    ServerError,
    TokenError,
)
from orchestration.hypertracker.redaction import redact
from orchestration.planning.windows import Unit

BODY_EXCERPT_CHARS = 300
LONGEST_WAIT_S = 120.0
LONGEST_CLOSING_S = 31 * 86_400.0
LARGEST_FIGURE = 10**12


def api_error(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> HyperTrackerError:
    """The error for an answer of the API host that is neither a body nor a link."""
    says = _excerpt(body)
    if status == 429:
        return _too_many(headers, body, now)
    if status == 402:
        return _quota_spent(f"the quota is spent: {says}", "month", headers, body, now)
    if status == 401:
        return TokenError(f"the token is not accepted: {says}")
    if status == 403:
        return ForbiddenError(f"{ForbiddenError.says}: {says}")
    if status == 404:
        return NotFoundError(f"not found: {says}")
    if 400 <= status < 500:
        return BadRequestError(f"{BadRequestError.says} {status}: {says}")
    if 300 <= status < 400:
        return ServerError(f"the API redirects with status {status} and does not say where")
    return ServerError(f"the API answers with status {status}: {says}")


def storage_error(status: int) -> HyperTrackerError:
    """The error for an answer of a storage host; its body may quote the signature, so it is not repeated."""
    if status in (400, 401, 403):
        return LinkExpiredError(f"storage refuses the link with status {status}")
    if status == 404:
        return NotFoundError("storage does not have the file")
    return ServerError(f"storage answers with status {status}")


def _too_many(headers: Mapping[str, str], body: bytes, now: datetime) -> HyperTrackerError:
    values = _json_object(body)
    if {"limit", "current"} <= values.keys() or b"daily limit" in _plain(body):
        plan = f" of plan {values['plan']}" if "plan" in values else ""
        says = f"the day's quota{plan} is spent ({values.get('current', '?')} of {values.get('limit', '?')})"
        return _quota_spent(says, "day", headers, body, now)
    wait_s = _asked_wait(values, headers, now)
    return RateLimitedError("too many requests this minute", None if wait_s is None else min(wait_s, LONGEST_WAIT_S))


def _quota_spent(says: str, unit: Unit, headers: Mapping[str, str], body: bytes, now: datetime) -> QuotaSpentError:
    """With the figures of the body; its words, where they name the day or the month, go before the status."""
    values, text = _json_object(body), _plain(body)
    words: tuple[tuple[Unit, bytes], ...] = (("day", b"daily"), ("month", b"month"))
    named = [name for name, word in words if word in text]
    wait_s = _asked_wait(values, headers, now)
    until = now + timedelta(seconds=min(wait_s, LONGEST_CLOSING_S)) if wait_s else None
    return QuotaSpentError(
        says, named[0] if len(named) == 1 else unit, _figure(values.get("limit")), _figure(values.get("current")), until
    )


def _asked_wait(values: Mapping[str, Any], headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait by the body, else by the header; None where neither says."""
    wait_s = _seconds(values.get("retry_after"), now)
    return _seconds(headers.get("retry-after"), now) if wait_s is None else wait_s


def _figure(value: Any) -> int | None:
    """A count of requests; None for what is none."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 <= value <= LARGEST_FIGURE else None


def _plain(body: bytes) -> bytes:
    return body.lower().replace(b"_", b" ")


def said_time(text: str | None) -> datetime | None:
    """The instant (UTC) of an HTTP date as in `Date` and `Retry-After`; None for what is none."""
    try:
        moment = parsedate_to_datetime(str(text))
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _seconds(hint: Any, now: datetime) -> float | None:
    """A wait from a number, numeric text or an HTTP date; None when it says nothing usable."""
    try:
        wait_s = float(hint)
    except OverflowError:
        return None
    except (TypeError, ValueError):
        moment = said_time(str(hint))
        if moment is None:
            return None
        wait_s = (moment - now).total_seconds()
    return wait_s if wait_s >= 0 else None


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _excerpt(body: bytes) -> str:
    text = redact(" ".join(body.decode("utf-8", errors="replace").split()))
    return text[:BODY_EXCERPT_CHARS] or "no text"
