"""Holding the keys of an answer against those expected: what moved, is gone, is new, is renamed, of another kind, reordered.

Belongs here: the comparison of paths and kinds, as pure functions. Does not: reading them (`answer_forms`), what else an answer
is compared in and what to change (`expectations`).

Keys that stand together are compared together: the group of an expected path is found where most of its keys are, so that
another wrapper is one change and not a loss of everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from orchestration.hypertracker.forms import OPAQUE, OPTIONAL, UNVALUED

TOKENS = re.compile(r"\$|\.[^.\[<]+|\[\]|<\w+>")
MOST_NAMED = 8

ValueT = TypeVar("ValueT")
Groups = dict[str, dict[str, ValueT]]


@dataclass
class KeyChanges:
    """What differs, as pairs of words for what was expected and what came. `places` maps every expected group to its place."""

    moved: list[tuple[str, str]] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)
    added: list[tuple[str, str]] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    retyped: list[tuple[str, str]] = field(default_factory=list)
    reordered: list[tuple[str, str]] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)


def compare_forms(expected: Mapping[str, str], found: Mapping[str, set[str]], is_csv: bool) -> KeyChanges:
    """`expected` as in `Form.keys`, `found` as in `AnswerForm.kinds`; of a CSV no text is too much like a number."""
    wanted, there = _grouped(expected), _grouped(found)
    changes = KeyChanges(places=_places(wanted, there))
    moves = dict.fromkeys(_shortened(place, now) for place, now in changes.places.items() if place != now)
    changes.moved += [(_words(before), _words(after)) for before, after in moves]
    for place, now in changes.places.items():
        _compare_group(changes, now, wanted[place], there[now], is_csv)
    changes.missing += [
        (_listed(names, place), "nothing of that")
        for place, names in wanted.items()
        if place not in changes.places and not _is_excused(place, names, found, moves)
    ]
    opaque = [f"{changes.places[place]}.{name}" for place in changes.places for name, kind in wanted[place].items()
              if kind.removesuffix(OPTIONAL) in OPAQUE]  # fmt: skip
    for now, kinds in there.items():
        scalars = [name for name, kind in kinds.items() if not kind & set(OPAQUE)]
        if scalars and now not in changes.places.values() and not any(now == place or _is_within(now, place) for place in opaque):
            changes.added.append(("nothing there", _listed(scalars, now)))
    return changes


def _compare_group(changes: KeyChanges, place: str, wanted: dict[str, str], there: dict[str, set[str]], is_csv: bool) -> None:
    missing = [name for name, kind in wanted.items() if name not in there and not kind.endswith(OPTIONAL)]
    added = [name for name, kinds in there.items() if name not in wanted and not kinds & set(OPAQUE)]
    if len(missing) == len(added) == 1:
        changes.renamed.append((_listed(missing, place), f"{_listed(added, place)} in its stead"))
    else:
        changes.missing += [(_listed(missing, place), f"not there; found are {_listed(there, place)}")] if missing else []
        changes.added += [("no such keys", _listed(added, place))] if added else []
    both = [name for name in there if name in wanted]
    for name in both:
        if kinds := _strange_kinds(wanted[name].removesuffix(OPTIONAL), there[name], is_csv):
            changes.retyped.append((_kind_words(name, wanted[name].removesuffix(OPTIONAL)), _kind_words(name, *kinds)))
    in_order = [name for name in wanted if name in there]
    if both != in_order and (is_csv or place.endswith(">")):
        changes.reordered.append((_listed(in_order, place, len(in_order)), _listed(both, place, len(both))))


def _strange_kinds(wanted: str, there: set[str], is_csv: bool) -> list[str]:
    allowed = {"text": {"text", "time", "number", "boolean"} if is_csv else {"text", "time"}}.get(wanted, {wanted})
    # In a CSV whole JSON values are text.
    allowed |= {"text"} if is_csv and wanted in OPAQUE else set()
    return sorted(there - {"null"} - allowed)


def _places(wanted: Groups[str], there: Groups[set[str]]) -> dict[str, str]:
    """Where each expected group is: at its own path, else where at least half of its keys are."""
    places = {place: place for place in wanted if place in there and wanted[place].keys() & there[place].keys()}
    for place in sorted(wanted.keys() - places.keys(), key=lambda place: -len(wanted[place])):
        free = [now for now in there if now not in places.values()]
        best = max(free, key=lambda now: len(wanted[place].keys() & there[now].keys()), default=None)
        if best is not None and 2 * len(wanted[place].keys() & there[best].keys()) >= len(wanted[place]):
            places[place] = best
    return {place: places[place] for place in wanted if place in places}


def _is_excused(place: str, names: Mapping[str, str], found: Mapping[str, set[str]], moves: Iterable[tuple[str, str]]) -> bool:
    """All of it optional; or below something that came empty; or one key that became the key of an object by id."""
    if all(kind.endswith(OPTIONAL) for kind in names.values()):
        return True
    if len(names) == 1 and any(before == place and after.endswith(".*") for before, after in moves):
        return True
    tokens = TOKENS.findall(place)
    above = ["".join(tokens[:count]) for count in range(1, len(tokens) + 1)]
    last = next((path for path in reversed(above) if path in found), "")
    return bool(last) and not any(_is_within(path, last) for path in found)


def _grouped(keys: Mapping[str, ValueT]) -> Groups[ValueT]:
    groups: Groups[ValueT] = {}
    for path, value in keys.items():
        *above, name = TOKENS.findall(path)
        if name.startswith(".") and name != ".*":
            groups.setdefault("".join(above), {})[name[1:]] = value
        elif not above and not (isinstance(value, set) and value & set(OPAQUE)):
            groups.setdefault("", {})[name] = value
    return groups


def _shortened(before: str, after: str) -> tuple[str, str]:
    """The outermost places that differ."""
    one, other = TOKENS.findall(before), TOKENS.findall(after)
    while len(one) > 2 and len(other) > 2 and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    return "".join(one), "".join(other)


def _words(place: str) -> str:
    """A place in words: `$.segments[]` is "a list under `segments`"."""
    *above, last = TOKENS.findall(place)
    kinds = {"[]": "a list", ".*": "an object by id", "<rows>": "columns and data", "<row>": "columns and one row"}
    if last not in kinds:
        return f"under `{place.removeprefix('$.')}`" if above else "in the payload itself"
    inner = "".join(above).removeprefix("$").removeprefix(".")
    return f"{kinds[last]} under `{inner}`" if inner else f"{kinds[last]} at the top"


def _kind_words(name: str, *kinds: str) -> str:
    words = " or ".join(kinds)
    return f"`{name}` among the columns, and no value for it in the rows" if words == UNVALUED else f"`{name}` is {words}"


def _listed(names: Iterable[str], place: str, most: int = MOST_NAMED) -> str:
    listed = [f"`{name}`" for name in names]
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    where = place.removeprefix("$").removeprefix(".")
    return ", ".join(listed[:most]) + more + (f" in `{where}`" if where else "")


def _is_within(path: str, place: str) -> bool:
    return path.startswith(place) and path[len(place) : len(place) + 1] in (".", "[", "<")
