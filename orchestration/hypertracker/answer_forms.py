"""Reading the form off an answer: its file, the paths of its keys with the kinds of their values, the times of its rows.

Belongs here: what the content itself tells, in the words of `forms`. Does not: what was expected (`documented`,
`expectations`), or whether the answer can be loaded (`shapes`, `warehouse.load`).
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orchestration.hypertracker.forms import ROOT, UNVALUED
from orchestration.hypertracker.shapes import ShapeError, instant

ENDS_LOOKED_AT = 1000
TABLES = (("columns", "data"), ("historySnapshotStructure", "history"))
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?")
TIME = re.compile(r"\d{4}-\d\d-\d\dT")
IN_A_LIST = re.compile(r"[\[<*]")
ID = re.compile(r"\d+|(0x)?[0-9a-fA-F]{32,}")


@dataclass
class AnswerForm:
    """What one payload looks like. Of long lists the first and last items speak for all.

    `kinds` holds every path in order of appearance with all kinds seen, `null` among them; lists and objects stand there too.
    `series` holds, for every path of times, the times of each list they stand in. `row_count` is the length of a page's list;
    `has_more` whether the answer says that there are rows after it.
    """

    file: str
    packed: str = ""
    kinds: dict[str, set[str]] = field(default_factory=dict)
    series: dict[str, list[list[datetime]]] = field(default_factory=dict)
    row_count: int = 0
    has_more: bool = False


def read_form(text: str, packed: str = "") -> AnswerForm:
    """The form of one body. Raises `ValueError` for text that is neither JSON nor CSV."""
    if _is_csv(text):
        rows = csv.DictReader(io.StringIO(text))
        value: Any = [{name: _cell(cell) for name, cell in row.items() if name is not None} for row in rows]
        form = AnswerForm("csv", packed)
    else:
        value, form = json.loads(text), AnswerForm("json", packed)
    _see(form, value, ROOT)
    form.row_count, form.has_more = _page(value)
    return form


def _see(form: AnswerForm, value: Any, path: str) -> None:
    form.kinds.setdefault(path, set()).add(_kind(value))
    if isinstance(value, list):
        _see_list(form, value, path)
    elif isinstance(value, dict) and value and all(ID.fullmatch(name) for name in value):
        for inner in value.values():
            _see(form, inner, f"{path}.*")
    elif isinstance(value, str) and not IN_A_LIST.search(path):
        _note_times(form, path, [value])
    elif isinstance(value, dict):
        table = _table(value)
        if table:
            _see_table(form, value[table[0]], value[table[1]], path)
        for name, inner in value.items():
            if not table or name not in table:
                _see(form, inner, f"{path}.{name}")


def _see_list(form: AnswerForm, items: list[Any], path: str) -> None:
    ends = _ends(items)
    for item in ends:
        if isinstance(item, dict | list):
            _see(form, item, f"{path}[]")
    if ends and isinstance(ends[0], dict):
        for name in ends[0]:
            _note_times(form, f"{path}[].{name}", [item.get(name) for item in ends if isinstance(item, dict)])


def _see_table(form: AnswerForm, columns: list[str], data: list[Any], path: str) -> None:
    """A first column that rows have no value for is the documented mismatch (contract 3.7); it is of kind `nothing`."""
    is_one_row = bool(data) and not isinstance(data[0], list)
    rows = [data] if is_one_row else _ends(data)
    path += "<row>" if is_one_row else "<rows>"
    unvalued = 1 if rows and len(rows[0]) == len(columns) - 1 else 0
    for name in columns[:unvalued]:
        form.kinds.setdefault(f"{path}.{name}", set()).add(UNVALUED)
    for place, name in enumerate(columns[unvalued:]):
        values = [row[place] for row in rows if isinstance(row, list) and place < len(row)]
        form.kinds.setdefault(f"{path}.{name}", set()).update(map(_kind, values))
        if not is_one_row:
            _note_times(form, f"{path}.{name}", values)


def _note_times(form: AnswerForm, path: str, values: Sequence[Any]) -> None:
    if values and _kind(values[0]) == "time":
        form.series.setdefault(path, []).append([instant(value, None) for value in values if _kind(value) == "time"])


def _table(value: Mapping[str, Any]) -> tuple[str, str] | None:
    return next((names for names in TABLES if _is_names(value.get(names[0])) and isinstance(value.get(names[1]), list)), None)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


def _page(value: Any) -> tuple[int, bool]:
    if not isinstance(value, dict):
        return (len(value), False) if isinstance(value, list) else (1, False)
    count = max((len(inner) for inner in value.values() if isinstance(inner, list)), default=0)
    total = value.get("totalCount")
    return count, bool(value.get("nextCursor")) or (isinstance(total, int) and total > count)


def _ends(items: list[Any]) -> list[Any]:
    return [*items[:ENDS_LOOKED_AT], *items[ENDS_LOOKED_AT:][-ENDS_LOOKED_AT:]]


def _is_csv(text: str) -> bool:
    head = text.lstrip()
    return head[:1] not in ("[", "{", '"', "<") and "," in head.partition("\n")[0]


def _cell(text: str | None) -> Any:
    """A cell of a CSV as JSON would have it."""
    if not text:
        return None
    if text in ("true", "false"):
        return text == "true"
    return float(text) if NUMBER.fullmatch(text) else text


def _kind(value: Any) -> str:
    kinds = ((bool, "boolean"), (int | float, "number"), (dict, "object"), (list, "list"))
    if isinstance(value, str):
        return "time" if _is_time(value) else "text"
    return next((word for kind, word in kinds if isinstance(value, kind)), "null")


def _is_time(value: str) -> bool:
    try:
        return bool(TIME.match(value)) and bool(instant(value, None))
    except ShapeError:
        return False
