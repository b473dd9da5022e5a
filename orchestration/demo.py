"""A market day in miniature: the real pipeline over real sockets against the sandbox, faults included.

Belongs here: the script of the demo and what it prints. Does not: anything the pipeline does. The sandbox's clock is moved from
slot to slot, so that a day of slots takes minutes; the pipeline reads that clock.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import SecretStr
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from orchestration.clock import SteppedClock
from orchestration.definitions import build_definitions, datasets_by_cadence
from orchestration.division import Landing
from orchestration.planning.slots import Cadence, is_slot
from orchestration.reporting import gap_lines, read_status, status_table
from orchestration.runs import RunResult, dagster_instance, run_slot
from orchestration.settings import DEMO_MARKER, LOCAL, SQLITE, Settings, load_settings
from orchestration.tables import frame_table
from warehouse.query import query

DAY = datetime(2026, 3, 24, tzinfo=UTC)
COINS = "BTC,ETH,xyz:GOLD,NOSUCHCOIN"
BEGUN_AFTER = timedelta(seconds=5)
TICKS_AT = ("00:00", "00:15", "04:00")

QUESTIONS = (
    (
        "BTC by wallet cohort, size axis (fct_cohort_metrics)",
        """select c.cohort_name, m.position_count, m.gross_value_usd, m.long_fraction, m.near_liquidation_value_usd
           from fct_cohort_metrics m join dim_cohort c using (cohort_id)
           where m.coin = 'BTC' and m.dataset = 'breakdown_by_cohort_export' and m.axis = 'size' and c.valid_to_at is null
             and m.snapshot_at = (select max(snapshot_at) from fct_cohort_metrics
                                  where coin = 'BTC' and dataset = 'breakdown_by_cohort_export')
           order by c.sort_order""",
    ),
    (
        "BTC by position size, with the change since the past reading (fct_size_bucket_metrics)",
        """select b.label, m.position_count, m.position_count - m.past_position_count as change,
                  m.gross_value_usd, m.long_fraction
           from fct_size_bucket_metrics m join dim_size_bucket b using (size_bucket_id)
           where m.coin = 'BTC' and m.snapshot_at = (select max(snapshot_at) from fct_size_bucket_metrics where coin = 'BTC')
           order by m.size_bucket_id""",
    ),
    (
        "ETH: the five price ranges with most to liquidate (fct_liquidation_heatmap)",
        """select snapshot_at, price_from, price_to, liquidation_value_usd, position_count
           from fct_liquidation_heatmap
           where coin = 'ETH' and snapshot_at = (select max(snapshot_at) from fct_liquidation_heatmap where coin = 'ETH')
           order by liquidation_value_usd desc limit 5""",
    ),
)


@dataclass(frozen=True)
class Tick:
    """One slot of one cadence, with the faults planted before it."""

    cadence: Cadence
    slot: datetime
    faults: Sequence[dict[str, Any]] = ()


def run_demo(folder: str, seed: int, out: Console) -> int:
    """Run the day into `folder` and print what it gave. 0 when every question has an answer, else 1."""
    from sandbox import SandboxSettings, running_sandbox

    data_dir = _emptied(Path(folder).absolute())
    sizes = SandboxSettings(coins=12, positions=2400, orders=1500, seed=seed, start=DAY, clock="manual")
    with running_sandbox(sizes) as sandbox:
        settings = demo_settings(data_dir, sandbox.api_url, sandbox.token)
        clock = SteppedClock(sandbox.clock.now, sandbox.clock.set)
        out.print(f"sandbox at {sandbox.api_url}: 12 coins, 2,400 positions, 1,500 orders; asking for {COINS}", markup=False)
        failed = _run_day(settings, clock, sandbox, out)
        now = clock.now()
    return _tell(settings, now, failed, out)


def demo_settings(data_dir: Path, api_url: str, token: str) -> Settings:
    """Those of a demo, alone in its folder, whatever else is set."""
    return load_settings(
        api_url=api_url, api_token=SecretStr(token), data_dir=data_dir, coins=COINS, plan="1000000/day", datasets="all",
        warehouse_url=None, lake_url=None, lake_data=None, landing=Landing.HERE, dagster_storage=SecretStr(SQLITE),
        code_server="", run_launcher=LOCAL,
    )  # fmt: skip


def ticks() -> Iterator[Tick]:
    """The day's ticks: every cadence where it is due, the daemon away between 00:15 and 04:00."""
    for time in TICKS_AT:
        slot = datetime.fromisoformat(f"{DAY:%Y-%m-%d}T{time}+00:00")
        for cadence in Cadence:
            if is_slot(cadence, slot):
                yield Tick(cadence, slot, tuple(_faults(cadence, time)))


def _faults(cadence: Cadence, time: str) -> Iterator[dict[str, Any]]:
    """What goes wrong: errors that retries heal, a payload that is no data, an expired link, a moving state, a broken export."""
    quarter, two_hours, five = Cadence.QUARTER_HOUR, Cadence.TWO_HOURS, Cadence.FIVE_MINUTES
    if (cadence, time) == (quarter, "00:15"):
        yield {"kind": "status", "path": "/positions/coins", "status": 503, "count": 2}
        yield {"kind": "html", "path": "/positions/open/coin/ETH", "count": 1}
        yield {"kind": "rollover", "path": "/positions/open/coin/BTC", "count": 1}
    if (cadence, time) == (five, "00:15"):
        yield {"kind": "expired", "path": "orders", "leg": "storage", "count": 1}
    if (cadence, time) == (two_hours, "00:00"):
        yield {"kind": "wrong_columns", "path": "coins/ETH/position-metrics", "leg": "storage", "count": 1}


def _run_day(settings: Settings, clock: SteppedClock, sandbox: Any, out: Console) -> list[str]:
    from sandbox import Fault

    definitions, grouped = build_definitions(settings, clock), datasets_by_cadence(settings)
    day, failed = list(ticks()), []
    bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=out)
    with bar, dagster_instance(settings) as instance:
        task = bar.add_task("market day", total=len(day))
        for tick in day:
            bar.update(task, description=f"{tick.slot:%H:%M} every {tick.cadence.label.replace('_', ' '):10}")
            clock_at = tick.slot + BEGUN_AFTER
            if clock_at > clock.now():
                sandbox.clock.set(clock_at)
            for fault in tick.faults:
                sandbox.faults.add(Fault(**fault))
            result = _run_tick(definitions, tick, grouped, instance)
            failed += [] if result.succeeded else [f"{tick.slot:%H:%M} {tick.cadence.label}: {result.error}"]
            bar.advance(task)
    return failed


def _run_tick(definitions: dg.Definitions, tick: Tick, grouped: dict[Cadence, Any], instance: dg.DagsterInstance) -> RunResult:
    return run_slot(definitions, tick.cadence, tick.slot, grouped[tick.cadence], instance)


def _tell(settings: Settings, now: datetime, failed: Sequence[str], out: Console) -> int:
    answered = True
    for title, sql in QUESTIONS:
        frame = query(settings.published_file, sql)
        answered = answered and len(frame) > 0
        out.print(frame_table(frame, title))
    statuses = read_status(settings.warehouse_file, settings.wanted_datasets(), DAY, now)
    out.print("What arrived, slot by slot and coin by coin")
    out.print(status_table(statuses))
    out.print("What is missing, and why")
    for line in [*gap_lines(statuses, now), *failed]:
        out.print(f"  {line}", markup=False, soft_wrap=True)
    _next_steps(settings, out)
    return 0 if answered else 1


def _next_steps(settings: Settings, out: Console) -> None:
    where = f"HTW_DATA_DIR={_shown(settings.data_dir)}"
    out.print(f"\nThe published copy: {_shown(settings.published_file)} (open it with DuckDB, or any tool that reads DuckDB)")
    out.print("Try next:")
    for command in (
        f"{where} .venv/bin/htw tables     # what there is to read; then htw describe TABLE",
        f"{where} .venv/bin/htw query \"select * from latest_cohorts where coin = 'BTC' and axis = 'size'\"",
        f"{where} .venv/bin/htw status --until 2026-03-24T04:05Z --hours 5     # what arrived and what did not, as a picture",
        f"{where} .venv/bin/htw rebuild     # everything again, from the kept bytes alone",
        "make dev                      # the Dagster UI with schedules running, against a sandbox",
    ):
        out.print(f"  {command}", markup=False, soft_wrap=True)


def _emptied(folder: Path) -> Path:
    """Only a folder that is empty, or that an earlier demo made, is emptied."""
    if folder.exists() and any(folder.iterdir()) and not (folder / DEMO_MARKER).exists():
        raise OSError(f"{folder} holds something else than a demo; name another with --folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / DEMO_MARKER).touch()
    return folder


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
