"""Running dbt inside this process, with a manifest parsed beforehand.

Belongs here: preparing the manifest, one `dbt build` of a selection, reading results and descriptions out of dbt. Does not:
Dagster's view of the models (`assets.dbt_models`), the models themselves (`dbt_project`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from filelock import FileLock

from warehouse.as_of import Spans, Versions
from warehouse.connection import REBUILD_MEND, WarehouseError, open_writer, writer_lock
from warehouse.marts import Mart, Replays
from warehouse.retention import Payload, RawReader, Readers, wanted_back

PROJECT_DIR = Path(__file__).parent.parent / "dbt_project"
TARGET_DIR = PROJECT_DIR / "target"
MANIFEST_FILE = TARGET_DIR / "manifest.json"
PARSED_FILE = TARGET_DIR / "partial_parse.msgpack"
WAREHOUSE_VARIABLE = "HTW_WAREHOUSE_FILE"
UNIT_TESTS = "resource_type:unit_test"
VIEWS = "config.materialized:view"
NO_TABLES = ("view", "ephemeral")
BUILDS_TABLE = "create table if not exists ops.whole_builds (fingerprint varchar)"
SOURCE_KINDS = ("*.sql", "*.yml", "*.csv", "*.md")
PutBack = Callable[[duckdb.DuckDBPyConnection, Sequence[Payload]], None]


class BuildError(WarehouseError):
    """dbt could not build or a test failed; the published copy stays as it was."""


@dataclass(frozen=True)
class NodeResult:
    """How one dbt node ended: `status` is dbt's word, `failures` the rows a test found."""

    unique_id: str
    status: str
    message: str
    failures: int
    seconds: float

    @property
    def failed(self) -> bool:
        return self.status in ("error", "fail", "runtime error")


def prepare_manifest() -> dict[str, Any]:
    """The dbt manifest, parsed anew when the project changed since; takes seconds then, milliseconds otherwise.

    Safe in several processes at once: one parses, the others wait for it.
    """
    if not _is_fresh():
        TARGET_DIR.mkdir(parents=True, exist_ok=True)
        with FileLock(TARGET_DIR / "parse.lock"):
            if not _is_fresh():
                _parse()
    manifest: dict[str, Any] = json.loads(MANIFEST_FILE.read_text("utf-8"))
    return manifest


def _parse() -> None:
    """Parse aside and move the results in, so that nobody reads half a file. They are as old as the sources that were read."""
    aside, begun_at = TARGET_DIR / "parsing", time.time()
    aside.mkdir(exist_ok=True)
    if PARSED_FILE.exists():
        shutil.copyfile(PARSED_FILE, aside / PARSED_FILE.name)
    with _dbt_environment(PROJECT_DIR / "parse" / "warehouse.duckdb"):
        result = _runner().invoke(["parse", "--log-level", "none", *_folders(aside)])
    if not result.success:
        raise BuildError(f"dbt cannot read {PROJECT_DIR.name}: {result.exception}")
    os.utime(aside / MANIFEST_FILE.name, (begun_at, begun_at))
    for file in (PARSED_FILE, MANIFEST_FILE):
        (aside / file.name).replace(file)


def build(
    warehouse_file: Path,
    target_dir: Path,
    select: Sequence[str] = (),
    full_refresh: bool = False,
    put_back: PutBack | None = None,
    left_out: Collection[str] = (),
) -> list[NodeResult]:
    """Build and test models (all but those `left_out`, or a dbt selection) in the working file, under the writer lock.

    A working file that this version of the models has never built whole is built whole, whatever is selected. Unit tests are
    left out: they test code, not data. Raw rows that were dropped and that this build reads are `put_back` first: a model made
    anew of what is left would lose the history. Raises `BuildError` when nobody can put them back, and when dbt could not run;
    failures of nodes are among the results.
    """
    manifest = prepare_manifest()
    whole = _selection(manifest, left_out) if left_out else []
    fingerprint = fingerprint_of_build(manifest, left_out)
    with writer_lock(warehouse_file):
        with open_writer(warehouse_file) as connection:
            is_known = is_built_by(connection, fingerprint) and not full_refresh
            _complete_raw(connection, raw_readers(manifest, left_out), full_refresh, put_back)
        chosen = _chosen(select or whole, VIEWS) if is_known else _chosen(whole)
        results = _invoke(warehouse_file, target_dir, [*_arguments(target_dir, full_refresh), *chosen])
        if not is_known and not any(result.failed for result in results):
            _note_whole_build(warehouse_file, fingerprint)
    return results


def fingerprint_of(manifest: Mapping[str, Any]) -> str:
    """Changes when any model, seed or macro does."""
    nodes = [*manifest["nodes"].values(), *manifest["macros"].values()]
    ours = [node for node in nodes if node["package_name"] == "hypertracker"]
    texts = sorted(f"{node['unique_id']} {node.get('raw_code') or node.get('macro_sql')} {node.get('config')}" for node in ours)
    return hashlib.sha256("".join(texts).encode()).hexdigest()[:16]


def fingerprint_of_build(manifest: Mapping[str, Any], left_out: Collection[str] = ()) -> str:
    """The same of a machine that builds all but some models: changes when it builds others, too."""
    return "/".join([fingerprint_of(manifest), *(_selection(manifest, left_out) if left_out else [])])


def is_built_by(connection: duckdb.DuckDBPyConnection, fingerprint: str) -> bool:
    """Whether the models of a fingerprint made all that the working file holds."""
    try:
        return connection.execute("select 1 from ops.whole_builds where fingerprint = ?", [fingerprint]).fetchone() is not None
    except duckdb.CatalogException:
        return False


def _arguments(target_dir: Path, full_refresh: bool) -> list[str]:
    options = ["--full-refresh"] if full_refresh else []
    # dbt would write the manifest that it was given, at every build.
    return ["build", "--no-write-json", "--log-level", "none", *options, *_folders(target_dir)]


def _chosen(select: Sequence[str], *standing: str) -> list[str]:
    """What dbt is to build, without unit tests and the kinds that are `standing`: views stand as they were built until the models
    change, which makes the next build a whole one."""
    return [*(["--select", *select] if select else []), "--exclude", UNIT_TESTS, *standing]


def _selection(manifest: Mapping[str, Any], left_out: Collection[str]) -> list[str]:
    """The other models as dbt selects them."""
    models = {uid: node for uid, node in manifest["nodes"].items() if node["resource_type"] == "model"}
    return sorted(f"fqn:{'.'.join(node['fqn'])}" for uid, node in models.items() if uid not in left_out)


def _invoke(warehouse_file: Path, target_dir: Path, arguments: Sequence[str]) -> list[NodeResult]:
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    target_dir.mkdir(parents=True, exist_ok=True)
    with _dbt_environment(warehouse_file):
        try:
            outcome = _runner(_stored_manifest()).invoke(list(arguments))
        finally:
            # Until then the file stays open in this process, and every other one is refused.
            DuckDBConnectionManager.close_all_connections()
    if outcome.result is None:
        raise BuildError(f"dbt stopped: {outcome.exception}")
    return [_node_result(result) for result in outcome.result.results]


def _complete_raw(connection: duckdb.DuckDBPyConnection, readers: Readers, full_refresh: bool, put_back: PutBack | None) -> None:
    wanted = wanted_back(connection, readers, full_refresh)
    if wanted and put_back is None:
        raise BuildError(f"the raw rows of {len(wanted)} payloads that this build reads were dropped", REBUILD_MEND)
    if wanted and put_back:
        put_back(connection, wanted)


def raw_readers(manifest: Mapping[str, Any], left_out: Collection[str] = ()) -> dict[str, tuple[RawReader, ...]]:
    """The tables made of each dataset's raw rows, be it through views; none of models that are `left_out` here."""
    raw = {uid: source["name"] for uid, source in manifest["sources"].items() if source["schema"] == "raw"}
    return {
        name: tuple(_raw_reader(node) for node in _readers(manifest, uid) if node["unique_id"] not in left_out)
        for uid, name in raw.items()
    }


def _readers(manifest: Mapping[str, Any], unique_id: str) -> list[Mapping[str, Any]]:
    """The tables that are nearest below a node."""
    below = {uid for uid in manifest["child_map"][unique_id] if uid in manifest["nodes"]}
    models = [manifest["nodes"][uid] for uid in sorted(below) if manifest["nodes"][uid]["resource_type"] == "model"]
    views = [node for node in models if node["config"]["materialized"] in NO_TABLES]
    found = [node for node in models if node not in views]
    found += [node for view in views for node in _readers(manifest, view["unique_id"])]
    return list({node["unique_id"]: node for node in found}.values())


def _raw_reader(node: Mapping[str, Any]) -> RawReader:
    is_incremental = node["config"]["materialized"] == "incremental"
    return RawReader(node["schema"], node["name"], is_incremental, "replays" in node["config"].get("meta", {}))


def _note_whole_build(warehouse_file: Path, fingerprint: str) -> None:
    with open_writer(warehouse_file) as connection:
        connection.execute(BUILDS_TABLE)
        connection.execute("delete from ops.whole_builds")
        connection.execute("insert into ops.whole_builds values (?)", [fingerprint])


def raise_for_failures(results: Sequence[NodeResult]) -> None:
    """Raise `BuildError` naming every model and test that failed."""
    failed = [result for result in results if result.failed]
    if failed:
        lines = "; ".join(f"{result.unique_id.split('.')[2]}: {result.message or result.status}" for result in failed)
        raise BuildError(f"{len(failed)} dbt nodes failed, so nothing was published: {lines}")


def described_marts(manifest: Mapping[str, Any], left_out: Collection[str] = ()) -> list[Mart]:
    """Every mart with its descriptions and key, as the publisher wants them; none of models that are `left_out` here."""
    marts = []
    for uid, node in manifest["nodes"].items():
        if node["resource_type"] == "model" and node["schema"] == "marts" and uid not in left_out:
            columns = {name: column["description"] for name, column in node["columns"].items()}
            meta = node["config"].get("meta", {})
            versions = Versions(**meta["versions"]) if "versions" in meta else None
            marts.append(
                Mart(
                    node["name"],
                    node["description"],
                    columns,
                    tuple(meta.get("sort_by", ())),
                    tuple(meta.get("kept_by", ())),
                    versions,
                    _units_of(node["config"]),
                    meta.get("partition_by", ""),
                    meta.get("hot_by", ""),
                    Replays(**meta["replays"]) if "replays" in meta else None,
                    Spans(**meta["spans"]) if "spans" in meta else None,
                    node["config"]["materialized"] == "view",
                    meta.get("per_publisher", False),
                )
            )
    return sorted(marts, key=lambda mart: mart.name)


def _units_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What an incremental model replaces together."""
    keys = config.get("unique_key") if config["materialized"] == "incremental" else None
    return (keys,) if isinstance(keys, str) else tuple(keys or ())


def _node_result(result: Any) -> NodeResult:
    return NodeResult(
        result.node.unique_id, str(result.status), str(result.message or ""), result.failures or 0, result.execution_time
    )


def _is_fresh() -> bool:
    if not MANIFEST_FILE.exists() or not PARSED_FILE.exists():
        return False
    parsed_at = MANIFEST_FILE.stat().st_mtime
    folders = [path for path in PROJECT_DIR.iterdir() if path.is_dir() and path.name not in ("target", "logs")]
    sources = [file for folder in folders for kind in SOURCE_KINDS for file in folder.rglob(kind)]
    sources += [PROJECT_DIR / "dbt_project.yml", PROJECT_DIR / "profiles.yml"]
    return all(source.stat().st_mtime < parsed_at for source in sources)


def _stored_manifest() -> Any:
    from dbt.contracts.graph.manifest import Manifest

    manifest = Manifest.from_msgpack(PARSED_FILE.read_bytes())
    manifest.build_flat_graph()
    return manifest


def _runner(manifest: Any = None) -> Any:
    from dbt.cli.main import dbtRunner

    return dbtRunner(manifest=manifest)


def _folders(target_dir: Path) -> list[str]:
    project = str(PROJECT_DIR)
    return ["--project-dir", project, "--profiles-dir", project, "--target-path", str(target_dir), "--log-level-file", "none"]


@contextlib.contextmanager
def _dbt_environment(warehouse_file: Path) -> Iterator[None]:
    """dbt's profile names the working file by this variable."""
    before = os.environ.get(WAREHOUSE_VARIABLE)
    os.environ[WAREHOUSE_VARIABLE] = str(warehouse_file)
    try:
        yield
    finally:
        if before is None:
            del os.environ[WAREHOUSE_VARIABLE]
        else:
            os.environ[WAREHOUSE_VARIABLE] = before
