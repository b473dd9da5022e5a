"""A healing or backfill from the command line: its means, its progress, its end.

Belongs here: running errands with a bar, and reading what was wished for. Does not: what is lacking (`filling`), words
(`filling_report`), options (`filling_commands`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from orchestration.console import DONE, SLOTS_MISSING, err, out
from orchestration.filling import Wanted, run_errands
from orchestration.filling_report import Means, outcome_line
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.partitions import raw_key, slot_key
from orchestration.pipeline import Outcome, Pipeline, is_answered
from orchestration.plan_in_force import live_demand
from orchestration.planning.errands import Errand
from orchestration.runs import dagster_instance
from orchestration.settings import Settings, SettingsError

TIME_FORMS = ("%Y-%m-%d", "%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%H:%M:%SZ")


def means_of(pipeline: Pipeline) -> Means:
    """What the plan in force leaves for backfill."""
    limits, demand = pipeline.settings.plan_limits(), live_demand(pipeline.probable_plan())
    return Means(limits, pipeline.left_for_backfill(), limits.per_day - demand.perishable_a_day - demand.freshness_a_day)


def run(pipeline: Pipeline, errands: Sequence[Errand], missing: int, as_json: bool) -> int:
    """Run errands with a bar. 0 when nothing of `missing` is left, 3 when something is."""
    if not errands:
        return SLOTS_MISSING
    outcomes: list[Outcome] = []
    with Progress(
        TextColumn("asking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=err, transient=True
    ) as bar:
        task = bar.add_task("", total=sum(len(errand.scopes) for errand in errands))
        for batch in run_errands(pipeline, errands, lambda _: bar.advance(task)):
            outcomes += batch
    arrived = {(o.record.dataset, o.record.slot) for o in outcomes if is_answered(o)}
    _mark(pipeline.settings, arrived)
    if not as_json:
        say([outcome_line(outcomes)])
    filled = {(errand.dataset, errand.slot) for errand in errands} & arrived
    is_whole = len(filled) == len(errands) == missing and all(map(is_answered, outcomes))
    if not is_whole and not as_json:
        say(["some slots are missing still: `htw status` says why; the same command goes on where this one ended"])
    return DONE if is_whole else SLOTS_MISSING


def _mark(settings: Settings, arrived: set[tuple[str, datetime]]) -> None:
    """Show in the Dagster UI what arrived."""
    with dagster_instance(settings) as instance:
        for dataset, slot in sorted(arrived):
            instance.report_runless_asset_event(dg.AssetMaterialization(raw_key(dataset), partition=slot_key(slot)))


def wanted_of(pipeline: Pipeline, settings: Settings, name: str, span: tuple[str, str | None]) -> Wanted:
    """What a command line wishes for. Raises `SettingsError` for a dataset, a time or coins that are not known."""
    if name not in BY_NAME:
        raise SettingsError(f"{name}: no such dataset; known are {', '.join(sorted(BY_NAME))}")
    (start, end), dataset, now = span, BY_NAME[name], pipeline.clock.now()
    first, last = _moment("--from", start), _moment("--to", end) if end else now + timedelta(microseconds=1)
    if first >= last:
        raise SettingsError(f"--from {start} is not before --to {end or 'now'}")
    scopes = dataset.scopes(settings.wanted_coins(pipeline.listed_coins()))
    if not scopes:
        raise SettingsError("no coin is known yet; name some with --coins BTC,ETH, or run `htw poll coins` first")
    return Wanted(dataset, tuple(scopes), first, last)


def _moment(option: str, text: str) -> datetime:
    for form in TIME_FORMS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise SettingsError(f"{option} {text} is no UTC time such as 2026-03-20 or 2026-03-20T10:15Z")


def say(lines: Iterable[str]) -> None:
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)
