"""`htw query`, `htw tables`, `htw describe`: reading what is published.

Belongs here: the options of these commands, and what they print. Does not: answering (`warehouse.query`), what a copy says of
itself (`warehouse.catalog`), how rows are written (`answer_output`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table as Grid

from orchestration.answer_output import Format, opened, show_table, write_csv, write_json
from orchestration.console import InLake, Json, err, out, spoken_errors
from orchestration.settings import Settings, SettingsError, load_offline_settings

if TYPE_CHECKING:
    import duckdb

    from warehouse.catalog import Table
    from warehouse.lake import Lake

KNOWN_AT = "2026-03-24 12:00:00"
COVERAGE = "fct_slot_coverage"
LAST_DAY = f"""
select dataset, count(*) filter (has_arrived), count(*) filter (has_arrived or is_missing)
from {COVERAGE} where slot > (select max(slot) from {COVERAGE}) - interval 1 day group by dataset
"""


def query(
    sql: Annotated[
        str, typer.Argument(metavar="SQL", help="One statement over the published marts; `-` reads it from standard input.")
    ],
    form: Annotated[Format | None, typer.Option("--format", help="How the answer is written; table by default.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="The file it goes to; parquet needs one, csv, json and parquet by ending.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many rows; a table has 1,000, the others all.", min=1)] = None,
    no_pager: Annotated[bool, typer.Option("--no-pager", help="Print a long table at once.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="The same as --format csv.")] = False,
    in_lake: InLake = False,
    at: Annotated[str | None, typer.Option(help="The lake as it was then, such as 2026-03-24T10:15Z.")] = None,
) -> None:
    """Ask the published copy, or the lake, read-only."""
    with spoken_errors():
        chosen = _chosen(form, output, as_json, as_csv)
        moment = _instant("--at", at)
        settings = load_offline_settings()
        source = source_of(settings, in_lake or at is not None)
        text = sys.stdin.read() if sql == "-" else sql
        if chosen is Format.PARQUET:
            _to_parquet(source, text, output, limit, moment)
        else:
            _answer(source, text, chosen, output, limit, moment, is_paged=not no_pager)


def source_of(settings: Settings, in_lake: bool) -> Path | Lake:
    """What is read: the lake, or the published file."""
    return settings.lake if in_lake else settings.readers_file


def _chosen(form: Format | None, output: Path | None, as_json: bool, as_csv: bool) -> Format:
    """The format that the options agree on. Raises `SettingsError` where they do not."""
    named = {found for found in (form, Format.JSON if as_json else None, Format.CSV if as_csv else None) if found}
    if len(named) > 1:
        raise SettingsError(f"an answer has one format, not {' and '.join(sorted(named))}")
    by_ending = {f".{known}": known for known in Format}.get(output.suffix) if output else None
    chosen = next(iter(named), by_ending or Format.TABLE)
    if chosen is Format.PARQUET and output is None:
        raise SettingsError("parquet goes into a file: add --output FILE")
    if chosen is Format.TABLE and output is not None:
        raise SettingsError(f"--output {output} needs --format csv, json or parquet, or one of these as its ending")
    return chosen


def _instant(option: str, text: str | None) -> datetime | None:
    from warehouse.instants import InstantError, utc

    try:
        return None if text is None else utc(text)
    except InstantError:
        raise SettingsError(f"{option} {text} is no UTC time such as 2026-03-24T10:15Z") from None


def _to_parquet(source: Path | Lake, sql: str, output: Path | None, limit: int | None, at: datetime | None) -> None:
    from warehouse.query import write_parquet

    if limit is not None:
        raise SettingsError("--limit is for what is printed; write LIMIT into the statement")
    assert output is not None
    count = write_parquet(source, sql, output, at)
    err.print(f"{count:,} rows in {output}", markup=False, soft_wrap=True)


def _answer(
    source: Path | Lake,
    sql: str,
    form: Format,
    output: Path | None,
    limit: int | None,
    at: datetime | None,
    is_paged: bool,
) -> None:
    from warehouse.query import answered

    with answered(source, sql, at) as answer:
        if form is Format.TABLE:
            show_table(answer, limit, is_paged)
            return
        with opened(output) as stream:
            count = (write_csv if form is Format.CSV else write_json)(answer, stream, limit)
        if output is not None:
            err.print(f"{count:,} rows in {output}", markup=False, soft_wrap=True)
        if next(answer.rows, None) is not None:
            err.print(f"the first {count:,} rows, by --limit")


def tables(in_lake: InLake = False, as_json: Json = False) -> None:
    """Every published table: its grain, rows, newest snapshot, and whether what was due in the last day arrived."""
    with spoken_errors():
        from warehouse.query import connect_published

        with connect_published(source_of(load_offline_settings(), in_lake)) as connection:
            found = list(_summaries(connection))
        if as_json:
            out.print_json(json.dumps(found))
            return
        grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
        grid.add_column("table", no_wrap=True)
        grid.add_column("one row per")
        for name in ("rows", "newest snapshot (UTC)", "last 24 h"):
            grid.add_column(name, justify="right" if name == "rows" else "left", no_wrap=True)
        for table in found:
            newest = (table["newest_snapshot_at"] or ".")[:16].replace("T", " ")
            grid.add_row(table["table"], table["grain"], f"{table['row_count']:,}", newest, table["completeness"])
        out.print(grid)
        out.print("htw describe TABLE tells its columns, units and traps, and a question to start with")


def _summaries(connection: duckdb.DuckDBPyConnection) -> Iterator[dict[str, Any]]:
    from orchestration.mart_notes import feeding
    from warehouse.catalog import count_rows, newest_in, read_catalog

    catalog = read_catalog(connection)
    rows = connection.execute(LAST_DAY).fetchall() if COVERAGE in catalog else []
    by_dataset = {dataset: (arrived, due) for dataset, arrived, due in rows}
    for table in catalog.values():
        tallies = [by_dataset[dataset] for dataset in feeding(table.name) if dataset in by_dataset]
        arrived, due = sum(tally[0] for tally in tallies), sum(tally[1] for tally in tallies)
        newest = newest_in(connection, table)
        yield {
            "table": table.name, "grain": table.grain, "row_count": count_rows(connection, table), "is_view": table.is_view,
            "newest_snapshot_at": f"{newest.isoformat()}Z" if newest else None, "whole_since": _day(table),
            "slots_arrived_24h": arrived, "slots_due_24h": due, "completeness": _completeness(arrived, due),
        }  # fmt: skip


def _completeness(arrived: int, due: int) -> str:
    """How much of what was due arrived, in a word."""
    if due == 0:
        return "."
    return "whole" if arrived == due else f"{arrived} of {due} slots" if arrived else "missing"


def _day(table: Table) -> str | None:
    return table.hot_since.isoformat() if table.hot_since else None


def known_tables(incomplete: str) -> list[str]:
    """Names for the shell's completion; none where nothing is published."""
    try:
        from warehouse.catalog import read_catalog
        from warehouse.query import connect_published

        with connect_published(load_offline_settings().readers_file) as connection:
            return [name for name in read_catalog(connection) if name.startswith(incomplete)]
    except Exception:  # whatever it is, the shell is no place to tell
        return []


Known = Annotated[
    str, typer.Argument(metavar="TABLE", help="A published table; `htw tables` lists them.", autocompletion=known_tables)
]


def describe(table: Known, in_lake: InLake = False, as_json: Json = False) -> None:
    """One table: what a row is, columns with type, unit and meaning, traps, and a question to start with."""
    with spoken_errors():
        from warehouse.catalog import read_catalog, table_named
        from warehouse.query import connect_published

        with connect_published(source_of(load_offline_settings(), in_lake)) as connection:
            found = table_named(read_catalog(connection), table)
        if as_json:
            out.print_json(json.dumps(_as_json(found, in_lake)))
        else:
            _show(found, in_lake)


def _as_json(table: Table, in_lake: bool) -> dict[str, Any]:
    from orchestration.mart_notes import notes_of

    notes = notes_of(table.name)
    return {
        "table": table.name, "description": table.description, "grain": table.grain, "is_view": table.is_view,
        "columns": [
            {
                "column": column.name, "type": column.type, "unit": column.unit,
                # Columns of a view have no comments in the lake.
                "meaning": column.description or notes.columns.get(column.name, ""),
            }
            for column in table.columns.values()
        ],
        "traps": list(table.traps), "completeness": notes.completeness, "example": _example(table, notes.example),
        "as_of": None if in_lake or not table.has_as_of else f"{table.name}_as_of(timestamp '{KNOWN_AT}')",
        "history": None if in_lake else notes.history or None, "whole_since": _day(table),
    }  # fmt: skip


def _show(table: Table, in_lake: bool) -> None:
    told = _as_json(table, in_lake)
    out.print(table.description, markup=False, soft_wrap=False)
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("column", "type", "unit"):
        grid.add_column(name, no_wrap=True)
    grid.add_column("meaning")
    for column in told["columns"]:
        grid.add_row(*(str(column[name]).replace("[", r"\[") for name in ("column", "type", "unit", "meaning")))
    out.print(grid)
    for name, text in _notes(told):
        out.print(f"{name}: {text}", markup=False, soft_wrap=name == "try")


def _notes(told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield from (("mind", trap) for trap in told["traps"])
    if told["completeness"]:
        yield "complete", told["completeness"]
    if told["whole_since"]:
        yield "earlier days", f"whole since {told['whole_since']} here; the lake has all: htw query --lake SQL"
    if told["as_of"]:
        yield "as known at a time", f"from {told['as_of']}"
    if told["history"]:
        yield "every value ever received", told["history"]
    yield "try", f'htw query "{told["example"]}"'


def _example(table: Table, noted: str) -> str:
    return noted or f"from {table.name} limit 10"
