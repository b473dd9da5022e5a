"""dbt models and the published copy as assets: one asset a model, named like its table, built in this process.

Belongs here: reading the dbt manifest into asset specs, and the two steps that follow a sweep. Does not: running dbt
(`modelling`), the models (`dbt_project`). This is the only module that reads the manifest while definitions load.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg

from orchestration.hypertracker.datasets import DATASETS
from orchestration.modelling import NodeResult, prepare_manifest, raise_for_failures
from orchestration.pipeline import Pipeline
from warehouse.publish import Published

WRITER_POOL = "duckdb_writer"
PUBLISHED_KEY = dg.AssetKey(["published", "hypertracker"])
RESULT_KINDS = ("model", "seed")
LEDGER_OF_FETCHES = ("fetches", "definition_changes")


def build_model_assets(pipeline: Callable[[], Pipeline]) -> dg.AssetsDefinition:
    """Every dbt model and seed that is built here as one multi-asset; any subset can be materialised alone."""
    manifest, left_out = prepare_manifest(), pipeline().left_out()
    built = {uid: node for uid, node in manifest["nodes"].items() if uid not in left_out}
    models = {uid: node for uid, node in built.items() if node["resource_type"] in RESULT_KINDS}
    tests = {uid: node for uid, node in manifest["nodes"].items() if _attached(node) in models}

    @dg.multi_asset(
        name="models",
        specs=[_spec(uid, node, manifest) for uid, node in models.items()],
        check_specs=[_check_spec(node, models) for node in tests.values()],
        can_subset=True,
        pool=WRITER_POOL,
    )
    def build_models(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        chosen = [node for node in models.values() if _key(node) in context.selected_asset_keys]
        whole = len(chosen) == len(models)
        results = pipeline().build([] if whole else [f"fqn:{'.'.join(node['fqn'])}" for node in chosen])
        for result in results:
            yield from (event for event in _events(result, models, tests) if event.asset_key in context.selected_asset_keys)
        raise_for_failures(results)

    return build_models


def build_published_asset(pipeline: Callable[[], Pipeline]) -> dg.AssetsDefinition:
    """The copy that readers open; made only after models were built and their tests passed."""
    left_out = pipeline().left_out()
    built = [node for uid, node in prepare_manifest()["nodes"].items() if uid not in left_out]
    models = [node for node in built if node["resource_type"] == "model" and node["schema"] == "marts"]
    # A view stands as it was built: Dagster would skip what follows something that was not made in this run.
    marts = [node for node in models if node["config"]["materialized"] != "view"]

    @dg.asset(
        key=PUBLISHED_KEY,
        deps=[_key(node) for node in marts],
        description="The file that analysts and dashboards open: every mart, swapped in as one step.",
        group_name="published",
        kinds={"duckdb"},
        pool=WRITER_POOL,
    )
    def hypertracker() -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata=_published_metadata(pipeline().publish()))

    return hypertracker


def build_and_publish(context: dg.AssetExecutionContext | dg.OpExecutionContext, pipeline: Pipeline) -> None:
    """The same two within another step, where Dagster would skip them; what was built is reported all the same."""
    manifest, results = prepare_manifest(), pipeline.build()
    for result in results:
        if result.status == "success" and result.unique_id.startswith("model."):
            key = _key(manifest["nodes"][result.unique_id])
            context.log_event(dg.AssetMaterialization(key, metadata={"seconds": result.seconds}))
    raise_for_failures(results)
    context.log_event(dg.AssetMaterialization(PUBLISHED_KEY, metadata=_published_metadata(pipeline.publish())))


def _published_metadata(published: Published) -> dict[str, dg.MetadataValue]:
    lake = dg.MetadataValue.text(published.lake_problem or "written")
    if published.path is None:
        return {"changed": dg.MetadataValue.bool(False), "lake": lake}
    return {
        "lake": lake,
        "changed": dg.MetadataValue.bool(True),
        "version": dg.MetadataValue.text(published.path.name),
        "rows": dg.MetadataValue.json(dict(published.row_counts)),
    }


def _spec(unique_id: str, node: Mapping[str, Any], manifest: Mapping[str, Any]) -> dg.AssetSpec:
    parents = [manifest["nodes"].get(uid) or manifest["sources"].get(uid) for uid in node["depends_on"].get("nodes", [])]
    return dg.AssetSpec(
        _key(node),
        deps=list({dep.asset_key: dep for parent in parents if parent is not None for dep in _deps(parent)}.values()),
        description=node["description"],
        group_name=node["schema"],
        kinds={"dbt", "duckdb"},
        skippable=True,
        metadata={"dbt/unique_id": unique_id},
    )


def _deps(parent: Mapping[str, Any]) -> list[dg.AssetDep]:
    """Raw parents are mapped to their last slot only: by default Dagster would list every slot there ever was, at every tick.

    What reads how fetches ended follows every dataset; the other tables of the ledger follow from raw ones that are parents too.
    """
    if parent["resource_type"] != "source":
        return [dg.AssetDep(_key(parent))]
    if parent["schema"] == "raw":
        return [_raw_dep(parent["name"])]
    return [_raw_dep(dataset.name) for dataset in DATASETS] if parent["name"] in LEDGER_OF_FETCHES else []


def _raw_dep(dataset: str) -> dg.AssetDep:
    return dg.AssetDep(dg.AssetKey(["raw", dataset]), partition_mapping=dg.LastPartitionMapping())


def _key(node: Mapping[str, Any]) -> dg.AssetKey:
    return dg.AssetKey([node["schema"], node["name"]])


def _attached(node: Mapping[str, Any]) -> str | None:
    """The model that a generic test belongs to."""
    return node.get("attached_node") if node["resource_type"] == "test" else None


def _check_spec(test: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(test["name"], asset=_key(models[test["attached_node"]]))


def _events(
    result: NodeResult, models: Mapping[str, Mapping[str, Any]], tests: Mapping[str, Mapping[str, Any]]
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    if result.unique_id in models and result.status == "success":
        yield dg.MaterializeResult(asset_key=_key(models[result.unique_id]), metadata={"seconds": result.seconds})
    elif result.unique_id in tests and result.status != "skipped":
        test = tests[result.unique_id]
        yield dg.AssetCheckResult(
            passed=result.status == "pass",
            asset_key=_key(models[test["attached_node"]]),
            check_name=test["name"],
            metadata={"failures": result.failures},
        )
