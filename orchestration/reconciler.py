"""What lost processes leave behind in Dagster, put right.

A run that was under way when its process died stays started and holds its pool slots for ever, and so blocks every later run.
`free_lost_runs` is for boot, before the daemon starts, and only then: it cannot tell a lost run of a daemon from a live one.
Runs in a process of their own (`htw poll`) hold a lock file each as long as they live, so that those that died are known at any
time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from filelock import FileLock, Timeout

UNDER_WAY = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]
POOLS = ("duckdb_writer",)
LIVE_FOLDER = "live_runs"


def free_lost_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fail every run left under way, free its slots, and give the pools their limit. The ids of the runs; may be called again."""
    limit_pools(instance)
    under_way = instance.get_runs(filters=dg.RunsFilter(statuses=UNDER_WAY))
    lost = [run for run in under_way if not _is_alive(_signs(instance) / run.run_id)]
    for run in lost:
        _end(instance, run)
    return [run.run_id for run in lost]


def limit_pools(instance: dg.DagsterInstance) -> None:
    """One step of a pool at a time; may be called again."""
    for pool in POOLS:
        instance.event_log_storage.set_concurrency_slots(pool, 1)


@contextlib.contextmanager
def live_run(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Hold the sign of life of a run in this process, after ending the runs of those that died. Leaves no run under way."""
    folder = _signs(instance)
    folder.mkdir(parents=True, exist_ok=True)
    _end_dead_runs(instance, folder)
    sign = folder / run_id
    with FileLock(sign):
        yield
        _end_if_under_way(instance, run_id)
        sign.unlink(missing_ok=True)


def _signs(instance: dg.DagsterInstance) -> Path:
    return Path(instance.root_directory) / LIVE_FOLDER


def _is_alive(sign: Path) -> bool:
    """Whether a process holds the sign of life of its run."""
    if not sign.exists():
        return False
    try:
        with FileLock(sign, timeout=0):
            return False
    except Timeout:
        return True


def _end_dead_runs(instance: dg.DagsterInstance, folder: Path) -> None:
    for sign in folder.iterdir():
        with contextlib.suppress(Timeout), FileLock(sign, timeout=0):
            # A sign without a run is of a process that has only just begun.
            if instance.has_run(sign.name):
                _end_if_under_way(instance, sign.name)
                sign.unlink(missing_ok=True)


def _end_if_under_way(instance: dg.DagsterInstance, run_id: str) -> None:
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status in UNDER_WAY:
        _end(instance, run)


def _end(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    instance.report_run_failed(run, "the process that ran it is gone: found at a later start")
    instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
