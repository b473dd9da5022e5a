"""The budget shared by real processes that ask a sandbox over real sockets: together they never send one request too many."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestration.budget import Budget
from orchestration.clock import SystemClock
from orchestration.planning.plans import parse_plan
from sandbox import Sandbox, SandboxSettings, running_sandbox
from tests.integration.processes import python_process

NOON = datetime(2026, 3, 26, 12, tzinfo=UTC)
SIZES: dict[str, Any] = {"start": NOON, "coins": 2, "positions": 20, "orders": 10}
PROCESSES = 8
FIFTEEN_TIMES = 15.0
# Asks on and on, four at a time, until it is refused; then says what it counted and what refused it.
ASKING = """
    print("here", flush=True)
    import asyncio, contextlib, io, json, sys, time
    from datetime import datetime, timedelta
    from pathlib import Path
    from pydantic import SecretStr
    from orchestration.budget import Budget
    from orchestration.hypertracker.client import ApiAccess, Client
    from orchestration.hypertracker.tally import Bounds, Tally
    from orchestration.hypertracker.datasets import BY_NAME
    from orchestration.hypertracker.errors import HyperTrackerError
    from orchestration.planning.plans import parse_plan

    file, url, token, plan, start, began_s, speed, deadline_s = sys.argv[1:]

    class SandboxTime:
        def now(self):
            return datetime.fromisoformat(start) + timedelta(seconds=(time.time() - float(began_s)) * float(speed))

        async def wait_until(self, moment):
            while (left := (moment - self.now()).total_seconds()) > 0:
                await asyncio.sleep(left / float(speed))

    class Body(io.BytesIO):
        finish = io.BytesIO.getvalue

    class Bodies:
        def new_body(self):
            return contextlib.nullcontext(Body())

        def begun(self):
            return ()

    async def ask_on(client, tally):
        try:
            while True:
                await client.fetch(BY_NAME["segments"], "", clock.now(), Bodies(), tally)
        except HyperTrackerError as error:
            return type(error).__name__

    async def main():
        bounds, tally = Bounds(deadline_s=float(deadline_s), attempts=1), Tally()
        budget = Budget(Path(file), parse_plan(plan), clock)
        async with Client(ApiAccess(url, SecretStr(token)), bounds, budget) as client:
            errors = await asyncio.gather(*(ask_on(client, tally) for _ in range(4)))
        print(json.dumps({"requests": tally.requests, "errors": sorted(set(errors))}), flush=True)

    clock = SandboxTime()
    sys.stdin.readline()
    asyncio.run(main())
"""


@dataclass(frozen=True)
class Asked:
    """Requests that a process counted, and the errors that ended it."""

    requests: int
    errors: list[str]


class Askers:
    """Processes that ask one sandbox and share one budget, in the sandbox's time."""

    def __init__(self, sandbox: Sandbox, file: Path, plan: str, speed: float = 1.0) -> None:
        self._sandbox, self._file, self._plan, self._speed = sandbox, file, plan, speed
        self._began_s = time.time() - (sandbox.clock.now() - NOON).total_seconds() / speed

    def together(self, count: int, deadline_s: float) -> list[Asked]:
        """What each of so many processes says that begin at once."""
        given = (self._sandbox.api_url, self._sandbox.token, self._plan, NOON.isoformat(), self._began_s, self._speed, deadline_s)
        with ExitStack() as stack:
            children = [stack.enter_context(python_process(ASKING, self._file, *given)) for _ in range(count)]
            for child in children:
                tell(child)
            return [Asked(**json.loads(heard(child))) for child in children]

    @property
    def statuses(self) -> Counter[int]:
        """The answers of the sandbox so far."""
        return Counter(request.status for request in self._sandbox.requests())


def tell(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()


def heard(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline()


def test_eight_processes_together_send_exactly_what_the_plan_has(tmp_path: Path) -> None:
    limits = SandboxSettings(**SIZES, speed=FIFTEEN_TIMES, per_minute=120, per_day=200)
    file, plan = tmp_path / "budget.sqlite", "200/day,120/minute"
    with running_sandbox(limits) as sandbox:
        askers = Askers(sandbox, file, plan, FIFTEEN_TIMES)
        asked = askers.together(PROCESSES, deadline_s=60)
        assert askers.statuses == {200: 200}
        assert sandbox.usage()["day"] == 200
        by_minute = Counter(f"{request.time:%H:%M}" for request in sandbox.requests())
    assert {error for process in asked for error in process.errors} == {"QuotaSpentError"}
    assert sum(process.requests for process in asked) == 200
    assert sum(Budget(file, parse_plan(plan), SystemClock()).spent_in(NOON.date()).values()) == 200
    assert max(by_minute.values()) <= 120


# What the provider allows, how it says no, and how that ends the process that hears it and the one after it.
CLOSINGS = {
    "the day's 429": ({"per_day": 2}, 429, "QuotaSpentError"),
    "402": ({"per_month": 2}, 402, "QuotaSpentError"),
}


@pytest.mark.proves("402", sees="no process asks again")
@pytest.mark.proves("429-day", sees="no process asks again")
@pytest.mark.parametrize("case", CLOSINGS, ids=str)
def test_a_spent_quota_is_closed_for_the_next_process_without_another_request(tmp_path: Path, case: str) -> None:
    limits, status, error = CLOSINGS[case]
    with running_sandbox(SandboxSettings(**SIZES, **limits)) as sandbox:
        askers = Askers(sandbox, tmp_path / "budget.sqlite", "1000/day")
        assert askers.together(1, deadline_s=10)[0].errors == [error]
        before = askers.statuses
        assert (before[200], set(before)) == (2, {200, status})
        assert askers.together(1, deadline_s=10) == [Asked(0, [error])]
        assert askers.statuses == before


@pytest.mark.proves("429-storm", sees="nothing: processes wait for each other's limits too")
def test_a_429_of_the_minute_keeps_the_next_process_quiet(tmp_path: Path) -> None:
    with running_sandbox(SandboxSettings(**SIZES, per_minute=2)) as sandbox:
        askers = Askers(sandbox, tmp_path / "budget.sqlite", "1000/day")
        assert "RateLimitedError" in askers.together(1, deadline_s=1)[0].errors
        before = askers.statuses
        assert set(before) == {200, 429}
        assert askers.together(1, deadline_s=0.5) == [Asked(0, ["TransportError"])]
        assert askers.statuses == before
