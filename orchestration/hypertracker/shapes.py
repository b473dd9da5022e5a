"""What a JSON payload must look like to be read: checked by name before it may become rows.

Belongs here: shape checks over parsed JSON, as values a registry record names. Does not: the flattening (dbt staging
models), row-shaped files (`warehouse.payload_columns` checks their columns), what the checks lead to (`orchestration.landing`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

TIME_COLUMN = "timestamp"
# What Python and DuckDB read alike; each alone knows more spellings.
INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?")


class ShapeError(Exception):
    """A payload that is not what its dataset promises; the message names the difference."""


@dataclass(frozen=True)
class Contents:
    """What a check found: rows, the payload's own snapshot time where it has one, the newest time inside (UTC)."""

    row_count: int
    snapshot_at: datetime | None = None
    newest_at: datetime | None = None


class Shape(Protocol):
    """A check of the pages of one payload. Raises `ShapeError`."""

    def inspect(self, pages: Sequence[Any], scope: str) -> Contents: ...


@dataclass(frozen=True)
class Records:
    """A list of objects, bare or under `at`, each with the keys of `required`; other keys are welcome.

    `time` names the key of a record's time (a series), `snapshot` the key beside the list that dates the whole payload,
    `coin` the key beside the list that must repeat the scope; `within` names a list inside each record with keys `inner`.
    """

    required: tuple[str, ...]
    at: str | None = None
    time: str | None = None
    snapshot: str | None = None
    coin: str | None = None
    within: str | None = None
    inner: tuple[str, ...] = ()

    def inspect(self, pages: Sequence[Any], scope: str) -> Contents:
        for page in pages:
            _require_coin(page, self.coin, scope)
        records = [record for page in pages for record in _list_at(page, self.at)]
        for number, record in enumerate(records):
            _require(record, self.required, f"record {number + 1}")
            for inner in _list_at(record, self.within) if self.within else ():
                _require(inner, self.inner, f"{self.within} of record {number + 1}")
        times = [instant(record[self.time], self.time) for record in records] if self.time else []
        snapshot = instant(pages[0].get(self.snapshot), self.snapshot) if self.snapshot else None
        return Contents(len(records), snapshot, max(times, default=snapshot))


@dataclass(frozen=True)
class Columnar:
    """Names and rows of values, matched by name: under keys `columns` and `rows` of the object at `at` (or of the payload
    itself); `groups` names the list that holds one such object a cohort.

    One mismatch is allowed (contract 3.7): the names may start with `coin` while every row has exactly one value less.
    """

    required: tuple[str, ...]
    at: str | None
    groups: str | None = None
    coin: str | None = None
    columns: str = "columns"
    rows: str = "data"

    def inspect(self, pages: Sequence[Any], scope: str) -> Contents:
        times: list[datetime] = []
        for page in pages:
            _require_coin(page, self.coin, scope)
            for block in _list_at(page, self.groups) if self.groups else [page]:
                _require(block, (self.at,) if self.at else (), "the payload")
                times += self._times(block[self.at] if self.at else block)
        return Contents(len(times), None, max(times, default=None))

    def _times(self, block: Any) -> list[datetime]:
        _require(block, (self.columns, self.rows), self.at or "the payload")
        rows = _list_at(block, self.rows)
        return times_of([str(name) for name in _list_at(block, self.columns)], rows, self.required)


@dataclass(frozen=True)
class Grouped:
    """A columnar block a cohort, in a wrapper nobody documented: a list (bare, or the only one of an object) of blocks that
    name their cohort under `group`, or an object that holds a block under each cohort's id."""

    required: tuple[str, ...]
    group: str

    def inspect(self, pages: Sequence[Any], scope: str) -> Contents:  # noqa: ARG002  # the protocol's signature
        times = [moment for page in pages for block in self._blocks(page) for moment in self._times(block)]
        return Contents(len(times), None, max(times, default=None))

    def _blocks(self, page: Any) -> list[Any]:
        if isinstance(page, dict) and page and all(str(key).isdigit() for key in page):
            return list(page.values())
        lists = [value for value in page.values() if isinstance(value, list)] if isinstance(page, dict) else [page]
        if len(lists) != 1 or not isinstance(lists[0], list):
            raise ShapeError(f"no single list of cohorts; found {_describe(page)}")
        for number, block in enumerate(lists[0]):
            _require(block, (self.group,), f"block {number + 1}")
        return lists[0]

    def _times(self, block: Any) -> list[datetime]:
        _require(block, ("columns", "data"), "the block of a cohort")
        rows = _list_at(block, "data")
        return times_of([str(name) for name in _list_at(block, "columns")], rows, self.required)


@dataclass(frozen=True)
class Table:
    """Rows with the names of `required`, in either documented form: a list of objects, or `columns` and `data`."""

    required: tuple[str, ...]

    def inspect(self, pages: Sequence[Any], scope: str) -> Contents:
        page = pages[0]
        if not (isinstance(page, dict) and {"columns", "data"} <= page.keys()):
            return Records(self.required).inspect(pages, scope)
        rows = _list_at(page, "data")
        columns = align([str(name) for name in _list_at(page, "columns")], rows)
        _require(dict.fromkeys(columns), self.required, "the table")
        return Contents(len(rows))


@dataclass(frozen=True)
class Single:
    """One object with the keys of `required`; `snapshot` names the key of its time, where it has one."""

    required: tuple[str, ...]
    snapshot: str | None = None

    def inspect(self, pages: Sequence[Any], scope: str) -> Contents:  # noqa: ARG002  # the protocol's signature
        _require(pages[0], self.required, "the payload")
        moment = instant(pages[0][self.snapshot], self.snapshot) if self.snapshot else None
        return Contents(1, moment, moment)


@dataclass(frozen=True)
class Moment:
    """One bare time."""

    def inspect(self, pages: Sequence[Any], scope: str) -> Contents:  # noqa: ARG002  # the protocol's signature
        moment = instant(pages[0], "the payload")
        return Contents(1, moment, moment)


@dataclass(frozen=True)
class Anything:
    """Any JSON object or list that holds something: for a payload nobody has documented."""

    def inspect(self, pages: Sequence[Any], scope: str) -> Contents:  # noqa: ARG002  # the protocol's signature
        if not isinstance(pages[0], dict | list):
            raise ShapeError(f"neither object nor list; found {_describe(pages[0])}")
        return Contents(1 if pages[0] else 0)


def times_of(columns: list[str], rows: Sequence[Any], required: Sequence[str]) -> list[datetime]:
    """The time of every row of a columnar block. Raises `ShapeError` where a column of `required` is missing, and where rows of
    one time differ."""
    names = align(columns, rows)
    missing = [name for name in required if name not in names]
    if missing:
        raise ShapeError(f"columns missing: {', '.join(missing)}; found {', '.join(names)}")
    position, seen = names.index(TIME_COLUMN), dict[datetime, Any]()
    times = [instant(row[position], TIME_COLUMN) for row in rows]
    for moment, row in zip(times, rows, strict=True):
        if seen.setdefault(moment, row) != row:
            raise ShapeError(f"two rows of {moment:%Y-%m-%d %H:%M:%S} differ")
    return times


def align(columns: list[str], rows: Sequence[Any]) -> list[str]:
    """The column names that the values of every row belong to. Raises `ShapeError` when that is not certain."""
    if len(set(columns)) < len(columns):
        raise ShapeError(f"a column name stands twice: {', '.join(columns)}")
    lengths = {len(row) if isinstance(row, list) else -1 for row in rows}
    if lengths <= {len(columns)}:
        return columns
    if columns[:1] == ["coin"] and lengths == {len(columns) - 1}:
        return columns[1:]
    if -1 in lengths:
        raise ShapeError(f"{len(columns)} columns declared, and a row that is no list of values")
    raise ShapeError(f"{len(columns)} columns declared, rows have {', '.join(map(str, sorted(lengths)))} values")


def instant(value: Any, name: str | None) -> datetime:
    """A UTC instant from ISO 8601 text with its offset stated. Raises `ShapeError` for anything else."""
    try:
        moment = datetime.fromisoformat(value) if INSTANT.fullmatch(value) else None
        if moment and moment.tzinfo:
            return moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        moment = None
    if moment is None:
        raise ShapeError(f"{name} is not an ISO 8601 time: {str(value)[:60]}")
    raise ShapeError(f"{name} has no time zone: {value}")


def _list_at(page: Any, key: str | None) -> list[Any]:
    value = page if key is None else page.get(key) if isinstance(page, dict) else None
    if not isinstance(value, list):
        raise ShapeError(f"no list {'under ' + key if key else 'in the payload'}; found {_describe(page)}")
    return value


def _require(record: Any, names: Iterable[str], where: str) -> None:
    if not isinstance(record, dict):
        raise ShapeError(f"{where} is no object but {_describe(record)}")
    missing = [name for name in names if name not in record]
    if missing:
        raise ShapeError(f"{where} lacks {', '.join(missing)}; found {_describe(record)}")


def _require_coin(page: Any, key: str | None, scope: str) -> None:
    if key is None:
        return
    _require(page, (key,), "the payload")
    if page[key] != scope:
        raise ShapeError(f"asked for {scope!r}, got {str(page[key])[:60]!r}")


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        return "an object with " + (", ".join(map(str, list(value)[:12])) or "no keys")
    return f"{type(value).__name__} {str(value)[:60]!r}"
