"""The rows of a payload's files as a relation in SQL, each known value as the text that it was sent as.

Belongs here: DuckDB's readers and what they are told, by columns that were found. Does not: finding columns (`payload_columns`),
what text counts as a value (`readings`), what becomes of the rows (`load`, `rejects`).

Statements bind two parameters: `$1` the list of files, `$2` their compression.
"""

from __future__ import annotations

from collections.abc import Sequence

from warehouse.payload_columns import RowsSource
from warehouse.raw_tables import RawTable, quoted
from warehouse.readings import literal


def relation_of(is_json: bool, table: RawTable, source: RowsSource, present: Sequence[str]) -> str:
    """The rows of files that have these columns (`payload_columns.columns_found`)."""
    return _json_relation(table, source, present) if is_json else csv_relation(present)


def csv_relation(present: Sequence[str], options: str = "") -> str:
    """Rows of CSV files; `options` are further ones of `read_csv`, each after a comma."""
    types = ", ".join(f"{literal(name)}: 'varchar'" for name in present)
    return (
        f"read_csv($1, columns = {{{types}}}, header = true, auto_detect = false, delim = ',', quote = '\"', "
        f"escape = '\"', nullstr = '', compression = $2, strict_mode = true{options})"
    )


def _json_relation(table: RawTable, source: RowsSource, present: Sequence[str]) -> str:
    """Records of JSON files. Reading them fails where a key stands twice in a record of a page."""
    kinds = {name: _json_kind(name, table, source) for name in present}
    if source.rows_at is None:
        columns = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in kinds.items())
        return f"read_json($1, format = 'array', columns = {{{columns}}}, compression = $2)"
    pages = f"read_json($1, format = 'unstructured', columns = {{{literal(source.rows_at)}: 'json[]'}}, compression = $2)"
    values = ", ".join(_extracted(name, kind) for name, kind in kinds.items())
    keys = "json_keys(record)"
    once = f"case when len({keys}) = len(list_distinct({keys})) then true else error('a key stands twice in a record') end"
    return f"(select {values} from (select unnest({quoted(source.rows_at)}) as record from {pages}) where {once})"


def _json_kind(name: str, table: RawTable, source: RowsSource) -> str:
    """Known values come as text, whatever they are, so that none is rounded on the way."""
    is_known = name in table.columns or name in source.epoch_aliases.values()
    return "varchar" if is_known and table.columns.get(name) != "json" else "json"


def _extracted(name: str, kind: str) -> str:
    pointer = literal("/" + name.replace("~", "~0").replace("/", "~1"))
    return f"record {'->' if kind == 'json' else '->>'} {pointer} as {quoted(name)}"
