"""What lies where, what the plan in force adds to it, and what each setting that keeps things costs.

Belongs here: putting measured sizes, the plan and the models' lineage together. Does not: measuring (`warehouse.sizes`), showing
(`storage_commands`).

A forecast takes what a poll of a dataset brought in the last days, times the polls a day of the plan. Tables grow with the bytes
received of the datasets that they are made of, as they did so far.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from orchestration.hypertracker.datasets import BY_NAME
from orchestration.modelling import described_marts, prepare_manifest, raw_readers
from orchestration.pipeline import Pipeline
from orchestration.planning.pace import DAY
from orchestration.tidying import begin_of_day
from warehouse.connection import open_reader
from warehouse.lake import Lake
from warehouse.packing import PACKED_AFTER_DAYS
from warehouse.plans import PlanRecord
from warehouse.publish import VERSIONS_KEPT
from warehouse.retention import kept_whole
from warehouse.sizes import Files, Received, TableSize, Working, files_below, files_named, loaded_bytes, measure, vault_days

MEASURED_DAYS = 7
YEAR_DAYS = 365
FACT_SCHEMAS = ("intermediate", "marts")


@dataclass(frozen=True)
class Growth:
    """What one dataset adds in a day, in bytes; None of it where nothing of it was measured in the last days."""

    dataset: str
    polls_a_day: float
    vault: float | None = None
    raw: float | None = None
    facts: float | None = None


@dataclass(frozen=True)
class Keeping:
    """A setting (or habit) that keeps things: what a day of it takes, where that can be told, and what could go now."""

    setting: str
    value: str
    bytes_a_day: float | None
    bytes_to_go: int
    says: str


@dataclass(frozen=True)
class Storage:
    """Everything that `htw storage` tells."""

    places: Mapping[str, Files]
    vault: Mapping[tuple[str, str], Files]
    working: Working
    growth: tuple[Growth, ...] = ()
    lake_a_day: float = 0.0
    raw_days: int = 0
    keeping: tuple[Keeping, ...] = field(default=())

    def a_day(self, part: str) -> float:
        """What the plan in force adds to vault, raw or facts in a day."""
        return sum(getattr(one, part) or 0.0 for one in self.growth)

    def in_a_year(self) -> float:
        """What the plan in force will have added in a year; raw rows are kept for a few days only."""
        grows = self.a_day("vault") + self.a_day("facts") + self.lake_a_day
        return YEAR_DAYS * grows + self.raw_days * self.a_day("raw")


def survey(pipeline: Pipeline) -> Storage:
    """Look at each file and each table once. Holds the working file for the look at its tables only."""
    settings, today = pipeline.settings, begin_of_day(pipeline.clock.now())
    since = today - timedelta(days=max(MEASURED_DAYS, settings.raw_days))
    vault = vault_days(settings.vault_dir)
    places = _places(pipeline, vault)
    working, loaded, with_raw = Working(), dict[str, int](), dict[str, int]()
    if settings.warehouse_file.exists():
        with open_reader(settings.warehouse_file) as connection:
            working = measure(connection, since)
            loaded, with_raw = loaded_bytes(connection)
    rates = Rates(vault, working, loaded, with_raw, today.date())
    growth = tuple(rates.growth(dataset, polls) for dataset, polls in polls_a_day(pipeline.probable_plan()).items())
    marts = sum(table.byte_count for table in working.tables if table.schema == "marts")
    lake_share = places["lake"].byte_count / marts if marts else 0.0
    found = Storage(places, vault, working, growth, 0.0, settings.raw_days)
    facts = found.a_day("facts") * lake_share * marts / (rates.fact_bytes or 1)
    return Storage(places, vault, working, growth, facts, settings.raw_days, _keeping(pipeline, found, rates))


def polls_a_day(plan: PlanRecord) -> dict[str, float]:
    """How many fetches a day a plan makes of each dataset that it polls."""
    found = {}
    for dataset in dict.fromkeys(pace.dataset for pace in plan.paces):
        rate = sum(DAY.total_seconds() / seconds for seconds in plan.intervals(dataset).values())
        if rate:
            found[dataset] = rate * len(BY_NAME[dataset].scope_prefixes)
    return found


class Rates:
    """Bytes a poll, by dataset, as measured over whole days."""

    def __init__(
        self,
        vault: Mapping[tuple[str, str], Files],
        working: Working,
        loaded: Mapping[str, int],
        with_raw: Mapping[str, int],
        today: date,
    ) -> None:
        self._measured_since = (today - timedelta(days=MEASURED_DAYS)).isoformat()
        self._vault, self._loaded, self._with_raw = vault, loaded, with_raw
        self._received = defaultdict[str, list[Received]](list)
        for one in working.received:
            self._received[one.dataset].append(one)
        self._raw = {table.name: table.byte_count for table in working.tables if table.schema == "raw"}
        self._facts = [table for table in working.tables if table.schema in FACT_SCHEMAS]
        self._made_of = lineage(prepare_manifest())
        self._shares = _shares(self._facts, self._made_of, loaded)
        self.fact_bytes = sum(table.byte_count for table in self._facts)

    def growth(self, dataset: str, polls: float) -> Growth:
        measured = self._measured(dataset)
        fetches = sum(one.fetch_count for one in measured)
        if not fetches:
            return Growth(dataset, polls)
        stored = sum(self._vault.get((dataset, one.day), Files()).byte_count for one in measured)
        loaded = self._loaded_a_day(dataset, polls)
        return Growth(
            dataset, polls, polls * stored / fetches, loaded * self._raw_share(dataset), loaded * self._shares.get(dataset, 0.0)
        )

    def growth_of(self, tables: Collection[str], dataset: str, polls: float) -> float:
        """What a dataset adds to some tables in a day."""
        chosen = [table for table in self._facts if table.name in tables]
        return self._loaded_a_day(dataset, polls) * _shares(chosen, self._made_of, self._loaded).get(dataset, 0.0)

    def raw_before(self, day: date, kept: Collection[str]) -> int:
        """What the raw rows of slots before a day take, of datasets that are not kept whole."""
        found = 0.0
        for dataset in self._with_raw.keys() - set(kept):
            newer = sum(one.raw_byte_count for one in self._received[dataset] if one.day >= day.isoformat())
            found += (self._with_raw[dataset] - newer) * self._raw_share(dataset)
        return round(found)

    def _measured(self, dataset: str) -> list[Received]:
        return [one for one in self._received[dataset] if one.day >= self._measured_since]

    def _loaded_a_day(self, dataset: str, polls: float) -> float:
        measured = self._measured(dataset)
        return polls * sum(one.loaded_byte_count for one in measured) / (sum(one.fetch_count for one in measured) or 1)

    def _raw_share(self, dataset: str) -> float:
        return self._raw.get(dataset, 0) / self._with_raw[dataset] if self._with_raw.get(dataset) else 0.0


def _shares(tables: Iterable[TableSize], made_of: Mapping[str, set[str]], loaded: Mapping[str, int]) -> dict[str, float]:
    """Bytes of tables a byte received of each dataset: those that a table is made of share it by the bytes received of each."""
    shares = defaultdict[str, float](float)
    for table in tables:
        sources = [name for name in made_of.get(table.name, ()) if loaded.get(name)]
        total = sum(loaded[name] for name in sources)
        for name in sources:
            shares[name] += table.byte_count / total
    return dict(shares)


def lineage(manifest: Mapping[str, Any]) -> dict[str, set[str]]:
    """The datasets whose raw rows each model is made of, through whatever lies between."""
    found = dict[str, set[str]]()

    def above(unique_id: str) -> set[str]:
        if unique_id in manifest["sources"]:
            source = manifest["sources"][unique_id]
            return {source["name"]} if source["schema"] == "raw" else set()
        if unique_id not in found:
            parents = manifest["parent_map"].get(unique_id, ())
            found[unique_id] = {name for parent in parents for name in above(parent)}
        return found[unique_id]

    models = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    return {node["name"]: above(node["unique_id"]) for node in models}


def _places(pipeline: Pipeline, vault: Mapping[tuple[str, str], Files]) -> dict[str, Files]:
    settings = pipeline.settings
    return {
        "vault": sum(vault.values(), Files()),
        "working file": files_named(settings.warehouse_file.parent, f"{settings.warehouse_file.name}*"),
        "published": files_below(settings.published_dir),
        "lake": _lake_files(settings.lake),
        "dagster": files_below(settings.dagster_home),
    }


def _lake_files(lake: Lake) -> Files:
    """Of what lies in a server or a store nothing is counted: it is no room of this machine."""
    data = files_below(lake.data) if isinstance(lake.data, Path) else Files()
    catalog = files_named(lake.catalog.parent, f"{lake.catalog.name}*") if isinstance(lake.catalog, Path) else Files()
    return data + catalog


def _keeping(pipeline: Pipeline, found: Storage, rates: Rates) -> tuple[Keeping, ...]:
    settings, today = pipeline.settings, begin_of_day(pipeline.clock.now())
    manifest = prepare_manifest()
    hot = {mart.name for mart in described_marts(manifest) if mart.hot_by}
    packed_before = (today - timedelta(days=PACKED_AFTER_DAYS)).date().isoformat()
    old = [files for (_, day), files in found.vault.items() if day < packed_before]
    slack = sum(max(files.byte_count - files.packed_byte_count, 0) for files in old)
    raw_to_go = rates.raw_before((today - timedelta(days=settings.raw_days)).date(), kept_whole(raw_readers(manifest)))
    hot_a_day = VERSIONS_KEPT * sum(rates.growth_of(hot, one.dataset, one.polls_a_day) for one in found.growth)
    return (
        Keeping("HTW_RAW_DAYS", str(settings.raw_days), found.a_day("raw"), raw_to_go, "raw rows; the vault has them for ever"),
        Keeping(
            "HTW_HOT_DAYS", str(settings.hot_days), hot_a_day, 0, "largest facts in the published versions; the lake has all"
        ),
        Keeping(
            "packing",
            f"{PACKED_AFTER_DAYS} days",
            None,
            slack,
            "small files of old days in the vault, two a day and dataset then",
        ),
        Keeping("vault", "for ever", found.a_day("vault"), 0, "what was received: everything else is made of it"),
    )
