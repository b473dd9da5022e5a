"""What status codes mean."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestration.hypertracker.answers import api_error, storage_error
from orchestration.hypertracker.errors import (
    BadRequestError,
    ForbiddenError,
    LinkExpiredError,
    NotFoundError,
    QuotaSpentError,
    RateLimitedError,
    ServerError,
    TokenError,
)

NOW = datetime(2026, 3, 24, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError), (401, TokenError), (402, QuotaSpentError), (403, ForbiddenError), (404, NotFoundError),
        (500, ServerError), (503, ServerError), (204, ServerError),
    ],
)  # fmt: skip
def test_each_status_has_one_meaning(status: int, kind: type[Exception]) -> None:
    assert type(api_error(status, {}, b"", NOW)) is kind


@pytest.mark.parametrize(
    ("headers", "body", "wait_s"),
    [
        pytest.param({}, b'{"retry_after": 42}', 42.0, id="body hint"),
        pytest.param({"retry-after": "7"}, b"", 7.0, id="header seconds"),
        pytest.param({"retry-after": "Tue, 24 Mar 2026 10:00:30 GMT"}, b"", 30.0, id="header date"),
        pytest.param({"retry-after": "soon"}, b"", None, id="garbage"),
        pytest.param({"retry-after": "-5"}, b"", None, id="negative"),
        pytest.param({"retry-after": "0"}, b"", 0.0, id="zero"),
        pytest.param({"retry-after": "999999"}, b"", 120.0, id="capped"),
        pytest.param({}, b"", None, id="nothing"),
    ],
)
def test_a_rate_limit_waits_as_long_as_the_server_asks(headers: dict[str, str], body: bytes, wait_s: float | None) -> None:
    error = api_error(429, headers, body, NOW)
    assert isinstance(error, RateLimitedError)
    assert error.wait_s == wait_s


def test_the_documented_rate_limit_body_is_a_wait(samples: Path) -> None:
    error = api_error(429, {}, (samples / "error_429.json").read_bytes(), NOW)
    assert isinstance(error, RateLimitedError)
    assert error.wait_s == 42.0


def test_a_spent_day_is_no_rate_limit() -> None:
    body = json.dumps({"limit": 100, "current": 100, "plan": "FREE"}).encode()
    error = api_error(429, {}, body, NOW)
    assert isinstance(error, QuotaSpentError)
    assert "FREE" in str(error)
    assert "100 of 100" in str(error)


# What a spent quota says: status, headers, body, and the unit, limit, count and seconds that are read from it.
SPENT: dict[str, tuple[int, dict[str, str], bytes, tuple[str, int | None, int | None, float | None]]] = {
    "figures of a day": (429, {"retry-after": "3600"}, b'{"limit": 100, "current": 101}', ("day", 100, 101, 3600)),
    "words": (429, {}, b"daily limit reached", ("day", None, None, None)),
    "402": (402, {}, b"", ("month", None, None, None)),
    "402 with figures": (402, {"retry-after": "60"}, b'{"limit": 5, "current": 5}', ("month", 5, 5, 60)),
    "402 of a day": (402, {}, b'{"error": "daily_limit_exceeded"}', ("day", None, None, None)),
    "429 of a month": (429, {}, b'{"message": "monthly quota", "limit": 5, "current": 5}', ("month", 5, 5, None)),
    "figures that are none": (429, {"retry-after": "0"}, b'{"limit": true, "current": "9"}', ("day", None, None, None)),
    "figures past all numbers": (
        402,
        {"retry-after": "1e300"},
        b'{"limit": 1' + b"0" * 99 + b"}",
        ("month", None, None, 2_678_400),
    ),
}


@pytest.mark.parametrize("case", SPENT, ids=str)
def test_a_spent_quota_tells_what_it_says(case: str) -> None:
    status, headers, body, (unit, limit, current, wait_s) = SPENT[case]
    error = api_error(status, headers, body, NOW)
    assert isinstance(error, QuotaSpentError)
    assert (error.unit, error.limit, error.current) == (unit, limit, current)
    assert error.until == (None if wait_s is None else NOW + timedelta(seconds=wait_s))


def test_storage_that_refuses_a_link_wants_a_fresh_one() -> None:
    assert isinstance(storage_error(403), LinkExpiredError)
    assert isinstance(storage_error(404), NotFoundError)
    assert isinstance(storage_error(500), ServerError)
