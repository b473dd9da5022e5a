"""Notices when the provider changes what its payloads declare: keys, their kinds, cohorts, buckets.

Belongs here: holding one payload against what was last seen of its dataset. Does not: reading definitions off a payload
(`hypertracker.definitions_seen`), keeping them (`warehouse.definitions`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from orchestration.hypertracker.definitions_seen import (
    Difference,
    compare_entries,
    compare_keys,
    entries_of,
    keys_of,
)
from orchestration.hypertracker.endpoint import Dataset
from orchestration.hypertracker.shapes import ShapeError
from warehouse.definitions import ChangeRow, Sighting, Subject, known_definitions, note_changes, remember
from warehouse.fetches import FetchRecord

LOGGER = logging.getLogger("hypertracker")


class RedefinedError(ShapeError):
    """A payload that lacks or retypes something it had: models must not read it before someone looked."""

    def __init__(self, differences: Sequence[Difference]) -> None:
        super().__init__("the provider changed this dataset: " + "; ".join(map(str, differences[:5])))
        self.differences = differences


def watch_document(connection: duckdb.DuckDBPyConnection, record: FetchRecord, source: Dataset, pages: Sequence[Any]) -> None:
    """Compare a JSON payload with the last one of its kind, and remember it. Raises `RedefinedError`."""
    _watch_keys(connection, record, source, keys_of(pages))
    if source.defines is not None:
        listed = [item for page in pages for item in (page[source.defines.at] if source.defines.at else page)]
        entries = entries_of(listed, source.defines.label, source.defines.key, source.defines.values)
        subject = Subject(record.dataset, "", "entries")
        known = known_definitions(connection, subject, _sighting(record))
        _keep(connection, subject, record, compare_entries(known, entries) if known else [], known, entries)


def watch_columns(connection: duckdb.DuckDBPyConnection, record: FetchRecord, source: Dataset, columns: Sequence[str]) -> None:
    """The same for a file of rows, by the names of its columns. The loader refuses a file that lacks a column we know."""
    subject, found = _keys_subject(record, source), dict.fromkeys(columns, "column")
    known = known_definitions(connection, subject, _sighting(record))
    _keep(connection, subject, record, compare_keys(known, found) if known else [], known, found)


def note_refusal(connection: duckdb.DuckDBPyConnection, record: FetchRecord, source: Dataset, error: RedefinedError) -> None:
    """Keep what a refused payload would have changed: its own transaction was undone."""
    rows = [ChangeRow(d.name, d.change.value, d.before, d.after) for d in error.differences]
    note_changes(connection, _keys_subject(record, source), rows, _sighting(record))


def _watch_keys(connection: duckdb.DuckDBPyConnection, record: FetchRecord, source: Dataset, found: dict[str, str]) -> None:
    subject = _keys_subject(record, source)
    known = known_definitions(connection, subject, _sighting(record))
    differences = compare_keys(known, found) if known else []
    breaking = [difference for difference in differences if difference.change.breaks]
    if breaking and not source.is_optional:
        raise RedefinedError(breaking)
    _keep(connection, subject, record, differences, known, {**known, **_widened(known, found)})


def _keep(
    connection: duckdb.DuckDBPyConnection,
    subject: Subject,
    record: FetchRecord,
    differences: Sequence[Difference],
    known: Mapping[str, str],
    found: Mapping[str, str],
) -> None:
    for difference in differences:
        LOGGER.warning("%s %s: %s", subject.dataset, subject.variant, difference)
    rows = [ChangeRow(d.name, d.change.value, d.before, d.after) for d in differences]
    note_changes(connection, subject, rows, _sighting(record))
    if found != known:
        remember(connection, subject, found, _sighting(record))


def _sighting(record: FetchRecord) -> Sighting:
    return Sighting(record.finished_at, record.fetch_id, record.payload_id)


def _widened(known: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """Kinds add up over payloads: a key that is null today, or text beside numbers, keeps what it was known to be."""
    return {name: _joined(known.get(name, "null"), kind) for name, kind in found.items()}


def _joined(before: str, after: str) -> str:
    kinds = {*before.split("/"), *after.split("/")} - {"null"}
    return "/".join(sorted(kinds)) or "null"


def _keys_subject(record: FetchRecord, source: Dataset) -> Subject:
    """Payloads of another scope, of another source or from after a change that was accepted need not look alike."""
    accepted = source.redefined_at
    generation = accepted.isoformat() if accepted and record.finished_at >= accepted else ""
    return Subject(record.dataset, " ".join(filter(None, (record.source, generation, record.scope))), "keys")
