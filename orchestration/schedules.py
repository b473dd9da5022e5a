"""Schedules: each cadence's job at each of its slots, for the slot that has just begun.

Dagster does not catch up missed ticks in this version: what was missed is found by comparing the slot grid with the ledger,
and healed by a schedule of its own, which runs between the slots.
"""

from __future__ import annotations

import dagster as dg

HEALS_AT = "7,22,37,52 * * * *"
# Once the polls of a slot are sent.
MODELS_AT = "3-58/5 * * * *"
# Between the slots, and the polls of whole hours.
MAINTAINS_AT = "41 3 * * *"
TIDIES_AT = "26 4 * * *"


def build_schedule(job: dg.UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
    return dg.build_schedule_from_partitioned_job(job, default_status=dg.DefaultScheduleStatus.RUNNING)  # type: ignore[return-value]


def build_heal_schedule(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    return _running(job, HEALS_AT)


def build_model_schedule(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    return _running(job, MODELS_AT)


def build_lake_schedule(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    return _running(job, MAINTAINS_AT)


def build_tidy_schedule(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    return _running(job, TIDIES_AT)


def _running(job: dg.JobDefinition, cron: str) -> dg.ScheduleDefinition:
    """On from the first start."""
    running = dg.DefaultScheduleStatus.RUNNING
    return dg.ScheduleDefinition(job=job, cron_schedule=cron, execution_timezone="UTC", default_status=running)
