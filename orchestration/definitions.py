"""The Dagster code location: assembles assets, jobs and schedules, and decides nothing.

Nothing is read or opened until `definitions()` or `build_definitions()` is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import dagster as dg

from orchestration.assets.dbt_models import build_model_assets, build_published_asset
from orchestration.assets.raw_datasets import build_sweep_asset
from orchestration.clock import Clock
from orchestration.division import Landing
from orchestration.hypertracker.endpoint import Dataset
from orchestration.jobs import build_cadence_job, build_heal_job, build_lake_job, build_model_job, build_tidy_job
from orchestration.partitions import first_slot
from orchestration.pipeline import Pipeline
from orchestration.planning.slots import Cadence
from orchestration.schedules import (
    build_heal_schedule,
    build_lake_schedule,
    build_model_schedule,
    build_schedule,
    build_tidy_schedule,
)
from orchestration.sensors import build_coverage_sensor, build_failure_sensor, build_state_sensor
from orchestration.settings import Settings, load_settings


def build_definitions(settings: Settings | None = None, clock: Clock | None = None) -> dg.Definitions:
    """Everything Dagster runs. Tests, the demo and the command line pass settings and a clock of their own."""
    chosen = settings or load_settings()
    pipeline = cache(lambda: Pipeline(chosen, clock))
    start = first_slot(chosen.data_dir, pipeline().clock.now())
    by_cadence = datasets_by_cadence(chosen)
    planned = pipeline().planned_intervals()
    sweeps = [build_sweep_asset(cadence, datasets, start, pipeline, planned) for cadence, datasets in by_cadence.items()]
    jobs = {cadence: build_cadence_job(cadence, datasets) for cadence, datasets in by_cadence.items()}
    others = [*_jobs_between_slots(pipeline, chosen.landing)]
    return dg.Definitions(
        assets=[*sweeps, build_model_assets(pipeline), build_published_asset(pipeline)],
        jobs=[*jobs.values(), *(job for job, _ in others)],
        schedules=[*map(build_schedule, jobs.values()), *(schedule for _, schedule in others)],
        sensors=[
            build_state_sensor(cadence, by_cadence[cadence], job, pipeline)
            for cadence, job in jobs.items()
            if cadence is Cadence.QUARTER_HOUR
        ]
        + [build_failure_sensor(pipeline), build_coverage_sensor(pipeline)],
        executor=dg.in_process_executor,
    )


def _jobs_between_slots(
    pipeline: Callable[[], Pipeline], landing: Landing
) -> Iterator[tuple[dg.JobDefinition, dg.ScheduleDefinition]]:
    heal, upkeep, tidy = build_heal_job(pipeline), build_lake_job(pipeline), build_tidy_job(pipeline)
    yield heal, build_heal_schedule(heal)
    yield upkeep, build_lake_schedule(upkeep)
    yield tidy, build_tidy_schedule(tidy)
    if landing is Landing.TAKE:
        model = build_model_job(pipeline)
        yield model, build_model_schedule(model)


def datasets_by_cadence(settings: Settings) -> dict[Cadence, list[Dataset]]:
    """The datasets asked for, grouped by cadence, fastest first; cadences without any are left out."""
    wanted = settings.wanted_datasets()
    grouped = {cadence: [dataset for dataset in wanted if dataset.cadence is cadence] for cadence in Cadence}
    return {cadence: datasets for cadence, datasets in grouped.items() if datasets}


@dg.definitions
def definitions() -> dg.Definitions:
    """The entry point of `dagster -m orchestration.definitions`."""
    return build_definitions()
