"""Raw datasets as assets: one asset a dataset, one sweep a cadence.

Belongs here: the assets of every registry record and what they report. Does not: polling itself (`pipeline`), models
(`dbt_models`). A sweep is one step, because what is due together is asked for together between two readings of the state;
any subset of its datasets can be materialised alone. A dataset none of whose scopes arrived stays unmaterialised and the run
fails with the list, after the models were built from what did arrive; an optional one may be absent.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import dagster as dg

from orchestration.assets.dbt_models import build_and_publish
from orchestration.assets.raw_ranges import fill_range
from orchestration.hypertracker.endpoint import Dataset
from orchestration.partitions import raw_key, slot_of, slot_partitions
from orchestration.pipeline import Outcome, Pipeline, is_answered
from orchestration.planning.slots import Cadence
from warehouse.coverage import MissingSlot

BEYOND_PLAN = "htw/beyond_plan"
ONLY_WAITING = "htw/only_waiting"
ARRIVAL_CHECK, GAP_CHECK = CHECKS = ("every_scope_arrived", "no_slot_missing")
SLOTS_LOOKED_BACK = 24
LONGEST_LOOK = timedelta(days=2)
MOST_LISTED = 20
FETCH_ALLOWANCE = timedelta(minutes=2)


def build_sweep_asset(
    cadence: Cadence,
    datasets: Sequence[Dataset],
    start: datetime,
    pipeline: Callable[[], Pipeline],
    planned: Mapping[str, timedelta],
) -> dg.AssetsDefinition:
    """All datasets of one cadence as one multi-asset over its slots; `planned` is how often the plan polls each of them."""
    partitions = slot_partitions(cadence, start)

    @dg.multi_asset(
        name=f"poll_every_{cadence.label}",
        specs=[_spec(dataset, partitions, planned.get(dataset.name)) for dataset in datasets],
        check_specs=[dg.AssetCheckSpec(name, asset=raw_key(dataset.name)) for dataset in datasets for name in CHECKS],
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def poll(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        chosen = [dataset for dataset in datasets if raw_key(dataset.name) in context.selected_asset_keys]
        if len(context.partition_keys) > 1:
            fill_range(context, pipeline(), chosen)
            return
        tags, slot = context.run.tags, slot_of(context.partition_key)
        outcomes = pipeline().poll(chosen, slot, beyond_plan=BEYOND_PLAN in tags, only_waiting=ONLY_WAITING in tags)
        by_dataset = {d.name: [o for o in outcomes if o.record.dataset == d.name] for d in chosen}
        if all(any(map(is_answered, found)) for found in by_dataset.values()):
            yield from (dg.MaterializeResult(asset_key=raw_key(name), metadata=_metadata(f)) for name, f in by_dataset.items())
        else:
            _build_here(context, pipeline(), by_dataset)
        yield from (_check(name, found) for name, found in by_dataset.items())
        since = pipeline().clock.now() - min(SLOTS_LOOKED_BACK * cadence.step, LONGEST_LOOK)
        missing = pipeline().missing(chosen, since)
        yield from (_gap_check(d.name, [slot for slot in missing if slot.dataset == d.name]) for d in chosen)

    return poll


def _spec(dataset: Dataset, partitions: dg.PartitionsDefinition, interval: timedelta | None) -> dg.AssetSpec:
    return dg.AssetSpec(
        raw_key(dataset.name),
        description=f"{dataset.description} Endpoint {dataset.number} of the contract: GET {dataset.path}",
        group_name="raw",
        kinds={"duckdb"},
        partitions_def=partitions,
        skippable=True,
        metadata={"feeds": list(dataset.feeds), "perishable": dataset.is_current_state},
        freshness_policy=freshness_policy(dataset, interval) if interval else None,
    )


def freshness_policy(dataset: Dataset, interval: timedelta) -> dg.FreshnessPolicy:
    """Warns when a planned slot passed without data, fails when two did; a payload may be published late and takes time to fetch.

    It sees the newest materialisation of any slot: gaps behind it are the ledger's to tell.
    """
    late = timedelta(seconds=dataset.settle_s) + FETCH_ALLOWANCE
    return dg.FreshnessPolicy.time_window(warn_window=interval + late, fail_window=2 * interval + late)


def _build_here(context: dg.AssetExecutionContext, pipeline: Pipeline, by_dataset: Mapping[str, list[Outcome]]) -> None:
    """Report what arrived and build from it in this step: Dagster skips the steps after one that leaves anything out.

    A dataset of which nothing was due stays as it is. Raises `dg.Failure` where one was asked for and nothing arrived: it must
    not look materialised.
    """
    for name, found in by_dataset.items():
        if any(map(is_answered, found)):
            event = dg.AssetMaterialization(raw_key(name), partition=context.partition_key, metadata=_metadata(found))
            context.log_event(event)
    if any(is_answered(outcome) for found in by_dataset.values() for outcome in found):
        build_and_publish(context, pipeline)
    lost = {name: found for name, found in by_dataset.items() if found and not any(map(is_answered, found))}
    if lost:
        lines = [f"{name}: {line}" for name, found in lost.items() for line in _missing(found)][:MOST_LISTED]
        text = f"nothing arrived for {', '.join(lost)}: {'; '.join(lines)}"
        raise dg.Failure(text, metadata={"missing": lines}, allow_retries=False)


def _metadata(outcomes: Sequence[Outcome]) -> dict[str, dg.MetadataValue]:
    verdicts = Counter(outcome.judgement.verdict.value for outcome in outcomes)
    newest = [outcome.judgement.newest_at for outcome in outcomes if outcome.judgement.newest_at]
    values: dict[str, dg.MetadataValue] = {
        "dagster/row_count": dg.MetadataValue.int(sum(outcome.judgement.row_count for outcome in outcomes)),
        "requests_spent": dg.MetadataValue.int(sum(outcome.record.requests_spent for outcome in outcomes)),
        "bytes": dg.MetadataValue.int(sum(outcome.record.byte_count for outcome in outcomes)),
        "foreign_rows": dg.MetadataValue.int(sum(outcome.judgement.foreign_row_count for outcome in outcomes)),
        "verdicts": dg.MetadataValue.json(dict(verdicts)),
    }
    if newest:
        values["newest_at"] = dg.MetadataValue.text(max(newest).isoformat())
    return values


def _check(name: str, outcomes: Sequence[Outcome]) -> dg.AssetCheckResult:
    missing = _missing(outcomes)
    return dg.AssetCheckResult(
        passed=not missing,
        asset_key=raw_key(name),
        check_name=ARRIVAL_CHECK,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"missing": missing[:MOST_LISTED], "scopes": len({outcome.record.scope for outcome in outcomes})},
    )


def _gap_check(name: str, missing: Sequence[MissingSlot]) -> dg.AssetCheckResult:
    """What the slot grid says of the last slots, by the ledger: gaps that a newer materialisation hides."""
    lines = [f"{slot.slot:%Y-%m-%d %H:%M} {slot.scope or 'market'} {slot.verdict}: {slot.reason}" for slot in missing]
    return dg.AssetCheckResult(
        passed=not missing,
        asset_key=raw_key(name),
        check_name=GAP_CHECK,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "missing": len(missing),
            "can_be_healed": sum(slot.recoverable_until is not None for slot in missing),
            "newest": lines[-MOST_LISTED:],
        },
    )


def _missing(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for every scope whose last fetch did not arrive: what, why, and what mends it."""
    last = {outcome.record.scope: outcome for outcome in outcomes}
    return [
        f"{scope or 'market'} {outcome.judgement.verdict}: {outcome.judgement.reason} ({outcome.judgement.mend})"
        for scope, outcome in last.items()
        if not is_answered(outcome)
    ]
