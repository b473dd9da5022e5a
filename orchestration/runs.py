"""Running Dagster jobs in this process: what `htw poll`, the demo and tests do.

Belongs here: launching a cadence's job for one slot. Does not: what the job does (`jobs`, `assets`).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import yaml  # type: ignore[import-untyped]
from filelock import FileLock

from orchestration.assets.raw_datasets import BEYOND_PLAN
from orchestration.hypertracker.endpoint import Dataset
from orchestration.jobs import job_name
from orchestration.partitions import raw_key, slot_key
from orchestration.planning.slots import Cadence
from orchestration.reconciler import live_run
from warehouse.disk import DISK_FULL, says_disk_full
from warehouse.small_files import read_small, write_durably

UNTOLD = "the run failed; its log is in the Dagster UI"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class RunResult:
    """How a run ended; `error` is the message of the first step that failed."""

    succeeded: bool
    error: str = ""


def run_slot(
    definitions: dg.Definitions,
    cadence: Cadence,
    slot: datetime,
    datasets: Sequence[Dataset],
    instance: dg.DagsterInstance,
    beyond_plan: bool = False,
) -> RunResult:
    """Poll the datasets (of one cadence) at a slot, build what they feed and publish, as the schedule would; `beyond_plan` for
    every scope that is wished for, whether the plan polls it then or not."""
    job = definitions.resolve_job_def(job_name(cadence))
    raw = dg.AssetSelection.assets(*(raw_key(dataset.name) for dataset in datasets))
    keys = (raw | raw.downstream()).resolve(definitions.resolve_asset_graph())
    run_id = str(uuid.uuid4())
    with live_run(instance, run_id):
        outcome = job.execute_in_process(
            partition_key=slot_key(slot), asset_selection=sorted(keys), instance=instance, raise_on_error=False,
            run_config=QUIET, run_id=run_id, tags={BEYOND_PLAN: "yes"} if beyond_plan else {},
        )  # fmt: skip
    return RunResult(outcome.success, "" if outcome.success else first_error(outcome.all_events) or UNTOLD)


def dagster_instance(home: Path) -> dg.DagsterInstance:
    """The instance below the data folder, shared with the services, so that the UI shows these runs too."""
    write_dagster_config(home)
    with FileLock(home / "starting.lock"):
        instance = dg.DagsterInstance.from_config(str(home))
        # Each makes its tables when it is first asked for: two processes must not do that at once.
        _ = instance.run_storage, instance.event_log_storage, instance.schedule_storage
    return instance


def write_dagster_config(home: Path) -> None:
    """Give a new Dagster home its configuration; an existing one is left alone, one that cannot be read is kept aside."""
    home.mkdir(parents=True, exist_ok=True)
    target = home / "dagster.yaml"
    if read_small(target, _mapping, home) is None:
        write_durably(target, (Path(__file__).parent / "dagster.yaml").read_text("utf-8"))


def _mapping(text: str) -> dict[str, Any]:
    try:
        return dict(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ValueError("no YAML") from error


def first_error(events: Iterable[dg.DagsterEvent]) -> str:
    """The message of the first step that failed; empty where none did."""
    for data in (event.step_failure_data for event in events if event.is_step_failure):
        if data.user_failure_data is not None and data.user_failure_data.description:
            return data.user_failure_data.description
        if data.error is not None:
            cause = data.error.cause or data.error
            message = cause.message.strip().removeprefix(f"{cause.cls_name}: ")
            return DISK_FULL if says_disk_full(data.error.to_string()) else message
    return ""
