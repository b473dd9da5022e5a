"""What a payload declares: its keys and the kind of their values, and the definitions of cohorts and buckets it carries.

Belongs here: reading these off parsed JSON, and comparing them with what was known. Pure functions over values; does not keep
anything (`warehouse.definitions`) and decides no verdict (`orchestration.landing`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

ENDS_LOOKED_AT = 50
ROOT = "$"


class Change(StrEnum):
    """How a definition differs from the last one seen."""

    ADDED = "added"
    REMOVED = "removed"
    RETYPED = "retyped"
    REDEFINED = "redefined"

    @property
    def breaks(self) -> bool:
        """Whether models can no longer be trusted to read the payload."""
        return self in (Change.REMOVED, Change.RETYPED)


@dataclass(frozen=True)
class Difference:
    """One name whose definition is not what it was; None stands for not there."""

    name: str
    change: Change
    before: str | None
    after: str | None

    def __str__(self) -> str:
        return f"{self.name} {self.change}: {self.before or 'nothing'} became {self.after or 'nothing'}"


def keys_of(pages: Sequence[Any]) -> dict[str, str]:
    """Every key path of a payload, such as `$.metrics[].id`, with the kind of its values; `null` where nothing else was seen.

    Of long lists the first and last elements speak for all.
    """
    kinds: dict[str, set[str]] = {}
    for page in pages:
        for path, kind in _walk(page, ROOT):
            kinds.setdefault(path, set()).add(kind)
    return {path: "/".join(sorted(found - {"null"})) or "null" for path, found in kinds.items()}


def entries_of(records: Iterable[Mapping[str, Any]], label: str, key: str, values: Sequence[str]) -> dict[str, str]:
    """The definitions that records carry, by name: `cohort 3` -> the JSON of its name, category and bounds."""
    chosen = ((record[key], {name: record.get(name) for name in values}) for record in records)
    return {f"{label} {identity}": json.dumps(value, ensure_ascii=False, sort_keys=True) for identity, value in chosen}


def compare_keys(known: Mapping[str, str], found: Mapping[str, str]) -> list[Difference]:
    """Keys added, removed and retyped. A key is missed only where its siblings are there: an empty list has no keys."""
    parents = {_parent(path) for path in found}
    added = [Difference(path, Change.ADDED, None, kind) for path, kind in found.items() if path not in known]
    removed = [
        Difference(path, Change.REMOVED, kind, None)
        for path, kind in known.items()
        if path not in found and _parent(path) in parents
    ]
    retyped = [
        Difference(path, Change.RETYPED, known[path], kind)
        for path, kind in found.items()
        if path in known and "null" not in (kind, known[path]) and not set(kind.split("/")) & set(known[path].split("/"))
    ]
    return added + removed + retyped


def compare_entries(known: Mapping[str, str], found: Mapping[str, str]) -> list[Difference]:
    """Cohorts or buckets that are new, gone or defined otherwise; none of it makes a payload unreadable."""
    names = {**known, **found}
    return [
        Difference(name, Change.REDEFINED, known.get(name), found.get(name))
        for name in names
        if known.get(name) != found.get(name)
    ]


def _walk(value: Any, path: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _walk(inner, f"{path}.{name}")
            if isinstance(inner, dict | list):
                yield f"{path}.{name}", _kind(inner)
    elif isinstance(value, list):
        for inner in [*value[:ENDS_LOOKED_AT], *value[ENDS_LOOKED_AT:][-ENDS_LOOKED_AT:]]:
            if isinstance(inner, dict | list):
                yield from _walk(inner, f"{path}[]")
    else:
        yield path, _kind(value)


def _kind(value: Any) -> str:
    kinds = ((bool, "boolean"), (int | float, "number"), (str, "text"), (dict, "object"), (list, "list"))
    return next((word for kind, word in kinds if isinstance(value, kind)), "null")


def _parent(path: str) -> str:
    return path.rpartition(".")[0]
