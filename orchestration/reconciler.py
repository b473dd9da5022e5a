"""What a lost host leaves behind in Dagster, put right at boot.

A run that was under way when the machine died stays started and holds its pool slot for ever, and so blocks every later run.
Call before the daemon starts, and only then: it cannot tell a lost run from a live one.
"""

from __future__ import annotations

import dagster as dg

UNDER_WAY = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]
POOLS = ("duckdb_writer", "hypertracker_api")


def free_lost_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fail every run left under way, free its slots, and give the pools their limit. The ids of the runs; may be called again."""
    for pool in POOLS:
        instance.event_log_storage.set_concurrency_slots(pool, 1)
    lost = instance.get_runs(filters=dg.RunsFilter(statuses=UNDER_WAY))
    for run in lost:
        instance.report_run_failed(run, "the process that ran it is gone: found at start")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in lost]
