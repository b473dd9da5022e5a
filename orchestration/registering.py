"""The registry of datasets as the warehouse knows it: its tables, and what coverage reads of each dataset.

Belongs here: turning registry records into what the warehouse is told. Does not: the records themselves
(`hypertracker.datasets`), loading into the tables (`landing`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import duckdb

from orchestration.hypertracker.datasets import DATASETS, SOURCES
from orchestration.hypertracker.endpoint import Dataset
from warehouse import ledger
from warehouse.coverage import create_coverage
from warehouse.definitions import create_definitions
from warehouse.fetches import FetchRecord
from warehouse.payload_columns import RowsSource
from warehouse.plans import create_plans
from warehouse.quarantine import create_quarantine
from warehouse.raw_tables import RawTable, create_raw_tables
from warehouse.registry_tables import write_registry


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the ledger and the raw tables of every dataset; may be called again."""
    ledger.create_ledger(connection)
    create_definitions(connection)
    create_plans(connection)
    create_quarantine(connection)
    create_raw_tables(connection, raw_tables())
    write_registry(connection, [_registered(dataset) for dataset in DATASETS], [*_past_sources()])
    create_coverage(connection)


def _registered(dataset: Dataset) -> tuple[object, ...]:
    return (
        dataset.name, _seconds(dataset.cadence.step), bool(dataset.scoped_by), dataset.is_optional, dataset.scope_prefixes,
        _seconds(dataset.reaches_back), _seconds(dataset.window), ledger.naive(dataset.floor), dataset.requests_a_poll,
    )  # fmt: skip


def _past_sources() -> Iterator[tuple[object, ...]]:
    for dataset in DATASETS:
        for source in dataset.past:
            times = ledger.naive(source.floor), ledger.naive(source.ceiling)
            yield (dataset.name, source.name, _seconds(source.reach), *times, source.requests_a_poll)


def _seconds(span: timedelta | None) -> int | None:
    return None if span is None else int(span.total_seconds())


def raw_tables() -> list[RawTable]:
    """Those of all datasets."""
    return [raw_table(dataset) for dataset in DATASETS]


def raw_table(dataset: Dataset) -> RawTable:
    """A registry record as the warehouse sees it."""
    if dataset.shape is not None:
        return RawTable(dataset.name)
    return RawTable(dataset.name, "rows", dataset.columns, dataset.scope_column, dataset.time_column, dataset.identity)


def rows_source(source: Dataset) -> RowsSource:
    """How the payloads of a registry record hold their rows."""
    return RowsSource(source.rows_at, source.epoch_aliases, source.scope_column is not None)


def source_of(record: FetchRecord) -> Dataset:
    """The registry record that was asked: the dataset's own, or one that serves its past."""
    return SOURCES[record.source or record.dataset]
