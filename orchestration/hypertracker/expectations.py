"""What an answer is held against, and the differences in words, each with the record's field or the setting to change.

Belongs here: the comparison of one answer with its registry record, as pure functions over values. Does not: asking
(`orchestration.probe`), reading the form off the bytes (`answer_forms`), the keys alone (`key_comparison`).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from orchestration.hypertracker.answer_forms import AnswerForm
from orchestration.hypertracker.endpoint import Dataset, Delivery, Paging
from orchestration.hypertracker.forms import Form
from orchestration.hypertracker.key_comparison import KeyChanges, compare_forms

STEP_TOLERANCE = 1.35
WINDOW_TOLERANCE = 0.1
FULL_PAGE_SHARE = 0.9  # rows of equal time are never parted, so that a page may be a little shorter than asked for
MOST_UPDATES_LATE = 3


class Aspect(StrEnum):
    """What an answer is compared in."""

    DELIVERY = "delivery"
    SPELLING = "spelling"
    FILE = "file format"
    PACKING = "compression"
    LAYOUT = "layout"
    MISSING = "missing keys"
    ADDED = "new keys"
    RENAMED = "renamed key"
    RETYPED = "kind of values"
    COLUMN_ORDER = "order of columns"
    ROW_ORDER = "order of rows"
    STEP = "step"
    WINDOW = "window"
    FRESHNESS = "cadence"
    PAGE = "page limit"
    REFUSAL = "refusal"
    CONTENT = "content"


@dataclass(frozen=True)
class Difference:
    """One thing that is not as the registry says; `change` is the field of the record, or the setting, to change.

    `scopes` are those of the dataset it was seen in.
    """

    dataset: str
    aspect: Aspect
    expected: str
    came: str
    change: str
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answered:
    """One answer as it was handed over: `path` is what was asked and answered, `first_path` what was asked first."""

    form: AnswerForm
    delivery: Delivery | None
    content_type: str
    path: str
    first_path: str
    received_at: datetime


def compare(dataset: Dataset, answered: Answered) -> list[Difference]:
    """Every difference of an answer; without an expected form, of how it was handed over alone."""
    found = list(_handing_over(dataset, answered))
    if dataset.form is not None:
        keys = compare_forms(dataset.form.keys, answered.form.kinds, answered.form.file == "csv")
        found += [*_file(dataset, dataset.form, answered), *_keys(dataset, dataset.form, keys)]
        found += _times(dataset, dataset.form, answered, keys)
    return found


def merged(differences: Iterable[Difference]) -> list[Difference]:
    """The same difference at several scopes as one."""
    scopes: dict[Difference, list[str]] = {}
    for difference in differences:
        scopes.setdefault(replace(difference, scopes=()), []).extend(difference.scopes)
    return [replace(difference, scopes=tuple(dict.fromkeys(found))) for difference, found in scopes.items()]


def _handing_over(dataset: Dataset, answered: Answered) -> Iterator[Difference]:
    if answered.delivery is not None and answered.delivery is not dataset.delivery:
        change = f"`delivery` of the record, to Delivery.{answered.delivery.name}; the client takes either"
        yield Difference(dataset.name, Aspect.DELIVERY, dataset.delivery.value, answered.delivery.value, change)
    if answered.path != answered.first_path:
        change = "`spellings` of the record and AXIS_VALUES in endpoint.py; until the accepted word comes first, each ask is two"
        yield Difference(dataset.name, Aspect.SPELLING, answered.first_path, answered.path, change)
    is_cut_short = answered.form.has_more and answered.form.row_count < FULL_PAGE_SHARE * dataset.page_limit
    if dataset.paging is not Paging.NONE and is_cut_short:
        came = f"{answered.form.row_count} rows, and more after them"
        change = "`page_limit` of the record; the plan must afford the additional pages"
        yield Difference(dataset.name, Aspect.PAGE, f"up to {dataset.page_limit} rows a page", came, change)


def _file(dataset: Dataset, form: Form, answered: Answered) -> Iterator[Difference]:
    if answered.form.file != form.file:
        came = f"{answered.form.file.upper()} ({answered.content_type or 'no content type'})"
        change = "`form.file` of the record; loading reads either"
        yield Difference(dataset.name, Aspect.FILE, _basis(form, form.file.upper()), came, change)
    if answered.form.packed != form.packed:
        came, change = answered.form.packed or "not compressed", "`form.packed` of the record; the vault reads either"
        yield Difference(dataset.name, Aspect.PACKING, form.packed or "not compressed", came, change)


def _keys(dataset: Dataset, form: Form, keys: KeyChanges) -> Iterator[Difference]:
    required = "`columns`" if dataset.columns else "`shape`"
    model = f"stg_{dataset.name}" if dataset.feeds else "the staging model"
    both = f"`form.keys` of the record and {model}; {required} of the record, where it does not load"
    changes: tuple[tuple[Aspect, Sequence[tuple[str, str]], str], ...] = (
        (Aspect.LAYOUT, keys.moved, both),
        (Aspect.MISSING, keys.missing, both),
        (Aspect.RENAMED, keys.renamed, both),
        (Aspect.RETYPED, keys.retyped, both),
        (Aspect.ADDED, keys.added, f"`form.keys` of the record; raw keeps them, {model} may use them"),
        (Aspect.COLUMN_ORDER, keys.reordered, "`form.keys` of the record; columns are matched by name"),
    )
    for aspect, pairs, change in changes:
        for expected, came in pairs:
            yield Difference(dataset.name, aspect, _basis(form, expected), came, change)


def _times(dataset: Dataset, form: Form, answered: Answered, keys: KeyChanges) -> Iterator[Difference]:
    """What the times of the rows tell; nothing where they are not found."""
    place, _, name = form.time.rpartition(".")
    series = answered.form.series.get(f"{keys.places.get(place, place)}.{name}" if place else name, [])
    if not series:
        return
    yield from _row_order(dataset, form, series)
    yield from _step(dataset, form, series)
    span = max(max(times) - min(times) for times in series)
    if form.window and abs(span / form.window - 1) > WINDOW_TOLERANCE:
        change = "`form.window` of the record; how long an outage the next export heals changes with it"
        yield Difference(dataset.name, Aspect.WINDOW, _basis(form, _span(form.window)), _span(span), change)
    age = answered.received_at - max(map(max, series))
    if form.updates and age > MOST_UPDATES_LATE * form.updates:
        change = "nothing at once: the provider may be late; if it stays so, `cadence` and `form.updates` of the record"
        expected = _basis(form, f"a new one every {_span(form.updates)}")
        yield Difference(dataset.name, Aspect.FRESHNESS, expected, f"the newest is {_span(age)} old", change)


def _row_order(dataset: Dataset, form: Form, series: Sequence[Sequence[datetime]]) -> Iterator[Difference]:
    long = [times for times in series if len(times) > 1]
    if form.newest_first is None or not long:
        return
    falls, rises = (all(_is_sorted(times, newest_first) for times in long) for newest_first in (True, False))
    came = "newest first" if falls and not rises else "oldest first" if rises and not falls else "no order"
    expected = "newest first" if form.newest_first else "oldest first"
    if (came != expected and falls != rises) or not (falls or rises):
        change = "`form.newest_first` of the record; nothing that is loaded depends on it"
        yield Difference(dataset.name, Aspect.ROW_ORDER, _basis(form, expected), came, change)


def _step(dataset: Dataset, form: Form, series: Sequence[Sequence[datetime]]) -> Iterator[Difference]:
    gaps = [(later - earlier).total_seconds() for times in series for earlier, later in pairwise(sorted(times))]
    if form.step is None or not gaps:
        return
    step = timedelta(seconds=statistics.median(gaps))
    if not 1 / STEP_TOLERANCE < step / form.step < STEP_TOLERANCE:
        change = f"`form.step` of the record, and the grid in stg_{dataset.name}"
        expected = _basis(form, f"rows {_span(form.step)} apart")
        yield Difference(dataset.name, Aspect.STEP, expected, f"rows {_span(step)} apart", change)


def _is_sorted(times: Sequence[datetime], newest_first: bool) -> bool:
    return all((one >= other) if newest_first else (one <= other) for one, other in pairwise(times))


def _basis(form: Form, words: str) -> str:
    return f"{words} (assumed: no page documents it)" if form.is_assumed else words


def _span(span: timedelta) -> str:
    minutes = span.total_seconds() / 60
    for size, unit in ((1440, "days"), (60, "h")):
        if minutes >= 2 * size or (minutes >= size and unit == "h"):
            return f"{minutes / size:.3g} {unit}"
    return f"{minutes:.3g} min"
