"""Jobs: one a cadence, from the poll of its datasets to the published copy; one that heals, one that models what other machines
sent, and two for what is kept.

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
from orchestration.storage_commands import tidied_lines
from orchestration.tidying import tidy_storage
from warehouse.lake_locks import is_made
from warehouse.lake_upkeep import maintain

HEAL = "heal"
TIDY = "tidy"
MAINTAIN_LAKE = "maintain_lake"
MODEL = "model"


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


def build_model_job(pipeline: Callable[[], Pipeline]) -> dg.JobDefinition:
    """All models, of what other machines sent to the shared lake by now, and of what was polled here."""
    says = "Takes what other machines sent to the shared lake, builds every model, publishes."

    @dg.op(description=says)
    def build_models(context: dg.OpExecutionContext) -> None:
        build_and_publish(context, pipeline())

    @dg.job(name=MODEL, executor_def=dg.in_process_executor, description=says)
    def model() -> None:
        build_models()

    return model


def build_lake_job(pipeline: Callable[[], Pipeline]) -> dg.JobDefinition:
    """The lake's upkeep, beside readers; a publish waits for one step of it at most."""
    says = "Merges the lake's small files, forgets old states, removes what belongs to nothing."

    @dg.op(description=says)
    def maintain_files(context: dg.OpExecutionContext) -> None:
        settings = pipeline().settings
        if is_made(settings.lake):
            before, after = maintain(settings.lake, settings.lake_history_days)
            context.log.info(f"{before.file_count} files before, {after.file_count} now, {after.byte_count} bytes")

    @dg.job(name=MAINTAIN_LAKE, executor_def=dg.in_process_executor, tags={"dagster/priority": "-2"}, description=says)
    def maintain_lake() -> None:
        maintain_files()

    return maintain_lake


def build_tidy_job(pipeline: Callable[[], Pipeline]) -> dg.JobDefinition:
    """Old days of the vault and of raw; a poll waits for the dropping of rows at most, not for the reading of bodies."""
    says = "Packs old days of the vault, drops raw rows older than HTW_RAW_DAYS that no build needs."

    @dg.op(description=says)
    def tidy_old_days(context: dg.OpExecutionContext) -> None:
        for line in tidied_lines(tidy_storage(pipeline())):
            context.log.info(line)

    @dg.job(name=TIDY, executor_def=dg.in_process_executor, tags={"dagster/priority": "-2"}, description=says)
    def tidy() -> None:
        tidy_old_days()

    return tidy


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
