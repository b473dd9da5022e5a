"""Sensors: what starts a run because something happened, not because it is time.

Belongs here: when a sensor asks for a run. Does not: what is looked at (`state_gate`), what the run does (`jobs`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import dagster as dg

from orchestration.hypertracker.endpoint import Dataset, Dating
from orchestration.partitions import raw_key, slot_key
from orchestration.pipeline import Pipeline
from orchestration.planning.slots import Cadence
from orchestration.state_gate import awaited

LOOKS_EVERY_S = 30


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
        request = dg.RunRequest(run_key=found.key, partition_key=slot_key(found.slot), asset_selection=keys)
        return dg.SensorResult(run_requests=[request])

    return new_state
