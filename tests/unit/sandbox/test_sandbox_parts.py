"""Clock, plans, pages and command line of the sandbox, without sockets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from sandbox import Fault, SandboxClock, SandboxSettings
from sandbox.__main__ import parse_settings
from sandbox.api.params import cut_page
from sandbox.limits import Meter, Plan, plan_of
from sandbox.times import iso, parse_iso, to_ms

NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)
NOON_MS = to_ms(NOON)


def test_a_manual_clock_stands_still_until_it_is_moved() -> None:
    clock = SandboxClock(NOON, "manual")
    assert clock.now() == NOON
    clock.advance(90)
    assert clock.now() == NOON + timedelta(seconds=90)
    clock.set(NOON - timedelta(days=1))
    assert clock.now() == NOON - timedelta(days=1)


def test_a_running_clock_gains_speed_seconds_a_second() -> None:
    clock = SandboxClock(NOON, "running", speed=1e6)
    first = clock.now()
    assert NOON <= first <= clock.now()


@pytest.mark.parametrize("text", ["1771977600000", "20260225", "yesterday", "2026-13-01"], ids=str)
def test_only_iso_times_are_read(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_iso(text)


def test_times_are_written_as_they_are_read() -> None:
    assert iso(parse_iso("2026-03-24T09:54:30.589Z")) == "2026-03-24T09:54:30.589Z"
    assert iso(parse_iso("2026-03-24")) == "2026-03-24T00:00:00.000Z"


def test_the_minutes_quota_says_how_long_to_wait() -> None:
    meter = Meter(Plan("pulse", per_minute=2))
    assert [meter.charge(NOON_MS + 15_000) is None for _ in range(3)] == [True, True, False]
    refusal = meter.charge(NOON_MS + 15_000)
    assert refusal is not None
    assert (refusal.status, refusal.headers["Retry-After"]) == (429, "45")
    assert meter.charge(NOON_MS + 60_000) is None
    assert meter.usage(NOON_MS + 60_000) == {"plan": "pulse", "minute": 1, "day": 3, "month": 3}


def test_the_days_and_the_months_quota_are_other_refusals() -> None:
    free, paid = Meter(Plan("free", per_day=1)), Meter(Plan("pulse", per_month=1))
    assert free.charge(NOON_MS) is None
    assert paid.charge(NOON_MS) is None
    daily, monthly = free.charge(NOON_MS), paid.charge(NOON_MS)
    assert daily is not None
    assert monthly is not None
    assert (daily.status, monthly.status) == (429, 402)
    assert b'"limit":1,"current":1,"plan":"FREE"' in daily.body
    assert free.charge(NOON_MS + 86_400_000) is None


def test_settings_replace_the_figures_of_a_plan() -> None:
    assert plan_of(SandboxSettings(plan="pulse")) == Plan("pulse", 60, None, 50_000)
    assert plan_of(SandboxSettings(plan="pulse", per_minute=5)).per_minute == 5
    with pytest.raises(ValueError, match="unknown plan"):
        plan_of(SandboxSettings(plan="gold"))


def test_pages_never_part_rows_of_one_time() -> None:
    times = np.array([1, 2, 2, 2, 3])
    assert cut_page(times, None, 2) == (slice(0, 1), 1)
    assert cut_page(times, 1, 2) == (slice(1, 4), 2)
    assert cut_page(times, 2, 2) == (slice(4, 5), None)
    assert cut_page(times[::-1], None, 1, newest_first=True) == (slice(0, 1), 3)


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown fault"):
        Fault("gremlin")


def test_the_command_line_makes_settings() -> None:
    settings = parse_settings(["--coins", "3", "--start", "2026-03-20", "--clock", "manual", "--plan", "free"])
    assert (settings.coins, settings.start, settings.clock) == (3, datetime(2026, 3, 20, tzinfo=UTC), "manual")
    assert parse_settings(["--full"]).coins == 330
    with pytest.raises(SystemExit):
        parse_settings(["--coins", "0"])
