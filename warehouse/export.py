"""Published tables as Parquet files, one a day, for whatever reads neither DuckDB nor a DuckLake (Spark, pandas, a bucket).

Belongs here: writing days, which of them are there already. Does not: the folder and its manifests (`export_folder`), what is
published (`publish`), answers to questions (`query`), versions that never change once they are whole (`spark_export`).

    DIR/<table>/day=2026-03-24/data_0.parquet

A day is one file, written aside and renamed, and noted only then: a killed export goes on where it was, and leaves what it had
finished. A day whose content is as noted is not written again. Only the day being written is ever in memory. Days that the source
no longer has (the file's hot window) stay.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import duckdb

from warehouse.catalog import Table, read_catalog, table_named
from warehouse.export_folder import LAYOUT, DayFile, day_key, is_as_noted, mark, read_manifest, right_to_write, write_manifest
from warehouse.frames import Conditions, refuse_unknown_coins
from warehouse.lake import Lake, literal
from warehouse.query import Source, open_published, written_aside
from warehouse.raw_tables import quoted

FILE = "data_0.parquet"
MARTS = ("dim_", "fct_")
MEMORY_LIMIT = "512MB"
ROWS_A_GROUP = 122_880
CHUNK = 1 << 20


@dataclass(frozen=True)
class Wish:
    """What is to be exported: tables (none for all), whole days from `since` up to but without `until`, coins (none for all)."""

    tables: Sequence[str] = ()
    since: date | None = None
    until: date | None = None
    coins: Sequence[str] = ()


@dataclass
class Exported:
    """What became of one table: days written and days that were there as they are, rows and bytes of both."""

    table: str
    days_written: int = 0
    days_unchanged: int = 0
    rows: int = 0
    bytes: int = 0
    whole_since: str | None = None
    note: str = ""
    written: list[str] = field(default_factory=list)


def export(source: Source, folder: Path, wish: Wish) -> Generator[Exported, None, None]:
    """Write what is wished for below `folder`, table by table, each told of when it is done.

    All tables are of one state of the source. Raises `ExportError` where the folder holds something else, another export is at
    work in it, or it was made for other coins; `WarehouseError` for a table or coin that is not there.
    """
    with right_to_write(folder), one_state(source) as connection:
        chosen = chosen_tables(connection, wish)
        mark(folder, {"layout": LAYOUT, "coins": sorted(wish.coins)})
        for table in chosen:
            yield TableExport(connection, folder / table.name, table, wish, isinstance(source, Lake)).run()


@contextlib.contextmanager
def one_state(source: Source) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that sees one state of the source to its end, within little memory, times in UTC."""
    with open_published(source) as connection:
        connection.execute("set timezone = 'UTC'")
        # Otherwise every block that was read is kept as long as there is room for it.
        connection.execute(f"set memory_limit = '{MEMORY_LIMIT}'")
        connection.execute("begin transaction")
        yield connection


def chosen_tables(connection: duckdb.DuckDBPyConnection, wish: Wish) -> list[Table]:
    """The tables wished for. Raises `WarehouseError` for a table or coin that is not there."""
    catalog = read_catalog(connection)
    chosen = [table_named(catalog, name) for name in wish.tables] or _all(catalog.values(), wish)
    refuse_unknown_coins(connection, wish.coins)
    return chosen


def _all(tables: Iterable[Table], wish: Wish) -> list[Table]:
    """Other names are views: questions about marts that are exported themselves."""
    found = [table for table in tables if table.name.startswith(MARTS)]
    return [table for table in found if not wish.coins or "coin" in table.columns]


class TableExport:
    """One table on its way into a folder."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path, table: Table, wish: Wish, is_whole: bool) -> None:
        self._connection, self._folder, self._table, self._wish = connection, folder, table, wish
        # Of the largest facts the file has parts of days before its hot window: these would replace whole ones.
        self._whole_since = None if is_whole else table.hot_since
        self._done = read_manifest(folder)

    def run(self) -> Exported:
        """Write the days that are not there as they are now."""
        told = Exported(self._table.name, whole_since=self._whole_since.isoformat() if self._whole_since else None)
        self._folder.mkdir(exist_ok=True)
        for day in self._days():
            rows, content = self._fingerprint(day)
            if known := self._as_it_is(day, content):
                told.days_unchanged += 1
            else:
                known = self._write(day, rows, content)
                told.days_written += 1
                told.written.append(day_key(day))
            self._note(day, known)
            told.rows, told.bytes = told.rows + known.rows, told.bytes + known.bytes
        if self._whole_since and not (self._wish.since and self._wish.since >= self._whole_since):
            told.note = f"the file has it whole since {self._whole_since} only; --lake has all days"
        return told

    def _days(self) -> list[date | None]:
        """The days that have rows, oldest first; None for rows without a time."""
        if not self._table.time_column:
            return [None] if self._is_any() else []
        conditions, time = self._conditions(), quoted(self._table.time_column)
        rows = self._connection.execute(
            f"select distinct {time}::date as day from {quoted(self._table.name)} {conditions.sql} order by day nulls last",
            conditions.values,
        ).fetchall()
        return [row[0] for row in rows if row[0] is not None or not (self._wish.since or self._wish.until)]

    def _is_any(self) -> bool:
        conditions = self._conditions()
        question = f"select count(*) from {quoted(self._table.name)} {conditions.sql}"
        row = self._connection.execute(question, conditions.values).fetchone()
        return bool(row and row[0])

    def _conditions(self, day: date | None = None, is_of_day: bool = False) -> Conditions:
        """Rows of one day, or of all days that are wished for."""
        conditions, time = Conditions(self._table), self._table.time_column
        if self._wish.coins and "coin" in self._table.columns:
            conditions.add("coin", "list_contains({0}, {1})", list(self._wish.coins))
        if is_of_day and day is not None:
            conditions.add(time, "{1} >= {0}", day)
            conditions.add(time, "{1} < {0}", day + timedelta(days=1))
        elif is_of_day and time:
            conditions.parts.append(f"{quoted(time)} is null")
        elif time:
            since = max(filter(None, (self._wish.since, self._whole_since)), default=None)
            for bound, condition in ((since, "{1} >= {0}"), (self._wish.until, "{1} < {0}")):
                if bound is not None:
                    conditions.add(time, condition, bound)
        return conditions

    def _fingerprint(self, day: date | None) -> tuple[int, str]:
        """The rows of a day and what is in them, whatever their order."""
        conditions = self._conditions(day, is_of_day=True)
        row = self._connection.execute(
            f"select count(*), sum(hash(t)::hugeint) from ({self._selection()} {conditions.sql}) as t", conditions.values
        ).fetchone()
        assert row is not None
        columns = hashlib.sha256(repr([(c.name, c.type) for c in self._table.columns.values()]).encode()).hexdigest()[:12]
        return row[0], f"{duckdb.__version__}/{columns}/{row[1]}"

    def _selection(self) -> str:
        """The table as it is written; a `day` of its own is the folder's."""
        without = "exclude (day)" if "day" in self._table.columns else ""
        return f"select * {without} from {quoted(self._table.name)}"

    def _place(self, day: date | None) -> Path:
        return self._folder / (f"day={day_key(day)}" if self._table.time_column else "") / FILE

    def _write(self, day: date | None, rows: int, content: str) -> DayFile:
        """The day's file, in its place."""
        conditions, place = self._conditions(day, is_of_day=True), self._place(day)
        place.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(place) as aside:
            self._connection.execute(
                f"copy ({self._selection()} {conditions.sql}) to {literal(str(aside))} "
                f"(format parquet, compression zstd, row_group_size {ROWS_A_GROUP})",
                conditions.values,
            )
        return DayFile(str(place.relative_to(self._folder)), rows, place.stat().st_size, _sha256(place), content)

    def _as_it_is(self, day: date | None, content: str) -> DayFile | None:
        """The day's file, where it is there and has this content."""
        known = self._done.get(day_key(day))
        return known if known and known.content == content and is_as_noted(self._folder, known) else None

    def _note(self, day: date | None, done: DayFile) -> None:
        if self._done.get(day_key(day)) != done:
            self._done[day_key(day)] = done
            write_manifest(self._folder, self._table, self._done)


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
