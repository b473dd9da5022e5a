"""`htw poll`: one slot of each cadence filled, modelled and published.

Belongs here: the command's options, which slot it means, what it prints. Does not: running a job (`runs`), what became of the
slots (`reporting`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.arguments import chosen_datasets, minute_of
from orchestration.console import DONE, FAILED, SLOTS_MISSING, Json, err, out, spoken_errors
from orchestration.hypertracker.endpoint import Dataset
from orchestration.planning.slots import Cadence, is_slot, slot_at
from orchestration.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from orchestration.reporting import DatasetStatus

NOTHING_NOW = "the plan polls nothing now: `htw plan` shows what it polls when; a dataset that is named is asked for all the same"
NO_DATASETS = "HTW_DATASETS is none: this machine polls nothing"


def poll(
    datasets: Annotated[list[str] | None, typer.Argument(help="Datasets; all that HTW_DATASETS names by default.")] = None,
    slot: Annotated[str | None, typer.Option(help="The slot, such as 2026-03-24T10:15Z; by default the one now due.")] = None,
    as_json: Json = False,
) -> None:
    """Fill the slot that is due (or the one named), build what it feeds, publish."""
    with spoken_errors():
        raise typer.Exit(_poll(load_settings(), datasets or [], slot, as_json))


def _poll(settings: Settings, names: list[str], slot: str | None, as_json: bool) -> int:
    from orchestration.definitions import datasets_by_cadence
    from orchestration.reporting import read_status

    chosen, moment = chosen_datasets(settings, names), minute_of("--slot", slot)
    grouped = {c: [d for d in group if d.name in chosen] for c, group in datasets_by_cadence(settings).items()}
    due = {cadence: group for cadence, group in grouped.items() if group}
    for cadence in due:
        _slot_for(settings, cadence, moment)
    statuses, errors = [], []
    for at, group, error in _poll_each(settings, due, moment, bool(names)):
        statuses += read_status(settings.warehouse_file, group, at, at + timedelta(microseconds=1))
        errors += [error] if error else []
    _show(settings, statuses, errors, as_json)
    if errors:
        return FAILED
    return SLOTS_MISSING if any(status.gaps for status in statuses) else DONE


def _poll_each(
    settings: Settings, due: dict[Cadence, list[Dataset]], moment: datetime | None, beyond_plan: bool
) -> Iterator[tuple[datetime, list[Dataset], str]]:
    """Run each cadence's job; the slot polled, its datasets, and what failed. Which slot is due is asked when its turn comes.

    `beyond_plan`: a dataset that somebody names is asked for all that is wished for, whether the plan polls it then or not.
    """
    from orchestration.definitions import build_definitions
    from orchestration.runs import dagster_instance, run_slot
    from warehouse.disk import full_disk_in_words

    definitions = build_definitions(settings)
    with full_disk_in_words(settings.data_dir), dagster_instance(settings) as instance:
        for cadence, group in due.items():
            at = _slot_for(settings, cadence, moment)
            with err.status(f"polling {', '.join(d.name for d in group)} for {at:%Y-%m-%d %H:%M} UTC"):
                result = run_slot(definitions, cadence, at, group, instance, beyond_plan)
            yield at, group, "" if result.succeeded else result.error


def _show(settings: Settings, statuses: Sequence[DatasetStatus], errors: Sequence[str], as_json: bool) -> None:
    from orchestration.reporting import gap_lines, status_json, status_table

    polled = [status for status in statuses if status.scope_count]
    if as_json:
        out.print_json(json.dumps(status_json(statuses), default=str))
    elif polled:
        out.print(status_table(polled))
    else:
        out.print(NOTHING_NOW if settings.wanted_datasets() else NO_DATASETS)
    for line in [*([] if as_json else gap_lines(statuses, datetime.now(UTC))), *errors]:
        err.print(line, markup=False, soft_wrap=True)


def _slot_for(settings: Settings, cadence: Cadence, moment: datetime | None) -> datetime:
    """The slot that is due, or the one of the moment that was named. Raises `SettingsError` for one not to be had."""
    from orchestration.partitions import first_slot

    now = datetime.now(UTC)
    if moment is None:
        return slot_at(cadence, now)
    if not is_slot(cadence, moment):
        raise SettingsError(f"{moment:%Y-%m-%dT%H:%MZ} is no slot of a dataset due {cadence.value}; name the datasets it is for")
    if moment > now:
        raise SettingsError(f"{moment:%Y-%m-%dT%H:%MZ} has not begun yet")
    if moment < (first := first_slot(settings.data_dir, now)):
        raise SettingsError(
            f"{moment:%Y-%m-%dT%H:%MZ} lies before the first slot here, {first:%Y-%m-%d}; `htw backfill` goes further"
        )
    return moment
