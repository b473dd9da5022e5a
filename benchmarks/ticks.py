"""Lines 7, 8 and 12: whole ticks, from due to published, each in a new process as Dagster's runs are; their peaks of memory.

Belongs here: ticks against a sandbox. Does not: Dagster's own cost (`dagster_cost`), ticks with history behind them (`growth`).

A folder begins as dbt has built it, without rows. Every tick is cold: it imports everything anew.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.folders import begin
from benchmarks.measuring import Check, Finding, Size, in_child, stages
from benchmarks.provider import Provider, provider
from orchestration.hypertracker.datasets import DATASETS
from orchestration.modelling import raise_for_failures
from orchestration.pipeline import Pipeline
from orchestration.planning.slots import Cadence

ASKED_AFTER = timedelta(seconds=5)
MARKET, TEN_COINS = "all", "top:10"
MARKET_S, TEN_COINS_S = 90, 30
MARKET_MIB, TEN_COINS_MIB = 1536, 600
STAGES = ("imported", "polled", "loaded", "built", "published")


@dataclass(frozen=True)
class Tick:
    """One tick as its process told it: seconds by stage, rows loaded, peak MiB, MiB written."""

    stages: dict[str, float]
    rows: int
    peak_mib: float
    written_mib: float

    @property
    def seconds(self) -> float:
        return sum(self.stages.values())


class Watched(Pipeline):
    """A pipeline that notes how long loading takes."""

    load_s = 0.0

    def load(self, *given: Any) -> Any:
        begun = time.perf_counter()
        outcomes = super().load(*given)
        self.load_s += time.perf_counter() - begun
        return outcomes


def market_tick(size: Size) -> Finding:
    ticks = _quarters(size)[MARKET]
    return Finding([Check(f"{size.coins} coins", _median_s(ticks), "s", most=MARKET_S)], _said(ticks))


def ten_coin_tick(size: Size) -> Finding:
    ticks = _fives(size)[TEN_COINS]
    return Finding([Check("10 coins", _median_s(ticks), "s", most=TEN_COINS_S)], _said(ticks))


def peaks(size: Size) -> Finding:
    checks = []
    for label, found in (("15 min", _quarters(size)), ("5 min", _fives(size))):
        for coins, most in ((MARKET, MARKET_MIB), (TEN_COINS, TEN_COINS_MIB)):
            peak = max(tick.peak_mib for tick in found[coins])
            checks.append(Check(f"{label}, {'10 coins' if coins == TEN_COINS else 'full market'}", peak, "MiB", most=most))
    return Finding(checks, ["the build of all models, after an upgrade, is not among them"])


@cache
def _quarters(size: Size) -> dict[str, list[Tick]]:
    return _both(size, Cadence.QUARTER_HOUR)


@cache
def _fives(size: Size) -> dict[str, list[Tick]]:
    return _both(size, Cadence.FIVE_MINUTES)


def _both(size: Size, cadence: Cadence) -> dict[str, list[Tick]]:
    with provider(size.coins, size.positions, size.orders) as served:
        found = {}
        for coins in (TEN_COINS, MARKET):
            with tempfile.TemporaryDirectory() as folder:
                found[coins] = _ticks(served, Path(folder), coins, cadence, size.ticks)
            served.set(served.now() + timedelta(hours=1))
        return found


def _ticks(served: Provider, folder: Path, coins: str, cadence: Cadence, count: int) -> list[Tick]:
    begin(folder)
    first = served.now().replace(minute=0, second=0, microsecond=0)
    said = []
    for number in range(count):
        slot = first + number * cadence.step
        served.set(slot + ASKED_AFTER)
        said.append(in_child("ticks", served.api_url, served.token, folder, coins, cadence.name, slot.isoformat()))
    return [Tick(answer["stages"], answer["rows"], answer["peak_mib"], answer["written_mib"]) for answer in said]


def main(api_url: str, token: str, folder: str, coins: str, cadence: str, slot: str) -> dict[str, Any]:
    """One tick in this process."""
    begun = time.clock_gettime(time.CLOCK_BOOTTIME)
    pipeline = Provider(api_url, token).pipeline(Path(folder), coins, Watched)
    return tick(pipeline, Cadence[cadence], datetime.fromisoformat(slot), begun - _started_at())


def tick(pipeline: Watched, cadence: Cadence, slot: datetime, imported_s: float) -> dict[str, Any]:
    """Poll everything of a cadence, build what it feeds, publish. Raises where a model fails or nothing arrives."""
    datasets = [dataset for dataset in DATASETS if dataset.cadence is cadence]
    marks = [time.perf_counter()]
    outcomes = pipeline.poll(datasets, slot)
    marks.append(time.perf_counter())
    raise_for_failures(pipeline.build([f"stg_{dataset.name}+" for dataset in datasets]))
    marks.append(time.perf_counter())
    pipeline.publish()
    marks.append(time.perf_counter())
    asked, built, published = (later - earlier for earlier, later in pairwise(marks))
    verdicts = Counter(outcome.judgement.verdict.value for outcome in outcomes)
    if not verdicts["loaded"]:
        raise RuntimeError(f"nothing arrived: {verdicts}")
    times = (imported_s, asked - pipeline.load_s, pipeline.load_s, built, published)
    rows = sum(outcome.judgement.row_count for outcome in outcomes)
    return {"stages": dict(zip(STAGES, times, strict=True)), "rows": rows, "verdicts": dict(verdicts)}


def _started_at() -> float:
    """When this process began, on the clock that counts since boot."""
    ticks = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    return int(ticks) / os.sysconf("SC_CLK_TCK")


def _median_s(ticks: Sequence[Tick]) -> float:
    return median(tick.seconds for tick in ticks)


def _said(ticks: Sequence[Tick]) -> list[str]:
    return [
        stages(f"{tick.rows:,} rows, {tick.written_mib:.0f} MiB written, a peak of {tick.peak_mib:.0f} MiB", tick.stages)
        for tick in ticks
    ]
