"""Running Dagster jobs in this process: what `htw poll`, the demo and tests do.

Belongs here: launching a cadence's job for one slot. Does not: what the job does (`jobs`, `assets`).
"""

from __future__ import annotations

import signal
import threading
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
from orchestration.run_launchers import PACKAGES, launcher_block, require_launcher
from orchestration.settings import Settings, SettingsError
from warehouse.connection import refuse_network_disk
from warehouse.disk import DISK_FULL, says_disk_full
from warehouse.small_files import read_small, write_durably

UNTOLD = "the run failed; its log is in the Dagster UI"
MODULE = "orchestration.definitions"
# Names the storage of runs, of the event log and of schedules; where it is, and its password, it has from the settings.
IN_POSTGRES = """storage:
  custom:
    module: orchestration.dagster_storage
    class: PostgresStorage
"""
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
    hear_termination()
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


def hear_termination() -> None:
    """Let SIGTERM end this process. Dagster's import gives it the handler of SIGINT, which a script's `&` has switched off."""
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def dagster_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance of the data folder, shared with the services, so that the UI shows these runs too.

    Raises `StorageUnreachableError` where its tables are in PostgreSQL, and that does not answer, and `NetworkDiskError`.
    """
    home = settings.dagster_home
    refuse_network_disk(settings.data_dir)
    write_dagster_config(settings)
    if settings.is_dagster_in_postgres:
        # SQLAlchemy takes a while to load.
        from orchestration.dagster_storage import require_reachable

        require_reachable(settings)
    with FileLock(home / "starting.lock"):
        instance = dg.DagsterInstance.from_config(str(home))
        # Each makes its tables when it is first asked for: two processes must not do that at once.
        _ = instance.run_storage, instance.event_log_storage, instance.schedule_storage
    return instance


def write_dagster_config(settings: Settings) -> None:
    """Give a new Dagster home its configuration; of an existing one only storage and run launcher follow the settings, one that
    cannot be read is kept aside. Raises `SettingsError` where the file names one that is not ours to change."""
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    target = home / "dagster.yaml"
    known = read_small(target, _mapping, home)
    text = _usual_config() if known is None else target.read_text("utf-8")
    stored = text
    for block in (IN_POSTGRES, *map(launcher_block, PACKAGES)):
        stored = stored.replace(block, "")
    if settings.is_dagster_in_postgres:
        stored = _with_block(stored, IN_POSTGRES, f"HTW_DAGSTER_STORAGE is set, but {target}")
    if settings.are_runs_elsewhere:
        require_launcher(settings)
        stored = _with_block(stored, launcher_block(settings.run_launcher), f"HTW_RUN_LAUNCHER is set, but {target}")
    if known is None or stored != text:
        write_durably(target, stored)


def _with_block(text: str, block: str, clash: str) -> str:
    key = block.partition(":")[0]
    if key in _mapping(text):
        raise SettingsError(f"{clash} has a `{key}` of its own: remove one of the two")
    return text.rstrip("\n") + "\n" + block


def write_workspace(settings: Settings, address: tuple[str, int]) -> Path:
    """The file that tells daemon and web UI where the code server is. The location has the name it has without one, so that
    what Dagster remembers of schedules and sensors holds for both."""
    host, port = address
    target = settings.dagster_home / "workspace.yaml"
    server = {"host": host, "port": port, "location_name": MODULE}
    target.parent.mkdir(parents=True, exist_ok=True)
    write_durably(target, yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    return target


def _usual_config() -> str:
    return (Path(__file__).parent / "dagster.yaml").read_text("utf-8")


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
