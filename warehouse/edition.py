"""One version of the published file: written whole, or from a copy of the one before by what changed since.

Belongs here: what is inside a version. Does not: naming, swapping and keeping versions (`publish`), telling what changed
(`changes`), notes of how far tables were brought (`progress`).

A version notes how far each of its tables was brought, and from which working file and models. The next one goes on from there:
it costs a copy of the file and what changed. Once a day, and whenever models, words or the hot window are others, a version is
written whole, so that rows lie sorted and what was replaced takes no room.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

import duckdb

from warehouse.as_of import INTERNAL_COLUMNS, Versions, inside, words_of, write_macro, write_spans_macro
from warehouse.changes import bring_up
from warehouse.connection import REBUILD_MEND, WarehouseError
from warehouse.marts import COLD, INTERNAL_PREFIX, Mart, hash_of, tables_of
from warehouse.progress import Progress, make_progress, note_progress, reached, read_progress
from warehouse.raw_tables import quoted
from warehouse.table_shapes import Shape, columns_of, shape_of

NAME = "edition"
NOTE = f"{NAME}.main.edition"
PROGRESS = f"{NAME}.main.progress"
MARTS, HISTORY, INTERMEDIATE = "marts", "history", "intermediate"
VIEWS = "select view_name, sql from duckdb_views() where schema_name = 'marts' and database_name = current_database()"


@dataclass(frozen=True)
class Content:
    """What a version is to hold: the marts, of the largest the days since `hot_since` only. `basis` names the working file and
    the models that the rows stem from, `fingerprint` the state of both."""

    marts: Sequence[Mart]
    fingerprint: str
    basis: str
    hot_since: Mapping[str, date | None]

    @property
    def described(self) -> str:
        """Changes when words do, or the hot window."""
        window = hashlib.sha256(repr(sorted(self.hot_since.items())).encode()).hexdigest()[:16]
        return f"{hash_of(self.marts)}/{window}"


@dataclass(frozen=True)
class Table:
    """A table of a version: its schema, and what its rows are."""

    schema: str
    shape: Shape

    @property
    def key(self) -> str:
        return f"{self.schema}.{self.shape.mart.name}"


def content_of(
    connection: duckdb.DuckDBPyConnection, marts: Sequence[Mart], fingerprint: str, basis: str, hot_days: int | None
) -> Content:
    """What the open working file has to publish now."""
    hot = {mart.name: _hot_since(connection, mart, hot_days) for mart in tables_of(marts)}
    return Content(marts, fingerprint, basis, hot)


def write_version(
    connection: duckdb.DuckDBPyConnection, path: Path, content: Content, now: datetime, is_copy: bool
) -> dict[str, int]:
    """Write a version at `path`, which is a copy of the one before, or nothing yet. Rows by mart."""
    tables = _tables(connection, content)
    known = {table.key: reached(connection, table.shape) for table in tables}
    if is_copy and not _bring_up(connection, path, content, tables, known, now):
        path.unlink()
        is_copy = False
    if not is_copy:
        _write_whole(connection, path, content, tables, now)
    with _attached(connection, path):
        note_progress(connection, PROGRESS, known)
        connection.execute(
            f"update {NOTE} set published_at = $1, fingerprint = $2", [now.replace(tzinfo=None), content.fingerprint]
        )
        connection.execute(f"checkpoint {NAME}")
    return {table.shape.mart.name: known[table.key].row_count for table in tables if table.schema == MARTS}


def write_views(connection: duckdb.DuckDBPyConnection, database: str, marts: Sequence[Mart]) -> None:
    """Make the views of the working file in another database too, over the tables of the same names there."""
    made = dict(connection.execute(VIEWS).fetchall())
    row = connection.execute("select current_database()").fetchone()
    qualified = re.compile(rf'"?{re.escape(str(row[0] if row else ""))}"?\.(?="?marts"?\.)')
    with inside(connection, database):
        for mart in (mart for mart in marts if mart.is_view):
            select = qualified.sub("", made[mart.name]).partition(" AS ")[2].rstrip("; \n")
            connection.execute(f"create or replace view marts.{quoted(mart.name)} as {select}")
            connection.execute(f"comment on view marts.{quoted(mart.name)} is {_literal(mart.description)}")


def _bring_up(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    content: Content,
    tables: Sequence[Table],
    known: Mapping[str, Progress],
    now: datetime,
) -> bool:
    """Exchange what changed since the version that was copied; False where it does not go on from there."""
    with _attached(connection, path):
        if not _goes_on(connection, content, tables, now):
            return False
        before = read_progress(connection, PROGRESS)
        connection.execute("begin")
        try:
            for table in tables:
                bring_up(connection, table.shape, before.get(table.key), known[table.key])
            connection.execute("commit")
        except BaseException:
            connection.execute("rollback")
            raise
    return True


def _goes_on(connection: duckdb.DuckDBPyConnection, content: Content, tables: Sequence[Table], now: datetime) -> bool:
    """Whether the version that was copied stems from the same file and models, and was written whole today."""
    if "whole_at" not in dict(columns_of(connection, _literal(NAME), "main").get("edition", ())):
        return False
    row = connection.execute(f"select basis, described, cast(whole_at as date) from {NOTE}").fetchone()
    there = {schema: columns_of(connection, _literal(NAME), schema) for schema in (MARTS, HISTORY)}
    is_same = all(there[table.schema].get(table.shape.mart.name) == table.shape.columns for table in tables)
    return is_same and row == (content.basis, content.described, now.date())


def _write_whole(
    connection: duckdb.DuckDBPyConnection, path: Path, content: Content, tables: Sequence[Table], now: datetime
) -> None:
    with _attached(connection, path):
        connection.execute(f"create schema {NAME}.{MARTS}")
        connection.execute(f"create schema {NAME}.{HISTORY}")
        for table in tables:
            shape = table.shape
            connection.execute(f"create table {shape.there} as select {shape.listed} from {shape.here} {shape.order}")
            _describe(connection, shape)
        _write_macros(connection, content)
        write_views(connection, NAME, content.marts)
        for view in (mart for mart in content.marts if mart.is_view):
            _describe_columns(connection, f"{NAME}.{MARTS}.{quoted(view.name)}", view.columns)
        make_progress(connection, PROGRESS)
        connection.execute(
            f"create table {NOTE} as select null::timestamp as published_at, '' as fingerprint, "
            "$1::varchar as basis, $2::varchar as described, $3::timestamp as whole_at",
            [content.basis, content.described, now.replace(tzinfo=None)],
        )
        connection.execute(
            f"comment on table {NOTE} is 'This version of the file: when it was published, and when last written whole (UTC).'"
        )


def _write_macros(connection: duckdb.DuckDBPyConnection, content: Content) -> None:
    with inside(connection, NAME):
        for mart in tables_of(content.marts):
            if mart.is_fact:
                write_macro(connection, mart.name, mart.versions)
            if mart.spans:
                write_spans_macro(connection, mart.name, mart.spans, content.hot_since[mart.name])


def _describe(connection: duckdb.DuckDBPyConnection, shape: Shape) -> None:
    connection.execute(f"comment on table {shape.there} is {_literal(shape.mart.description)}")
    _describe_columns(connection, shape.there, shape.mart.columns)


def _describe_columns(connection: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, str]) -> None:
    for name, description in columns.items():
        if not name.startswith(INTERNAL_PREFIX):
            connection.execute(f"comment on column {table}.{quoted(name)} is {_literal(description)}")


def _tables(connection: duckdb.DuckDBPyConnection, content: Content) -> list[Table]:
    marts, versions = (columns_of(connection, "current_database()", schema) for schema in (MARTS, INTERMEDIATE))
    found = []
    for mart in tables_of(content.marts):
        if not (columns := marts.get(mart.name, ())):
            raise WarehouseError(f"the working file has no table {mart.name} to publish", REBUILD_MEND)
        found.append(Table(MARTS, _mart_shape(mart, columns, content.hot_since[mart.name])))
        if mart.versions and mart.is_fact:
            found.append(Table(HISTORY, _history_shape(mart.versions, versions.get(mart.versions.model, ()))))
    return found


def _mart_shape(mart: Mart, columns: Sequence[tuple[str, str]], since: date | None) -> Shape:
    name = quoted(mart.name)
    hot = f"(select * from {MARTS}.{name} where coalesce({quoted(mart.hot_by)}, 'infinity') >= timestamp '{since}')"
    described = replace(mart, kept_by=(), description=mart.description + (COLD.format(since=since) if since else ""))
    return shape_of(described, columns, hot if since else f"{MARTS}.{name}", f"{NAME}.{MARTS}.{name}")


def _history_shape(versions: Versions, columns: Sequence[tuple[str, str]]) -> Shape:
    """The versions of a fact: written together are those of one key."""
    keys = tuple(map(quoted, versions.keys))
    mart = Mart(versions.table, words_of(versions), sort_by=(*versions.keys, "first_known_at", "first_payload_id"), units=keys)
    shape = shape_of(mart, columns, f"{INTERMEDIATE}.{quoted(versions.model)}", f"{NAME}.{HISTORY}.{quoted(versions.table)}")
    return replace(shape, columns=tuple(pair for pair in shape.columns if pair[0] not in INTERNAL_COLUMNS))


def _hot_since(connection: duckdb.DuckDBPyConnection, mart: Mart, hot_days: int | None) -> date | None:
    """The first day of the hot window, which ends with the newest snapshot; None where nothing lies before it."""
    if not (mart.hot_by and hot_days):
        return None
    row = connection.execute(
        f"select cast(max(snapshot_at) as date) - {hot_days} as since, min({quoted(mart.hot_by)}) < since "
        f"from {MARTS}.{quoted(mart.name)}"
    ).fetchone()
    return row[0] if row and row[1] else None


@contextlib.contextmanager
def _attached(connection: duckdb.DuckDBPyConnection, path: Path) -> Iterator[None]:
    connection.execute(f"attach {_literal(str(path))} as {NAME}")
    try:
        yield
    finally:
        connection.execute(f"detach {NAME}")


def _literal(text: str) -> str:
    return "'" + " ".join(text.split()).replace("'", "''") + "'"
