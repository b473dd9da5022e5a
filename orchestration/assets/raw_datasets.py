"""Raw datasets as assets: one asset a dataset, one sweep a cadence.

Belongs here: the assets of every registry record and what they report. Does not: polling itself (`pipeline`), models
(`dbt_models`). A sweep is one step, because what is due together is asked for together between two readings of the state;
any subset of its datasets can be materialised alone. A dataset none of whose scopes arrived stays unmaterialised and the run
fails with the list, after the models were built from what did arrive; an optional one may be absent.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

import dagster as dg

from orchestration.assets.dbt_models import build_and_publish
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.hypertracker.endpoint import Dataset
from orchestration.partitions import slot_of, slot_partitions
from orchestration.pipeline import Outcome, Pipeline
from orchestration.planning.slots import Cadence
from warehouse.ledger import Verdict

RAW_PREFIX = "raw"
API_POOL = "hypertracker_api"
ARRIVAL_CHECK = "every_scope_arrived"
MOST_LISTED = 20
FETCH_ALLOWANCE = timedelta(minutes=2)


def raw_key(dataset: str) -> dg.AssetKey:
    return dg.AssetKey([RAW_PREFIX, dataset])


def build_sweep_asset(
    cadence: Cadence, datasets: Sequence[Dataset], start: datetime, pipeline: Callable[[], Pipeline]
) -> dg.AssetsDefinition:
    """All datasets of one cadence as one multi-asset over its slots."""
    partitions = slot_partitions(cadence, start)

    @dg.multi_asset(
        name=f"poll_every_{cadence.label}",
        specs=[_spec(dataset, partitions) for dataset in datasets],
        check_specs=[dg.AssetCheckSpec(ARRIVAL_CHECK, asset=raw_key(dataset.name)) for dataset in datasets],
        can_subset=True,
        pool=API_POOL,
    )
    def poll(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        chosen = [dataset for dataset in datasets if raw_key(dataset.name) in context.selected_asset_keys]
        outcomes = pipeline().poll(chosen, slot_of(context.partition_key))
        by_dataset = {d.name: [o for o in outcomes if o.record.dataset == d.name] for d in chosen}
        lost = [name for name, found in by_dataset.items() if not any(map(_is_answered, found))]
        if lost:
            _fail_after_building(context, pipeline(), by_dataset, lost)
        for name, found in by_dataset.items():
            yield dg.MaterializeResult(asset_key=raw_key(name), metadata=_metadata(found))
            yield _check(name, found)

    return poll


def _spec(dataset: Dataset, partitions: dg.PartitionsDefinition) -> dg.AssetSpec:
    return dg.AssetSpec(
        raw_key(dataset.name),
        description=f"{dataset.description} Endpoint {dataset.number} of the contract: GET {dataset.path}",
        group_name="raw",
        kinds={"duckdb"},
        partitions_def=partitions,
        skippable=True,
        metadata={"feeds": list(dataset.feeds), "perishable": dataset.is_current_state},
        freshness_policy=freshness_policy(dataset),
    )


def freshness_policy(dataset: Dataset) -> dg.FreshnessPolicy:
    """Warns when a slot passed without data, fails when two did; a payload may be published late and takes time to fetch.

    It sees the newest materialisation of any slot: gaps behind it are the ledger's to tell.
    """
    late = timedelta(seconds=dataset.settle_s) + FETCH_ALLOWANCE
    step = dataset.cadence.step
    return dg.FreshnessPolicy.time_window(warn_window=step + late, fail_window=2 * step + late)


def _fail_after_building(
    context: dg.AssetExecutionContext, pipeline: Pipeline, by_dataset: dict[str, list[Outcome]], lost: list[str]
) -> None:
    """Report what arrived, build from it, and fail the run: a dataset without data must not look materialised."""
    for name, found in by_dataset.items():
        if name not in lost:
            event = dg.AssetMaterialization(raw_key(name), partition=context.partition_key, metadata=_metadata(found))
            context.log_event(event)
    if len(lost) < len(by_dataset):
        build_and_publish(pipeline)
    lines = [f"{name}: {line}" for name in lost for line in _missing(by_dataset[name])]
    raise dg.Failure(
        f"nothing arrived for {', '.join(lost)}: {'; '.join(lines[:MOST_LISTED])}",
        metadata={"missing": lines[:MOST_LISTED]},
        allow_retries=False,
    )


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


def _missing(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for every scope whose last fetch did not arrive: what, why, and what mends it."""
    last = {outcome.record.scope: outcome for outcome in outcomes}
    return [
        f"{scope or 'market'} {outcome.judgement.verdict}: {outcome.judgement.reason} ({outcome.judgement.mend})"
        for scope, outcome in last.items()
        if not _is_answered(outcome)
    ]


def _is_answered(outcome: Outcome) -> bool:
    """Whether a fetch brought what the provider had to say; that it does not have an optional dataset says enough."""
    verdict = outcome.judgement.verdict
    return verdict.arrived or (verdict is Verdict.ABSENT and BY_NAME[outcome.record.dataset].is_optional)
