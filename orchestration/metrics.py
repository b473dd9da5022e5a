"""Metrics for Prometheus: what the ledger, the budget, the files and the open problems say, in numbers.

Belongs here: names, help and formats of metrics. Does not: the numbers themselves (`warehouse.figures`, `budget`,
`alerting.problems`), when the file is written (`sensors`). Everything is read anew each time; nothing is counted in memory, so
that every process says the same.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import duckdb
from prometheus_client import CollectorRegistry, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from orchestration.alerting.problems import KINDS, Found
from orchestration.pipeline import Pipeline
from warehouse.connection import WarehouseError, open_reader
from warehouse.figures import QUANTILES, FetchFigures, LedgerFigures, SlotFigures, read_figures

READER_WAIT_S = 5.0
DAYS_REMEMBERED = 100_000


class WarehouseCollector(Collector):
    """Reads the figures of a data folder at each collection; `find` says what is wrong at that moment."""

    def __init__(self, pipeline: Pipeline, find: Callable[[], Found]) -> None:
        self._pipeline, self._find, self._alone = pipeline, find, threading.Lock()

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is, is known only when it is read."""
        return []

    def collect(self) -> Iterable[Metric]:
        with self._alone:
            return list(_families(self._pipeline, self._find()))


def registry_of(pipeline: Pipeline, find: Callable[[], Found]) -> CollectorRegistry:
    """A registry with the figures of one data folder and nothing else."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(WarehouseCollector(pipeline, find))
    return registry


def openmetrics_text(registry: CollectorRegistry) -> str:
    """The metrics as OpenMetrics text."""
    return openmetrics.generate_latest(registry).decode("utf-8")


def write_metrics(registry: CollectorRegistry, file: Path) -> None:
    """Replace the file as one step; in Prometheus' own text format: node_exporter's textfile collector reads no other."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(f".{os.getpid()}.tmp")
    aside.write_bytes(exposition.generate_latest(registry))
    aside.replace(file)


def _families(pipeline: Pipeline, found: Found) -> Iterator[Metric]:
    now = pipeline.clock.now()
    figures = _ledger(pipeline, now)
    yield _gauge("htw_warehouse_readable", "Whether the ledger could be read just now: 1 or 0.", figures is not None)
    if figures is not None:
        yield _ages(figures.newest, now)
        yield from _slots(figures.slots)
        yield from _fetched(figures.fetched)
    yield from _requests(pipeline, now)
    yield from _files(pipeline)
    yield _problems(found)
    yield _gauge("htw_metrics_timestamp_seconds", "When these metrics were read, in seconds since 1970.", now.timestamp())


def _ledger(pipeline: Pipeline, now: datetime) -> LedgerFigures | None:
    """None where the file is held by somebody, damaged, not there yet, or of an earlier version of the project."""
    if not pipeline.settings.warehouse_file.exists():
        return None
    try:
        with open_reader(pipeline.settings.warehouse_file, READER_WAIT_S) as connection:
            return read_figures(connection, now)
    except (WarehouseError, duckdb.Error):
        return None


def _gauge(name: str, says: str, value: float) -> Metric:
    return GaugeMetricFamily(name, says, value=float(value))


def _ages(newest: dict[str, datetime], now: datetime) -> Metric:
    family = GaugeMetricFamily(
        "htw_freshness_seconds",
        "Age of the newest data of a dataset, by the provider's time.",
        labels=["dataset"],
        unit="seconds",
    )
    for dataset, at in sorted(newest.items()):
        family.add_metric([dataset], (now - at).total_seconds())
    return family


def _slots(figures: Iterable[SlotFigures]) -> Iterator[Metric]:
    ended = GaugeMetricFamily(
        "htw_slots_last_day", "Slots of the last 24 h, one for each scope, by how they ended.", labels=["dataset", "verdict"]
    )
    missing = GaugeMetricFamily(
        "htw_slots_missing_last_day", "Slots of the last 24 h that were due and did not arrive.", labels=["dataset"]
    )
    healable = GaugeMetricFamily(
        "htw_slots_recoverable_last_day", "Those of the missing slots that can still be healed.", labels=["dataset"]
    )
    held = list(figures)
    for one in held:
        ended.add_metric([one.dataset, one.verdict], one.slots)
    for dataset in dict.fromkeys(one.dataset for one in held):
        own = [one for one in held if one.dataset == dataset]
        missing.add_metric([dataset], sum(one.missing for one in own))
        healable.add_metric([dataset], sum(one.recoverable for one in own))
    yield from (ended, missing, healable)


def _fetched(figures: Iterable[FetchFigures]) -> Iterator[Metric]:
    requests = CounterMetricFamily("htw_requests", "Requests sent for a dataset since the ledger began.", labels=["dataset"])
    received = CounterMetricFamily(
        "htw_received_bytes", "Bytes received for a dataset since the ledger began.", labels=["dataset"], unit="bytes"
    )
    last_day = GaugeMetricFamily(
        "htw_received_last_day_bytes", "Bytes received for a dataset in the last 24 h.", labels=["dataset"], unit="bytes"
    )
    took = SummaryMetricFamily(
        "htw_fetch_duration_seconds",
        "How long fetches took, waiting included: quantiles of the last 24 h, sum and count since the ledger began.",
        labels=["dataset"],
        unit="seconds",
    )
    for one in figures:
        requests.add_metric([one.dataset], one.requests)
        received.add_metric([one.dataset], one.bytes)
        last_day.add_metric([one.dataset], one.bytes_last_day)
        for quantile, seconds in zip(QUANTILES, one.quantiles, strict=False):
            took.add_sample("htw_fetch_duration_seconds", {"dataset": one.dataset, "quantile": str(quantile)}, seconds)
        took.add_metric([one.dataset], one.fetches, one.seconds)
    yield from (requests, received, last_day, took)


def _requests(pipeline: Pipeline, now: datetime) -> Iterator[Metric]:
    budget = pipeline.budget()
    spent = GaugeMetricFamily("htw_requests_spent_today", "Requests sent this UTC day, by urgency.", labels=["urgency"])
    for urgency, count in sorted(budget.spent_in(now.date()).items()):
        spent.add_metric([urgency.name.lower()], count)
    left, rests = (
        budget.left(),
        GaugeMetricFamily("htw_requests_left", "Requests that the quota still allows.", labels=["window"]),
    )
    for window, rest in (("day", left.today), ("month", left.this_month)):
        if rest is not None:
            rests.add_metric([window], rest)
    yield from (spent, rests)
    yield _gauge("htw_quota_closed", "Whether no request may be sent now: 1 or 0.", left.closed_until is not None)


def _files(pipeline: Pipeline) -> Iterator[Metric]:
    settings = pipeline.settings
    sizes = GaugeMetricFamily("htw_files_bytes", "Space that a part of the data folder takes.", labels=["part"], unit="bytes")
    sizes.add_metric(["vault"], _vault_bytes(settings.vault_dir))
    for part, file in (("warehouse", settings.warehouse_file), ("published", settings.published_file)):
        if file.exists():
            sizes.add_metric([part], file.stat().st_size)
    yield sizes
    if settings.published_file.exists():
        says = "When the published copy was last written, in seconds since 1970."
        yield _gauge("htw_last_publish_timestamp_seconds", says, settings.published_file.stat().st_mtime)


def _problems(found: Found) -> Metric:
    family = GaugeMetricFamily("htw_problems_open", "What is wrong now, by kind; `htw alerts` says it in words.", labels=["kind"])
    for kind in KINDS:
        # A kind that could not be looked at is left out, not zero.
        if kind not in found.unseen:
            family.add_metric([kind], sum(problem.kind == kind for problem in found.problems))
    return family


def _vault_bytes(folder: Path) -> int:
    """Bodies and records; a day's folder that did not change is not listed again."""
    days = (day for dataset in _folders(folder) for day in _folders(Path(dataset.path)))
    return sum(_folder_bytes(day.path, day.stat().st_mtime_ns) for day in days)


def _folders(folder: Path) -> list[os.DirEntry[str]]:
    if not folder.exists():
        return []
    with os.scandir(folder) as entries:
        return [entry for entry in entries if entry.is_dir()]


@lru_cache(DAYS_REMEMBERED)
def _folder_bytes(folder: str, changed_at_ns: int) -> int:  # noqa: ARG001 - the cache forgets by it
    with os.scandir(folder) as entries:
        return sum(entry.stat().st_size for entry in entries if entry.is_file())
