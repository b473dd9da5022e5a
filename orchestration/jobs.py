"""Jobs: one a cadence, from the poll of its datasets to the published copy.

Belongs here: job definitions only. A job holds its cadence's raw assets and everything downstream of them, in one process: a
second process would pay for every import again.
"""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from orchestration.assets.raw_datasets import raw_key
from orchestration.hypertracker.endpoint import Dataset
from orchestration.planning.slots import Cadence


def job_name(cadence: Cadence) -> str:
    return f"every_{cadence.label}"


def build_cadence_job(cadence: Cadence, datasets: Sequence[Dataset]) -> dg.UnresolvedAssetJobDefinition:
    """Poll a slot of every dataset of a cadence, build what it feeds, publish."""
    raw = dg.AssetSelection.assets(*(raw_key(dataset.name) for dataset in datasets))
    return dg.define_asset_job(
        job_name(cadence),
        selection=raw | raw.downstream(),
        executor_def=dg.in_process_executor,
        description=f"Polls the datasets due at {cadence.value} (UTC), builds the models they feed, publishes.",
    )
