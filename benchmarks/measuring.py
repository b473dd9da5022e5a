"""How things are measured: seconds, turns, peaks of memory, and what a finding consists of.

Belongs here: values and clocks. Does not: what is measured (a module a group of lines), how it is shown (`report`).

Times of different moments on a shared machine say little, so two things are compared within one run, taking turns at being first:
whoever goes second finds everything warm.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

REPOSITORY = Path(__file__).parents[1]
Work = Callable[[], object]


@dataclass(frozen=True)
class Size:
    """How much is measured: `FULL` is what counts, `QUICK` only shows that the harness runs."""

    name: str
    runs: int
    coin_rows: int
    market_rows: int
    order_rows: int
    export_rows: int
    coins: int
    positions: int
    orders: int
    ticks: int
    slots_of_a_stretch: int
    history_days: int
    history_coins: int
    snapshots_of_positions: int
    growth_days: tuple[int, int]
    backfill_slots: tuple[int, int]
    publishes: int
    idle_runs: int


FULL = Size(
    "full", runs=5, coin_rows=31_000, market_rows=210_000, order_rows=350_000, export_rows=100_000, coins=330,
    positions=210_000, orders=350_000, ticks=2, slots_of_a_stretch=24, history_days=90, history_coins=330,
    snapshots_of_positions=25, growth_days=(7, 90), backfill_slots=(96, 190), publishes=300, idle_runs=3,
)  # fmt: skip
QUICK = Size(
    "quick", runs=1, coin_rows=1_000, market_rows=2_000, order_rows=2_000, export_rows=1_000, coins=4,
    positions=400, orders=400, ticks=1, slots_of_a_stretch=2, history_days=2, history_coins=3,
    snapshots_of_positions=25, growth_days=(1, 2), backfill_slots=(2, 4), publishes=2, idle_runs=1,
)  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One figure against its bound; without a bound it only informs, without a figure it could not be taken."""

    what: str
    value: float | None
    unit: str
    most: float | None = None
    least: float | None = None
    why_not: str = ""

    @property
    def is_bounded(self) -> bool:
        return (self.most, self.least) != (None, None)

    @property
    def is_met(self) -> bool:
        if self.value is None:
            return False
        return (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)


@dataclass(frozen=True)
class Finding:
    """What measuring one line gave: figures, and stages or words that explain them (Markdown)."""

    checks: Sequence[Check]
    notes: Sequence[str] = field(default=())


def seconds(work: Work) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def by_turns(pair: Callable[[bool], tuple[float, float]], runs: int) -> list[tuple[float, float]]:
    """Runs of a comparison, which is told whether ours goes first this time."""
    return [pair(run % 2 == 0) for run in range(runs)]


def in_order(ours: Work, theirs: Work, ours_first: bool) -> tuple[float, float]:
    """Seconds for ours and for theirs, in whichever order."""
    first, second = [seconds(work) for work in ((ours, theirs) if ours_first else (theirs, ours))]
    return (first, second) if ours_first else (second, first)


def ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """The median of the runs' ratios, ours by theirs."""
    return median(a / b for a, b in pairs)


def spread(pairs: Sequence[tuple[float, float]]) -> str:
    """Both sides in words: medians, and the ratios' ends."""
    ours, theirs = median(a for a, _ in pairs), median(b for _, b in pairs)
    ratios = sorted(a / b for a, b in pairs)
    return f"{ours:.3g} s against {theirs:.3g} s; ratios {ratios[0]:.2f} to {ratios[-1]:.2f} over {len(pairs)} runs"


def in_child(module: str, *arguments: object, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What a module says when run as a process of its own: the JSON of its last line, and `peak_mib` of that process."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("HTW_")}
    command = [sys.executable, "-m", "benchmarks.child", module, *map(str, arguments)]
    said = subprocess.run(
        command, cwd=REPOSITORY, env={**outside, "PYTHONPATH": str(REPOSITORY), **(environment or {})}, check=True,
        stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    return answer


def stages(title: str, parts: Mapping[str, float]) -> str:
    """Seconds by stage as one line."""
    return f"{title}: " + ", ".join(f"{name} {value:.2f} s" for name, value in parts.items())
