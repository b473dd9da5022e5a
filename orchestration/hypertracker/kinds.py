"""What kind of value stands under each key of a JSON payload: as models read it, so that none of them meets a value it cannot.

Belongs here: checking values by name, against the form of the dataset. Does not: whether the keys are there (`shapes`), whether
they changed since the last payload (`definition_watch`), the values of row-shaped files (`warehouse.readings`).

Numbers may come as text, as long as the text is a plain number; null stands for no value, but not in a key of `identity`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestration.hypertracker.forms import OPTIONAL, Form
from orchestration.hypertracker.shapes import ShapeError, align, instant

NUMBER = re.compile(r"-?\d{1,400}(\.\d{1,400})?([eE][+-]?\d{1,4})?")
WHOLE_NUMBER = re.compile(r"-?\d{1,19}(\.0{1,30})?")
SHOWN_CHARS = 60
SUM_TOLERANCE = 1e-6  # as `assert_gross_is_long_plus_short` has it
LARGEST = 1e30  # sums of more could be infinite, as `warehouse.readings` has it
INT32, INT64 = 1 << 31, 1 << 63
# Keys that models read as whole numbers of 64 and of 32 bits; `.id` is the id of the payload's own records.
COUNTS = (
    "count", "countLong", "countShort", "countInProfit", "countAssets", "countOpenPositions", "countTraders",
    "countTraders24hAgo", "countTradersInPosition", "countTradersInProfit", "positionCount", "positionCountLong",
    "pastPositionCount", "positionsCount", "rank", "previousRank", "id",
)  # fmt: skip
INDEXES = ("segmentId", "sizeSegmentId", "priceBinIndex", "mostImpactedSegment", "segment.id", ".id", "profile.segments")
# Below objects that forms do not look into.
BELOW = {
    **dict.fromkeys(("minSize", "maxSize", "minPnl", "maxPnl"), "number"),
    **dict.fromkeys(("long.count", "short.count", "countTraders", "profile.segments"), "number"),
}
TABLES = (("columns", "data"), ("historySnapshotStructure", "history"))
CONTAINERS: Mapping[str, type] = {"list": list, "object": dict}


@dataclass(frozen=True)
class _Rules:
    """`kinds` by name; the keys that must have a value; the keys of a sum and its parts."""

    kinds: Mapping[str, str]
    identity: frozenset[str]
    adds_up: Sequence[str]


def check_values(pages: Sequence[Any], form: Form, identity: Sequence[str] = (), adds_up: Sequence[str] = ()) -> None:
    """Raises `ShapeError` where a value is not of the kind its key has in the form, where a key of `identity` has none, and where
    a record has all keys of `adds_up` and the first is not the sum of the others, to a millionth."""
    rules = _Rules(_kinds_of(form), frozenset(identity), adds_up)
    for page in pages:
        _check(page, "", "", rules)


def _kinds_of(form: Form) -> Mapping[str, str]:
    kinds = dict(BELOW)
    for path, kind in form.keys.items():
        names = re.findall(r"([\w$]+)((?:\[\]|<rows?>)*)", path.replace(".*", ""))
        kinds |= {name: "list" if mark.startswith("[]") else "object" for name, mark in names[:-1]}
        kinds[names[-1][0]] = kind.removesuffix(OPTIONAL)
    whole = {name: "count" for name in COUNTS if kinds.get(name) == "number"}
    return kinds | whole | {name: "index" for name in INDEXES if name.rpartition(".")[2] in kinds or name in BELOW}


def _check(value: Any, parent: str, name: str, rules: _Rules) -> None:
    kind = rules.kinds.get(f"{parent}.{name}") or rules.kinds.get(name, "")
    if isinstance(value, dict):
        _refuse_unless(kind in ("", "object"), value, name, kind)
        _check_object(value, name, rules)
    elif isinstance(value, list):
        _refuse_unless(kind in ("", "list", "object", "index"), value, name, kind)
        for inner in value:
            if isinstance(inner, dict):
                _check_object(inner, name, rules)
            elif kind == "index" or isinstance(inner, list):
                _check(inner, parent, name, rules)
    elif value is None:
        if name in rules.identity:
            raise ShapeError(f"a record has no {name}")
    elif kind:
        _refuse_unless(_is(value, kind, name), value, name, kind)


def _check_object(value: Mapping[str, Any], name: str, rules: _Rules) -> None:
    if "segment" in rules.identity and name == "segment" and value.get("id") is None:
        raise ShapeError("a segment has no id")
    table = next(((columns, rows) for columns, rows in TABLES if columns in value and rows in value), ())
    for key, inner in value.items():
        if key not in table:
            _check(inner, name, key, rules)
    if rules.adds_up and all(value.get(key) is not None for key in rules.adds_up):
        _check_sum(value, *rules.adds_up)
    if table:
        _check_table(value[table[0]], value[table[1]], rules)


def _check_table(columns: Any, rows: Any, rules: _Rules) -> None:
    if not (isinstance(columns, list) and isinstance(rows, list)):
        raise ShapeError("columns and their values are no two lists")
    is_one_row = not any(isinstance(row, list) for row in rows)
    names = align([str(name) for name in columns], [rows] if is_one_row and rows else rows)
    # A lone row is of figures, whatever they are called.
    rules = replace(rules, kinds=dict.fromkeys(names, "number")) if is_one_row else rules
    for row in [rows] if is_one_row else rows:
        for name, value in zip(names, row, strict=False):
            _refuse_unless(not isinstance(value, dict | list), value, name, rules.kinds.get(name, "value"))
            _check(value, "", name, rules)


def _check_sum(record: Mapping[str, Any], whole: str, *parts: str) -> None:
    total, summed = float(record[whole]), sum(float(record[part]) for part in parts)
    if abs(total - summed) > SUM_TOLERANCE * max(1.0, abs(total)):
        raise ShapeError(f"{whole} is {total:g}, but {' and '.join(parts)} are {summed:g} together")


def _is(value: Any, kind: str, name: str) -> bool:
    if kind == "time":
        return instant(value, name) is not None
    if kind in ("number", "count", "index"):
        return _is_number(value) if kind == "number" else _is_whole(value, INT64 if kind == "count" else INT32)
    kinds: Mapping[str, type] = {"text": str, "boolean": bool, **CONTAINERS}
    return isinstance(value, kinds.get(kind, object))


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        return (not isinstance(value, str) or NUMBER.fullmatch(value) is not None) and abs(float(value)) <= LARGEST
    except OverflowError:
        return False


def _is_whole(value: Any, bound: int) -> bool:
    if isinstance(value, str):
        return WHOLE_NUMBER.fullmatch(value) is not None and _is_whole(int(value.partition(".")[0]), bound)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -bound <= value < bound and value == int(value)


def _refuse_unless(is_good: bool, value: Any, name: str, kind: str) -> None:
    words = {
        "number": f"a number up to {LARGEST:g}", "count": "a whole number of at most 64 bits",
        "index": "a whole number of at most 32 bits", "text": "text", "boolean": "true or false", "list": "a list",
        "object": "an object",
    }  # fmt: skip
    if not is_good:
        raise ShapeError(f"{name or 'the payload'} is not {words.get(kind, 'a single value')}: {str(value)[:SHOWN_CHARS]}")
