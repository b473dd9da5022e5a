"""Sensors: what happens because something happened, not because it is time.

Belongs here: when a sensor asks for a run, or looks for somebody to tell. Does not: what is looked at (`state_gate`, `alerting`),
what the run does (`jobs`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import dagster as dg

from orchestration.assets.raw_datasets import ONLY_WAITING
from orchestration.hypertracker.endpoint import Dataset, Dating
from orchestration.partitions import raw_key, slot_key
from orchestration.pipeline import Pipeline
from orchestration.planning.slots import Cadence
from orchestration.state_gate import awaited

LOOKS_EVERY_S = 30
COVERAGE_EVERY_S = 60


def build_state_sensor(
    cadence: Cadence, datasets: Sequence[Dataset], job: dg.UnresolvedAssetJobDefinition, pipeline: Callable[[], Pipeline]
) -> dg.SensorDefinition:
    """Polls a slot once more, soon after the next state is published, where the state at its beginning was there already."""
    dated = [dataset for dataset in datasets if dataset.dating is Dating.STATE]
    raw = dg.AssetSelection.assets(*(raw_key(dataset.name) for dataset in dated))

    @dg.sensor(
        name=f"new_state_every_{cadence.label}",
        job=job,
        minimum_interval_seconds=LOOKS_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for what is dated by the state as soon as there is a new one, instead of blindly at the next slot.",
    )
    def new_state(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        found = awaited(pipeline(), cadence, [dataset.name for dataset in dated])
        if isinstance(found, str):
            return dg.SkipReason(found)
        assert context.repository_def is not None
        keys = sorted((raw | raw.downstream()).resolve(context.repository_def.asset_graph))
        request = dg.RunRequest(
            run_key=found.key, partition_key=slot_key(found.slot), asset_selection=keys, tags={ONLY_WAITING: "yes"}
        )
        return dg.SensorResult(run_requests=[request])

    return new_state


def build_failure_sensor(pipeline: Callable[[], Pipeline]) -> dg.SensorDefinition:
    """Tells of a failed run at once."""

    @dg.run_failure_sensor(
        name="alert_of_failed_run",
        minimum_interval_seconds=LOOKS_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks for what is wrong as soon as a run failed, and tells the alert channels that are set.",
    )
    def alert_of_failed_run(context: dg.RunFailureSensorContext) -> dg.SkipReason:
        from orchestration.alerting.looking import look

        return dg.SkipReason(look(pipeline(), context.instance).words)

    return alert_of_failed_run


def build_coverage_sensor(pipeline: Callable[[], Pipeline]) -> dg.SensorDefinition:
    """Tells of what is late, missing, unread or full, and of its end; writes the metrics file, channels or not."""

    @dg.sensor(
        name="watch_coverage",
        minimum_interval_seconds=COVERAGE_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks at coverage, quota and disk, tells the alert channels that are set, and writes metrics/htw.prom.",
    )
    def watch_coverage(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        from orchestration.alerting.looking import look
        from orchestration.alerting.problems import find_problems
        from orchestration.metrics import registry_of, write_metrics

        found = find_problems(pipeline(), context.instance)
        looked = look(pipeline(), context.instance, found)
        write_metrics(registry_of(pipeline(), lambda: found), pipeline().settings.metrics_file)
        return dg.SkipReason(looked.words)

    return watch_coverage
