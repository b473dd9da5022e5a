"""Runs that failed and have not succeeded since, as Dagster's instance has them.

Belongs here: asking the instance. Does not: words and commands (`problems`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._utils.error import SerializableErrorInfo

from orchestration.jobs import HEAL, job_name
from orchestration.planning.slots import Cadence
from orchestration.runs import first_error

# The job under which Dagster runs what was started by hand in the UI, backfills among them.
BY_HAND = "__ASSET_JOB"
# How Dagster begins to tell of a process that ended before its run did.
PROCESS_ENDED = "Run execution process for "
FORGOTTEN_AFTER = timedelta(days=7)
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
PARTITION_TAGS = ("dagster/partition", "dagster/asset_partition_range_start")


@dataclass(frozen=True)
class FailedRun:
    """The newest run of a job that ended, where it failed; `slot` is empty where it had none, `error` the first that it met."""

    job: str
    slot: str
    error: str
    ended_at: datetime


def failed_runs(instance: dg.DagsterInstance, now: datetime) -> Iterator[FailedRun]:
    """The jobs whose newest run failed in the last days; Dagster's times are those of the machine's clock."""
    for job in (*map(job_name, Cadence), HEAL, BY_HAND):
        records = instance.get_run_records(dg.RunsFilter(job_name=job, statuses=ENDED), limit=1)
        for record in records:
            ended_at = datetime.fromtimestamp(record.end_time or record.create_timestamp.timestamp(), UTC)
            if record.dagster_run.status is dg.DagsterRunStatus.FAILURE and ended_at > now - FORGOTTEN_AFTER:
                slot = next((record.dagster_run.tags[tag] for tag in PARTITION_TAGS if tag in record.dagster_run.tags), "")
                yield FailedRun(job, slot, _error_of(instance, record.dagster_run.run_id), ended_at)


def _error_of(instance: dg.DagsterInstance, run_id: str) -> str:
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    entries = instance.all_logs(run_id, of_type=kinds)
    events = [entry.dagster_event for entry in entries if entry.dagster_event is not None]
    said = next((event.message for event in events if event.message), "its log is in the Dagster UI")
    return first_error(events) or _end_of_process(instance, run_id) or said


def _end_of_process(instance: dg.DagsterInstance, run_id: str) -> str:
    """Why the process of a run ended in mid-run: an error outside of all steps, or what the code server notes of one that it
    finds dead. Empty where there is neither."""
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    for event in (entry.dagster_event for entry in entries if entry.dagster_event is not None):
        if error := event.engine_event_data.error:
            return _root_of(error).message.strip().splitlines()[0]
        if event.message and event.message.startswith(PROCESS_ENDED):
            return event.message
    return ""


def _root_of(error: SerializableErrorInfo) -> SerializableErrorInfo:
    return _root_of(error.cause) if error.cause else error
