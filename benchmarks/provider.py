"""A sandbox in a process of its own, whose clock is moved by hand: what ticks, polls and backfills ask.

Belongs here: starting it, its clock, settings that point to it. Does not: asking it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import httpx
from pydantic import SecretStr

from benchmarks.measuring import REPOSITORY
from orchestration.clock import SteppedClock
from orchestration.pipeline import Pipeline
from orchestration.settings import load_settings

START = datetime(2026, 3, 26, tzinfo=UTC)
P = TypeVar("P", bound=Pipeline)
PLAN = "100000000/day"
PATIENCE_S = 120.0


@dataclass
class Provider:
    """Where it listens, and what its clock shows: it stands still unless this process, or one that it waits for, moves it."""

    api_url: str
    token: str
    moment: datetime | None = None

    def now(self) -> datetime:
        if self.moment is None:
            answer = httpx.get(f"{self.api_url}/_sandbox/clock", timeout=PATIENCE_S)
            self.moment = datetime.fromisoformat(answer.json()["now"])
        return self.moment

    def set(self, moment: datetime) -> None:
        self.moment = moment.astimezone(UTC)
        text = self.moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        httpx.put(f"{self.api_url}/_sandbox/clock", json={"now": text}, timeout=PATIENCE_S).raise_for_status()

    def pipeline(self, data_dir: Path, coins: str, kind: type[P] = Pipeline) -> P:  # type: ignore[assignment]  # the default is one
        settings = load_settings(
            api_url=self.api_url, api_token=SecretStr(self.token), coins=coins, plan=PLAN, data_dir=data_dir, warehouse_url=None,
            datasets="all",
        )  # fmt: skip
        return kind(settings, SteppedClock(self.now, self.set))


@contextmanager
def provider(coins: int, positions: int, orders: int, start: datetime = START) -> Iterator[Provider]:
    """Serve a market of this size, standing still at `start`, until the block ends."""
    sizes = ["--coins", str(coins), "--positions", str(positions), "--orders", str(orders)]
    times = ["--clock", "manual", "--start", f"{start:%Y-%m-%dT%H:%M:%SZ}", "--link-life-s", "3600"]
    command = [sys.executable, "-m", "sandbox", *sizes, *times]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            said = dict(child.stdout.readline().split(maxsplit=1) for _ in range(3))
            yield Provider(said["api"].strip(), said["token"].strip())
        finally:
            child.terminate()
