"""Many slots of a dataset in one run: what Dagster's backfills launch.

Belongs here: filling a range of partitions and marking each by what really arrived. Does not: which requests that takes
(`orchestration.filling`), the sweep of one slot (`raw_datasets`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from orchestration.assets.dbt_models import build_and_publish
from orchestration.filling import Wanted, arrived_scopes, run_errands, survey
from orchestration.hypertracker.endpoint import Dataset
from orchestration.partitions import raw_key, slot_key, slot_of
from orchestration.pipeline import Pipeline
from orchestration.plan_in_force import scopes_wished

MOST_LISTED = 20


def fill_range(context: dg.AssetExecutionContext, pipeline: Pipeline, datasets: Sequence[Dataset]) -> None:
    """Fill the run's slots of these datasets with what can still be had, out of what live polls leave of the quota.

    Slots of which anything arrived, now or before, are marked materialised. Raises `dg.Failure` naming the others, after
    the models were built from what did arrive.
    """
    slots, plan = [slot_of(key) for key in context.partition_keys], pipeline.plan()
    missing: list[str] = []
    for dataset in datasets:
        scopes = tuple(scopes_wished(plan, dataset, slots[0]))
        wanted = Wanted(dataset, scopes, min(slots), max(slots) + dataset.cadence.step)
        _fill(context, pipeline, wanted)
        missing += _mark(context, pipeline, wanted, slots)
    build_and_publish(context, pipeline)
    if missing:
        text = f"{len(missing)} slots have nothing; why, and until when they can be had: `htw status`"
        raise dg.Failure(text, metadata={"missing": missing[:MOST_LISTED]}, allow_retries=False)


def _fill(context: dg.AssetExecutionContext, pipeline: Pipeline, wanted: Wanted) -> None:
    found = survey(pipeline, wanted)
    context.log.info(
        f"{wanted.dataset.name}: {found.wanted} slots of scopes, {found.arrived} there, {found.lost} lost, {found.below_floor} "
        f"below the floor; {len(found.errands)} errands for about {found.cost} requests"
    )
    for outcomes in run_errands(pipeline, found.errands, publish=False):
        verdicts = Counter(outcome.judgement.verdict.value for outcome in outcomes)
        context.log.info(", ".join(f"{verdict} {count}" for verdict, count in verdicts.items()) or "the quota left nothing")


def _mark(context: dg.AssetExecutionContext, pipeline: Pipeline, wanted: Wanted, slots: Sequence[datetime]) -> list[str]:
    """The slots of which nothing arrived."""
    arrived, missing = Counter(slot for _, slot in arrived_scopes(pipeline, wanted)), []
    for slot in slots:
        if arrived[slot]:
            metadata = {"scopes_arrived": arrived[slot], "scopes_wanted": len(wanted.scopes)}
            context.log_event(dg.AssetMaterialization(raw_key(wanted.dataset.name), partition=slot_key(slot), metadata=metadata))
        else:
            missing.append(f"{wanted.dataset.name} {slot_key(slot)}")
    return missing
