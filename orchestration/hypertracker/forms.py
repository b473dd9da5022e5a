"""What an answer is expected to look like: its file, where its keys stand and what kind they are, how its rows follow each other.

Belongs here: the words for a form. Does not: the forms themselves (`documented`), reading a form off an answer (`answer_forms`),
holding the two against each other (`expectations`), or whether an answer can be loaded at all (`shapes`, `warehouse.load`).

A path names a key by where it stands: `$` is the payload, `[]` any item of a list, `.*` any value of an object whose keys are
ids, `<rows>` the rows of `columns` and `data` (`<row>`, where `data` is one row).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

ROOT = "$"
UNVALUED = "nothing"
OPTIONAL = "?"
OPAQUE = ("list", "object")

Keys = dict[str, str]


@dataclass(frozen=True)
class Form:
    """`keys` are the paths of all keys in documented order, each with its kind: `text`, `number`, `time` (ISO 8601), `boolean`,
    `list` or `object` (not looked into), `nothing` (a column that rows have no value for); with `?` a key may be missing.

    `file` is `json` or `csv`, `packed` how it is compressed without saying so. `time` is the path that dates the rows, which
    are `newest_first` or not, or in no order that is known (None), `step` apart over a `window`. `updates` is how often the
    provider makes a newer one. An assumed form is one that no page documents.
    """

    keys: Mapping[str, str]
    file: str = "json"
    packed: str = ""
    time: str = ""
    newest_first: bool | None = None
    step: timedelta | None = None
    window: timedelta | None = None
    updates: timedelta | None = None
    is_assumed: bool = False


def number(*names: str) -> Keys:
    return dict.fromkeys(names, "number")


def text(*names: str) -> Keys:
    return dict.fromkeys(names, "text")


def time(*names: str) -> Keys:
    return dict.fromkeys(names, "time")


def opaque(kind: str, *names: str) -> Keys:
    """Keys that are there but whose content is not looked into."""
    return dict.fromkeys(names, kind)


def maybe(keys: Keys) -> Keys:
    """The same keys, each of which may be missing."""
    return {name: kind + OPTIONAL for name, kind in keys.items()}


def under(place: str, keys: Mapping[str, str]) -> Keys:
    """The same keys at a place below where they stood: `metrics[]`, `history<rows>`, or `[]` for the payload's own items."""
    return {joined(place, name): kind for name, kind in keys.items()}


def joined(place: str, name: str) -> str:
    return f"{place}{name}" if name.startswith(("[", "<")) else f"{place}.{name}"


def rooted(keys: Mapping[str, str]) -> Keys:
    """Keys of a payload as full paths."""
    return under(ROOT, keys)


def of_columns(columns: Mapping[str, str]) -> Keys:
    """The keys of a list of records with the columns of a raw table, from their SQL types."""
    kinds = {"varchar": "text", "timestamp": "time", "boolean": "boolean", "json": "list"}
    return {name: kinds.get(kind, "number") for name, kind in columns.items()}
