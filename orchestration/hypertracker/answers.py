"""What a status code means, by the contract's table of errors. Pure functions over status, headers and a short body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
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

BODY_EXCERPT_CHARS = 160
LONGEST_WAIT_S = 120.0


def api_error(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> HyperTrackerError:
    """The error for an answer of the API host that is neither a body nor a link."""
    says = _excerpt(body)
    if status == 429:
        return _too_many(headers, body, now)
    if status == 402:
        return QuotaSpentError(f"the quota is spent: {says}")
    if status == 401:
        return TokenError(f"the token is not accepted: {says}")
    if status == 403:
        return ForbiddenError(f"this token may not read it: {says}")
    if status == 404:
        return NotFoundError(f"not found: {says}")
    if 400 <= status < 500:
        return BadRequestError(f"the request is refused with status {status}: {says}")
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
    if {"limit", "current"} <= values.keys() or b"daily limit" in body.lower().replace(b"_", b" "):
        plan = f" of plan {values['plan']}" if "plan" in values else ""
        return QuotaSpentError(f"the day's quota{plan} is spent ({values.get('current', '?')} of {values.get('limit', '?')})")
    wait_s = _seconds(values.get("retry_after"), now)
    if wait_s is None:
        wait_s = _seconds(headers.get("retry-after"), now)
    return RateLimitedError("too many requests this minute", wait_s)


def said_time(text: str | None) -> datetime | None:
    """The instant (UTC) of an HTTP date as in `Date` and `Retry-After`; None for what is none."""
    try:
        moment = parsedate_to_datetime(str(text))
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _seconds(hint: Any, now: datetime) -> float | None:
    """A wait from a number, numeric text or an HTTP date; None when it says nothing usable. At most two minutes."""
    try:
        wait_s = float(hint)
    except OverflowError:
        return None
    except (TypeError, ValueError):
        moment = said_time(str(hint))
        if moment is None:
            return None
        wait_s = (moment - now).total_seconds()
    return min(wait_s, LONGEST_WAIT_S) if wait_s >= 0 else None


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _excerpt(body: bytes) -> str:
    text = redact(" ".join(body.decode("utf-8", errors="replace").split()))
    return text[:BODY_EXCERPT_CHARS] or "no text"
