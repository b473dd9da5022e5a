"""Jobs: one a cadence, from the poll of its datasets to the published copy; and one that heals.

Belongs here: job definitions only. A cadence's job holds its raw assets and everything downstream of them, in one process: a
second process would pay for every import again.
"""

from collections.abc import Callable, Sequence

import dagster as dg

from orchestration.assets.dbt_models import build_and_publish
from orchestration.filling import affordable_now, healing, run_errands, sole_healing
from orchestration.hypertracker.endpoint import Dataset
from orchestration.partitions import raw_key, slot_key
from orchestration.pipeline import Pipeline, is_answered
from orchestration.planning.slots import Cadence

HEAL = "heal"


def job_name(cadence: Cadence) -> str:
    return f"every_{cadence.label}"


def build_cadence_job(cadence: Cadence, datasets: Sequence[Dataset]) -> "dg.UnresolvedAssetJobDefinition":
    """Poll a slot of every dataset of a cadence, build what it feeds, publish."""
    raw = dg.AssetSelection.assets(*(raw_key(dataset.name) for dataset in datasets))
    return dg.define_asset_job(
        job_name(cadence),
        selection=raw | raw.downstream(),
        executor_def=dg.in_process_executor,
        description=f"Polls the datasets due at {cadence.value} (UTC), builds the models they feed, publishes.",
    )


def build_heal_job(pipeline: Callable[[], Pipeline]) -> dg.JobDefinition:
    """Ask for what was due, did not arrive and can still be had, out of the reserve; live polls come first."""
    says = "Fills missing slots, what is lost first first, and marks those that something arrived for."

    @dg.op(description=says)
    def fill_missing_slots(context: dg.OpExecutionContext) -> None:
        with sole_healing(pipeline()) as is_sole:
            if is_sole:
                _heal(context, pipeline())
            else:
                context.log.info("somebody heals already")

    @dg.job(name=HEAL, executor_def=dg.in_process_executor, tags={"dagster/priority": "-1"}, description=says)
    def heal() -> None:
        fill_missing_slots()

    return heal


def _heal(context: dg.OpExecutionContext, pipeline: Pipeline) -> None:
    lacking = healing(pipeline)
    taken, healed = affordable_now(pipeline, lacking), set()
    context.log.info(f"{len(lacking)} errands would fill what is missing; the reserve pays for {len(taken)} of them now")
    for outcomes in run_errands(pipeline, taken, publish=False):
        healed |= {(o.record.dataset, o.record.slot) for o in outcomes if is_answered(o)}
    for dataset, slot in sorted(healed):
        context.log_event(dg.AssetMaterialization(raw_key(dataset), partition=slot_key(slot)))
    if taken:
        build_and_publish(context, pipeline)
