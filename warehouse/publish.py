"""The published file: what readers open, a new version a publish, swapped in as one step.

Belongs here: writing a version, swapping the symlink, keeping the last few. Does not: the lake (`lake`), or which marts exist
(the caller says, from the dbt manifest). Readers keep whatever version they have open; new ones see the new version at once.
A version is written through SQL on the writer's own connection: opening the working file a second way drops DuckDB's lock.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import duckdb

from warehouse.as_of import Spans, Versions, inside, write_macro, write_spans_macro, write_versions
from warehouse.raw_tables import quoted

STABLE_NAME = "hypertracker.duckdb"
VERSIONS_KEPT = 3
READ_ONLY_MODE = 0o444
INTERNAL_PREFIX = "_"
VIEWS = "select view_name, sql from duckdb_views() where schema_name = 'marts' and database_name = current_database()"
COLD = " This file has it from {since} on; the lake has the days before: `htw query --lake SQL`."


@dataclass(frozen=True)
class Replays:
    """A model whose new rows make those of a mart again: all of the scope, from the earliest new snapshot on."""

    model: str
    scope: str
    at: str


@dataclass(frozen=True)
class Mart:
    """One table to publish: its description, that of its columns, the columns its rows are sorted by, the versions behind it.

    A build replaces rows of a unit together; none where it makes the whole table each time. The lake keeps rows apart by the
    day of `partition_by`, and sorted by `kept_by` where that is named: the order in which they take least room. The file leaves
    out those whose `hot_by` is before the hot window (none is now). A view is published as a view, over published tables.
    """

    name: str
    description: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    sort_by: Sequence[str] = ()
    kept_by: Sequence[str] = ()
    versions: Versions | None = None
    units: Sequence[str] = ()
    partition_by: str = ""
    hot_by: str = ""
    replays: Replays | None = None
    spans: Spans | None = None
    is_view: bool = False

    @property
    def is_fact(self) -> bool:
        return self.name.startswith("fct_")


def tables_of(marts: Sequence[Mart]) -> list[Mart]:
    return [mart for mart in marts if not mart.is_view]


@dataclass(frozen=True)
class Published:
    """What a publish did; `path` is None when nothing had changed since the last one, as are the rows changed in the lake.

    `lake_problem` says why the lake was not written; the next publish catches up.
    """

    path: Path | None
    row_counts: Mapping[str, int]
    lake_changes: Mapping[str, int] | None = None
    lake_problem: str = ""


def publish_file(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    marts: Sequence[Mart],
    now: datetime,
    models: str = "",
    anew: bool = False,
    hot_days: int | None = None,
) -> Published:
    """Publish all marts as one new version below `folder`, unless nothing was loaded or modelled since the last.

    `connection` is the open working file, `models` names the version of the SQL that made the marts. A working file that was made
    `anew` may have the load sequence of the one before and other rows, so it is always published. Of the largest facts only
    the last `hot_days` are in the file, where it is given: the caller knows that the lake has the rest. Until the last
    statement readers see the version before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fingerprint = fingerprint_of_content(connection, marts, models)
    if not anew and _published_fingerprint(folder) == fingerprint:
        return Published(None, {})
    version = folder / f"hypertracker-{now:%Y%m%dT%H%M%S%f}Z.duckdb"
    unfinished = version.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    counts = _write_version(connection, unfinished, marts, now, fingerprint, hot_days)
    _sync(unfinished)
    unfinished.chmod(READ_ONLY_MODE)
    unfinished.replace(version)
    _point_to(folder / STABLE_NAME, version)
    _drop_old(folder)
    return Published(version, counts)


def fingerprint_of_content(connection: duckdb.DuckDBPyConnection, marts: Sequence[Mart], models: str) -> str:
    """Changes when anything was loaded, or modelled in another way, since."""
    content = f"{_loaded_up_to(connection)}/{_row_count(connection)}/{models}/{hash_of(marts)}"
    return f"{content}/{origin_of(connection)}"


def origin_of(connection: duckdb.DuckDBPyConnection) -> str:
    """What the rows of a working file stem from: another file, or one modelled anew, may give them all other values."""
    connection.execute("create table if not exists ops.origin as select uuid()::varchar as id")
    row = connection.execute("select id from ops.origin").fetchone()
    return str(row[0]) if row else ""


def forget_origin(connection: duckdb.DuckDBPyConnection) -> None:
    """To be called where models were built anew from all that is loaded."""
    connection.execute("drop table if exists ops.origin")


def hash_of(marts: Sequence[Mart]) -> str:
    """Changes when a mart, a column or a description does."""
    import hashlib

    return hashlib.sha256(repr(sorted(marts, key=lambda mart: mart.name)).encode()).hexdigest()[:16]


def _write_version(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    marts: Sequence[Mart],
    now: datetime,
    fingerprint: str,
    hot_days: int | None,
) -> dict[str, int]:
    connection.execute(f"attach '{str(path).replace(chr(39), chr(39) * 2)}' as edition")
    try:
        connection.execute("create schema edition.marts")
        tables = tables_of(marts)
        hot = {mart.name: _hot_since(connection, mart, hot_days) for mart in tables}
        counts = {mart.name: _copy(connection, mart, hot[mart.name]) for mart in tables}
        _copy_history(connection, [mart for mart in tables if mart.is_fact])
        write_views(connection, "edition", marts)
        with inside(connection, "edition"):
            for mart in tables:
                if mart.spans:
                    write_spans_macro(connection, mart.name, mart.spans, hot[mart.name])
        connection.execute(
            "create table edition.main.edition as select $1::timestamp as published_at, $2::varchar as fingerprint",
            [now.replace(tzinfo=None), fingerprint],
        )
        connection.execute("comment on table edition.main.edition is 'This version of the file: when it was published (UTC).'")
        connection.execute("checkpoint edition")
    finally:
        connection.execute("detach edition")
    return counts


def _copy(connection: duckdb.DuckDBPyConnection, mart: Mart, since: date | None) -> int:
    target = f"edition.marts.{quoted(mart.name)}"
    internal = ", ".join(quoted(name) for name in _columns(connection, mart.name) if name.startswith(INTERNAL_PREFIX))
    exclude = f"exclude ({internal})" if internal else ""
    order = f"order by {', '.join(quoted(name) for name in mart.sort_by)}" if mart.sort_by else ""
    hot = f"where coalesce({quoted(mart.hot_by)}, 'infinity') >= timestamp '{since}'" if since else ""
    connection.execute(f"create table {target} as select * {exclude} from marts.{quoted(mart.name)} {hot} {order}")
    connection.execute(f"comment on table {target} is {_literal(mart.description + (COLD.format(since=since) if since else ''))}")
    for name, description in mart.columns.items():
        if not name.startswith(INTERNAL_PREFIX):
            connection.execute(f"comment on column {target}.{quoted(name)} is {_literal(description)}")
    row = connection.execute(f"select count(*) from {target}").fetchone()
    return int(row[0]) if row else 0


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


def _hot_since(connection: duckdb.DuckDBPyConnection, mart: Mart, hot_days: int | None) -> date | None:
    """The first day of the hot window, which ends with the newest snapshot; None where nothing lies before it."""
    if not (mart.hot_by and hot_days):
        return None
    row = connection.execute(
        f"select cast(max(snapshot_at) as date) - {hot_days} as since, min({quoted(mart.hot_by)}) < since "
        f"from marts.{quoted(mart.name)}"
    ).fetchone()
    return row[0] if row and row[1] else None


def _copy_history(connection: duckdb.DuckDBPyConnection, facts: Sequence[Mart]) -> None:
    connection.execute("create schema edition.history")
    for fact in facts:
        if fact.versions:
            write_versions(connection, fact.versions)
    with inside(connection, "edition"):
        for fact in facts:
            write_macro(connection, fact.name, fact.versions)


def _columns(connection: duckdb.DuckDBPyConnection, mart: str) -> list[str]:
    rows = connection.execute(
        "select column_name from information_schema.columns where table_schema = 'marts' and table_name = ? "
        "and table_catalog = current_database() order by ordinal_position",
        [mart],
    ).fetchall()
    return [row[0] for row in rows]


def _loaded_up_to(connection: duckdb.DuckDBPyConnection) -> int:
    row = connection.execute("select coalesce(max(load_seq), 0) from ops.payloads").fetchone()
    return int(row[0]) if row else 0


def _row_count(connection: duckdb.DuckDBPyConnection) -> int:
    """Rows of all marts and of the ledger of fetches: one that loads nothing still adds to what is known."""
    row = connection.execute(
        "select coalesce(sum(estimated_size), 0) from duckdb_tables() "
        "where (schema_name = 'marts' or (schema_name, table_name) = ('ops', 'fetches')) and database_name = current_database()"
    ).fetchone()
    return int(row[0]) if row else 0


def _published_fingerprint(folder: Path) -> str | None:
    """That of the version readers see now; None where there is none, or it cannot be read."""
    path = folder / STABLE_NAME
    if not path.exists():
        return None
    try:
        with duckdb.connect(str(path.resolve()), read_only=True) as published:
            row = published.execute("select fingerprint from main.edition").fetchone()
            return str(row[0]) if row else None
    except duckdb.Error:
        return None


def _point_to(stable: Path, version: Path) -> None:
    fresh = stable.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(version.name)
    fresh.replace(stable)


def _drop_old(folder: Path) -> None:
    """Remove all but the newest versions; a reader that has one open keeps it."""
    versions = sorted(folder.glob("hypertracker-*Z.duckdb"))
    for version in versions[:-VERSIONS_KEPT]:
        version.unlink(missing_ok=True)
    for leftover in folder.glob("hypertracker-*Z.unfinished*"):
        leftover.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _literal(text: str) -> str:
    return "'" + " ".join(text.split()).replace("'", "''") + "'"
