"""What a payload of rows is, told from its first kilobytes: CSV or JSON, which columns, and whether its table can have them.

Belongs here: recognising text, its columns and what is wrong with them; how a dataset's payloads hold their rows. Does not:
making files readable for DuckDB (`readable_files`), reading their rows (`row_relations`), inserting them (`load`).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from warehouse.fetches import Part
from warehouse.raw_tables import RawTable
from warehouse.vault import Vault

PEEK_BYTES = 1 << 16
BOM, UTF16_BOMS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")


class LoadError(Exception):
    """A payload whose content cannot be read as its dataset's rows; the message says what was found instead. Which rows are at
    fault, `load.find_rejects` tells."""


@dataclass(frozen=True)
class RowsSource:
    """How a payload holds its rows: as the payload itself, or as the list under `rows_at` of each of its pages. A column may
    come as epoch milliseconds under its name in `epoch_aliases`; `is_one_scope` means that other scopes' rows are foreign."""

    rows_at: str | None = None
    epoch_aliases: Mapping[str, str] = field(default_factory=dict)
    is_one_scope: bool = True


def columns_found(vault: Vault, parts: Sequence[Part], source: RowsSource) -> tuple[bool, list[str]]:
    """Whether the parts are JSON, and their columns; none for JSON lists without any record.

    Raises `LoadError` for what is neither CSV nor a list of records: HTML, UTF-16, nothing at all.
    """
    for part in parts:
        first = _peek(vault, part)
        if source.rows_at and f'"{source.rows_at}"' not in first:
            raise LoadError(f"no list under {source.rows_at}; found {first[:120]}")
        if not first.startswith(("[", "{")):
            return False, _csv_header(first)
        if keys := _json_keys(first, source.rows_at):
            return True, keys
        _check_empty(first, source.rows_at)
    return True, []


def check_columns(table: RawTable, source: RowsSource, present: Sequence[str]) -> None:
    """Raises `LoadError` where a column of the table is missing, or one of the payload has no name of its own."""
    if any("\ud800" <= letter <= "\udfff" for letter in "".join(present)):
        raise LoadError("half a character (a lone surrogate) in the name of a column")
    missing = [name for name in table.columns if name not in present and source.epoch_aliases.get(name) not in present]
    # SQL does not tell names apart by case.
    alike = [name.casefold() for name in present]
    doubled = sorted({name for name in present if alike.count(name.casefold()) > 1})
    if missing:
        raise LoadError(f"columns missing: {', '.join(missing)}; found {', '.join(present)[:300]}")
    if doubled:
        raise LoadError(f"columns twice: {', '.join(doubled)}")
    if not all(present):
        raise LoadError(f"column {present.index('') + 1} has no name")


def _check_empty(first: str, rows_at: str | None) -> None:
    try:
        page = json.loads(first)
    except (ValueError, RecursionError):
        page = None
    if (page.get(rows_at) if rows_at and isinstance(page, dict) else page) != []:
        raise LoadError(f"neither CSV nor a list of records; found {first[:120]}")


def _csv_header(first: str) -> list[str]:
    return next(csv.reader(io.StringIO(first, newline="")), [])


def _json_keys(first: str, rows_at: str | None) -> list[str]:
    """The keys of the records that fit whole into the first kilobytes, in order of appearance."""
    begin = first.find("[", first.find(f'"{rows_at}"')) if rows_at else 0
    decoder, keys, at = json.JSONDecoder(), dict[str, None](), first.find("{", begin)
    while at >= 0:
        try:
            record, end = decoder.raw_decode(first, at)
        except (ValueError, RecursionError):
            break
        keys |= dict.fromkeys(record)
        at = first.find("{", end)
    return list(keys)


def _peek(vault: Vault, part: Part) -> str:
    with vault.open(part) as stream:
        begin = stream.read(PEEK_BYTES)
    if begin.startswith(UTF16_BOMS):
        raise LoadError("UTF-16 text instead of UTF-8")
    first = begin.removeprefix(BOM).decode("utf-8", errors="replace").lstrip()
    if not first:
        raise LoadError("0 bytes")
    if first.startswith("<"):
        raise LoadError(f"HTML or XML instead of data: {' '.join(first[:120].split())}")
    return first
