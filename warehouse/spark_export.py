"""Published tables as Spark reads them: days as Parquet, a folder of its own for each version, a pointer to the newest whole one.

Belongs here: versions, what makes one whole, which of them stay. Does not: days (`export`) and their manifests
(`export_folder`), types (`spark_types`), Spark (nothing here knows it).

    DIR/_export.json                                                    what the folder is for
    DIR/_current                                                        the name of the newest whole version, written last
    DIR/version-20260324T041500000000Z/_version.json                    its tables: rows, days; of what source, made when
    DIR/version-20260324T041500000000Z/fct_.../_manifest.json           days: rows, bytes, sha256, fingerprint of the content
    DIR/version-20260324T041500000000Z/fct_.../day=2026-03-24/data_0.parquet

A version is written aside, under a name that Spark passes over, and renamed when all of it is there: a killed export goes on
where it was, and nobody ever reads half of one. Nothing in a version is changed afterwards. Each day that is written is read
again, and must hold the rows and the content of its source. A day that is as the version before has it is a hard link to that
one's file. Versions go after some days, the newest few never.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import duckdb

from warehouse.catalog import Table
from warehouse.export import Exported, TableExport, Wish, chosen_tables, one_state
from warehouse.export_folder import (
    LAYOUT,
    MANIFEST,
    DayFile,
    ExportError,
    day_key,
    is_as_noted,
    mark,
    read_manifest,
    right_to_write,
    write_manifest,
)
from warehouse.frames import Conditions
from warehouse.lake import Lake, literal
from warehouse.query import Source
from warehouse.raw_tables import quoted
from warehouse.small_files import sync_folder, write_durably
from warehouse.spark_types import cast_for_spark

CURRENT = "_current"
ABOUT = "_version.json"
UNFINISHED = ".unfinished"
REMOVED = ".removed-"
NAME = "version-%Y%m%dT%H%M%S%fZ"
VERSIONS_KEPT = 3
# A job that began with a version may go on for hours after the next one is there.
KEPT_FOR = timedelta(days=2)
READ_ONLY_MODE = 0o444


def export_for_spark(source: Source, folder: Path, wish: Wish, now: Callable[[], datetime]) -> Generator[Exported, None, None]:
    """Write a whole version of what is wished for below `folder`, table by table, each told of when it is done.

    All tables are of one state of the source. Where nothing differs from the newest version, there is no new one. Afterwards
    `current_version` is what is there, and versions of which nobody reads any more are gone. Raises `ExportError` as `export`
    does, and where a file does not hold what its source has; `WarehouseError` for a table, coin or type that cannot be had.
    """
    with right_to_write(folder), one_state(source) as connection:
        chosen = chosen_tables(connection, wish)
        mark(folder, {"layout": LAYOUT, "for": "spark", "tables": sorted(wish.tables), "coins": sorted(wish.coins)})
        newest, unfinished = next(reversed(versions(folder)), None), folder / UNFINISHED
        _begin(unfinished, [table.name for table in chosen])
        told = []
        for table in chosen:
            before = newest / table.name if newest else None
            told.append(SparkTable(connection, unfinished / table.name, table, wish, isinstance(source, Lake), before).run())
            yield told[-1]
        if newest is None or _content(newest) != _content(unfinished):
            newest = _finish(folder, now(), source, wish, told)
        if current_version(folder) != newest:
            write_durably(folder / CURRENT, f"{newest.name}\n")
        _remove_old(folder, now())


def versions(folder: Path) -> list[Path]:
    """The whole versions in a folder, oldest first."""
    return sorted(folder.glob("version-*Z"))


def current_version(folder: Path) -> Path | None:
    """The newest whole version, to be read; None where there is none yet."""
    try:
        return folder / (folder / CURRENT).read_text("utf-8").strip()
    except FileNotFoundError:
        return None


class SparkTable(TableExport):
    """One table on its way into a version that is not finished."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        folder: Path,
        table: Table,
        wish: Wish,
        is_whole: bool,
        before: Path | None,
    ) -> None:
        super().__init__(connection, folder, table, wish, is_whole)
        self._before, self._days_before = before, read_manifest(before) if before else {}
        self._is_empty = False
        described = connection.execute(f"describe {quoted(table.name)}").fetchall()
        self._casts = [cast_for_spark(name, kind) for name, kind, *_ in described if name != "day"]

    def run(self) -> Exported:
        """Write the days that are not there as they are now; what an export that was killed left of others goes."""
        expected = {self._place(day): day_key(day) for day in self._days()}
        for file in self._folder.rglob("*"):
            if file.is_file() and file != self._folder / MANIFEST and file not in expected:
                file.unlink()
        if gone := self._done.keys() - set(expected.values()):
            self._done = {key: done for key, done in self._done.items() if key not in gone}
            write_manifest(self._folder, self._table, self._done)
        return super().run()

    def _days(self) -> list[date | None]:
        """A table without rows still has a file, which tells Spark its columns."""
        found = super()._days()
        self._is_empty = not found
        return found or [None]

    def _conditions(self, day: date | None = None, is_of_day: bool = False) -> Conditions:
        conditions = super()._conditions(day, is_of_day)
        if self._is_empty and is_of_day:
            conditions.parts.append("false")
        return conditions

    def _selection(self) -> str:
        return f"select {', '.join(self._casts)} from {quoted(self._table.name)}"

    def _write(self, day: date | None, rows: int, content: str) -> DayFile:
        written = super()._write(day, rows, content)
        self._check(written)
        self._place(day).chmod(READ_ONLY_MODE)
        return written

    def _as_it_is(self, day: date | None, content: str) -> DayFile | None:
        return super()._as_it_is(day, content) or self._linked(day, content)

    def _linked(self, day: date | None, content: str) -> DayFile | None:
        """The file of the version before under a second name, where its content is the same."""
        known, place = self._days_before.get(day_key(day)), self._place(day)
        if self._before is None or known is None or known.content != content:
            return None
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        # Some disks have no second names, and a file may have been lost: it is then written.
        with contextlib.suppress(OSError):
            os.link(self._before / known.file, place)
        return known if is_as_noted(self._folder, known) else None

    def _check(self, written: DayFile) -> None:
        """Raises `ExportError` where the file does not hold what was read from the source for it."""
        file = self._folder / written.file
        row = self._connection.execute(
            "select count(*), sum(hash(t)::hugeint) "
            f"from (select * from read_parquet({literal(str(file))}, hive_partitioning = false)) as t"
        ).fetchone()
        assert row is not None
        if (row[0], str(row[1])) != (written.rows, written.content.rpartition("/")[2]):
            raise ExportError(f"{file} has {row[0]} rows, not the {written.rows} of its source, or other values", "run it again")


def _begin(unfinished: Path, tables: Sequence[str]) -> None:
    """Take up what an export that was killed had finished; tables that are no more part of it go."""
    unfinished.mkdir(exist_ok=True)
    for there in unfinished.iterdir():
        if there.is_dir() and there.name not in tables:
            shutil.rmtree(there)


def _content(version: Path) -> dict[str, dict[str, str]]:
    """What each day of each table holds."""
    tables = (table for table in version.iterdir() if table.is_dir())
    return {table.name: {day: done.content for day, done in read_manifest(table).items()} for table in tables}


def _finish(folder: Path, now: datetime, source: Source, wish: Wish, told: Sequence[Exported]) -> Path:
    """Make the unfinished version a whole one."""
    unfinished, version = folder / UNFINISHED, folder / now.strftime(NAME)
    about = {
        "layout": LAYOUT, "made_at": now.isoformat(), "of": "lake" if isinstance(source, Lake) else "file",
        "since": wish.since and wish.since.isoformat(), "until": wish.until and wish.until.isoformat(),
        "tables": {table.table: _about(table) for table in told},
    }  # fmt: skip
    write_durably(unfinished / ABOUT, json.dumps(about, indent=1))
    unfinished.replace(version)
    sync_folder(folder)
    return version


def _about(table: Exported) -> dict[str, object]:
    said = asdict(table)
    return {name: said[name] for name in ("rows", "bytes", "whole_since")} | {"days": table.days_written + table.days_unchanged}


def _remove_old(folder: Path, now: datetime) -> None:
    """Remove versions that are neither among the newest nor were the newest one lately, and what is left of an export."""
    there, current = versions(folder), current_version(folder)
    for version, successor in pairwise(there[: 1 - VERSIONS_KEPT]):
        is_over = now - datetime.strptime(successor.name, NAME).replace(tzinfo=UTC) > KEPT_FOR
        if is_over and version != current:
            version.rename(folder / f"{REMOVED}{version.name}")
    for leftover in (folder / UNFINISHED, *folder.glob(f"{REMOVED}*")):
        shutil.rmtree(leftover, ignore_errors=True)
