"""A code location with everything of the project in it, but nothing that runs by itself save one job that does nothing.

Belongs here: what `dagster_cost` starts a daemon over. Does not: measuring.
"""

import time
from collections.abc import Iterator

import dagster as dg

from benchmarks.dagster_cost import ASKED_AT, CPU_S, EVERY_S, JOB
from orchestration.definitions import build_definitions


@dg.definitions
def definitions() -> dg.Definitions:
    @dg.op
    def nothing(context: dg.OpExecutionContext) -> None:
        context.instance.add_run_tags(context.run_id, {CPU_S: f"{time.process_time():.3f}"})

    @dg.job(name=JOB, executor_def=dg.in_process_executor)
    def idle() -> None:
        nothing()

    @dg.sensor(job=idle, minimum_interval_seconds=EVERY_S, default_status=dg.DefaultSensorStatus.RUNNING)
    def ask() -> Iterator[dg.RunRequest]:
        yield dg.RunRequest(tags={ASKED_AT: f"{time.time():.3f}"})

    project = build_definitions()
    return dg.Definitions(assets=project.assets, jobs=[*(project.jobs or []), idle], sensors=[ask])
