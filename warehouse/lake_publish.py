"""Publishing to the lake: all marts as one transaction, which costs what changed.

Belongs here: the transaction, what the lake notes about itself, making and describing its tables. Does not: telling what differs
(`changes`), opening the lake (`lake`), the published file (`publish`).

The lake notes, in the same transaction, how far each mart was written and which working file and models it was written from. From
another working file, by other models, or where files of its data are missing, every mart is compared or written anew as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from warehouse.as_of import inside, write_spans_macro
from warehouse.changes import (
    Shape,
    bring_up,
    columns_of,
    make_progress,
    note_progress,
    reached,
    read_progress,
    shapes_of,
)
from warehouse.edition import write_views
from warehouse.lake import NAME, Lake, LakeError, attached, lake_lock, literal
from warehouse.marts import Mart, hash_of
from warehouse.publish import fingerprint_of_content, origin_of
from warehouse.raw_tables import quoted

AUTHOR = "htw"
SLOTS_NAMED = 12
# Half the room that DuckDB's own defaults take; pandas, Spark and Arrow read it. Large groups of rows let values repeat.
FILE_OPTIONS = {"parquet_compression": "zstd", "parquet_version": "2", "parquet_row_group_size": "500000"}
EDITION = f"{NAME}.main.edition"
PROGRESS = f"{NAME}.main.progress"
FILES = """
    select schemas.path || tables.path || files.path
    from __ducklake_metadata_lake.ducklake_data_file as files
    join __ducklake_metadata_lake.ducklake_table as tables on files.table_id = tables.table_id and tables.end_snapshot is null
    join __ducklake_metadata_lake.ducklake_schema as schemas
        on tables.schema_id = schemas.schema_id and schemas.end_snapshot is null
    where files.end_snapshot is null
"""


@dataclass(frozen=True)
class LakePublished:
    """What a publish did in the lake: rows written or taken away by mart; None when nothing had changed since the last."""

    changes: Mapping[str, int] | None


@dataclass(frozen=True)
class Edition:
    """What the lake noted at its last publish."""

    fingerprint: str = ""
    basis: str = ""
    described: str = ""
    fetch_seq: int = 0


def publish_lake(
    connection: duckdb.DuckDBPyConnection, lake: Lake, marts: Sequence[Mart], now: datetime, models: str = ""
) -> LakePublished:
    """Bring all marts of the lake to what the open working file holds, in one transaction.

    Readers see the state before until it is committed. May be called again at any time: what was not written comes with the
    next call. Raises `LakeError`, with nothing changed, where the lake cannot be written.
    """
    basis, fingerprint = f"{origin_of(connection)}/{models}", fingerprint_of_content(connection, marts, models)
    with lake_lock(lake), attached(connection, lake):
        known = _edition(connection)
        has_lost_files = _has_lost_files(connection, lake)
        if known.fingerprint == fingerprint and not has_lost_files:
            return LakePublished(None)
        new = Edition(fingerprint, basis, hash_of(marts), _newest_fetch(connection))
        connection.execute("begin")
        try:
            changes = _write(connection, marts, known, new, has_lost_files)
            _note(connection, new, now)
            message = literal(_message(connection, known.fetch_seq))
            connection.execute(f"call {NAME}.set_commit_message({literal(AUTHOR)}, {message})")
            connection.execute("commit")
        except BaseException:
            _roll_back(connection)
            raise
    return LakePublished(changes)


def _write(
    connection: duckdb.DuckDBPyConnection, marts: Sequence[Mart], known: Edition, new: Edition, has_lost_files: bool
) -> dict[str, int]:
    _make_own_tables(connection)
    if known.described != new.described:
        _choose_format(connection)
    there = columns_of(connection, literal(NAME))
    for name in there:
        # Dropping a table does not read it, so that this also clears away what lost its files.
        if has_lost_files or name not in {mart.name for mart in marts}:
            connection.execute(f"drop table {NAME}.marts.{quoted(name)}")
    progress, now, changes = read_progress(connection, PROGRESS), {}, {}
    for shape in shapes_of(connection, marts, NAME):
        name = shape.mart.name
        is_made = has_lost_files or there.get(name) != shape.columns
        if is_made:
            _make(connection, shape)
        if is_made or known.described != new.described:
            _describe(connection, shape)
        now[name] = reached(connection, shape)
        is_other = is_made or known.basis != new.basis
        changes[name] = bring_up(connection, shape, None if is_other else progress.get(name), now[name])
    if known.described != new.described or known.basis != new.basis:
        _exchange_views(connection, marts)
    if progress != now:
        note_progress(connection, PROGRESS, now)
    return changes


def _exchange_views(connection: duckdb.DuckDBPyConnection, marts: Sequence[Mart]) -> None:
    wanted = {mart.name for mart in marts if mart.is_view}
    found = connection.execute(
        f"select view_name from duckdb_views() where (database_name, schema_name) = ({literal(NAME)}, 'marts')"
    ).fetchall()
    for (name,) in found:
        if name not in wanted:
            connection.execute(f"drop view {NAME}.marts.{quoted(name)}")
    write_views(connection, NAME, marts)


def _make(connection: duckdb.DuckDBPyConnection, shape: Shape) -> None:
    connection.execute(f"drop table if exists {shape.there}")
    connection.execute(f"create table {shape.there} ({', '.join(f'{quoted(column)} {kind}' for column, kind in shape.columns)})")
    if shape.mart.partition_by:
        at = quoted(shape.mart.partition_by)
        connection.execute(f"alter table {shape.there} set partitioned by (year({at}), month({at}), day({at}))")


def _choose_format(connection: duckdb.DuckDBPyConnection) -> None:
    for option, value in FILE_OPTIONS.items():
        connection.execute(f"call {NAME}.set_option({literal(option)}, {literal(value)})")


def _describe(connection: duckdb.DuckDBPyConnection, shape: Shape) -> None:
    if shape.kept_by:
        connection.execute(f"alter table {shape.there} set sorted by ({shape.kept_by})")
    connection.execute(f"comment on table {shape.there} is {_text(shape.mart.description)}")
    if shape.mart.spans:
        with inside(connection, NAME):
            write_spans_macro(connection, shape.mart.name, shape.mart.spans)
    for name, _ in shape.columns:
        if description := shape.mart.columns.get(name):
            connection.execute(f"comment on column {shape.there}.{quoted(name)} is {_text(description)}")


def _make_own_tables(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(f"create schema if not exists {NAME}.marts")
    connection.execute(
        f"create table if not exists {EDITION} "
        "(published_at timestamp, fingerprint varchar, basis varchar, described varchar, fetch_seq bigint)"
    )
    make_progress(connection, PROGRESS)


def _note(connection: duckdb.DuckDBPyConnection, new: Edition, now: datetime) -> None:
    connection.execute(f"delete from {EDITION}")
    connection.execute(
        f"insert into {EDITION} values ($1, $2, $3, $4, $5)",
        [now.replace(tzinfo=None), new.fingerprint, new.basis, new.described, new.fetch_seq],
    )


def _edition(connection: duckdb.DuckDBPyConnection) -> Edition:
    has_one = f"select 1 from __ducklake_metadata_{NAME}.ducklake_table where table_name = 'edition' and end_snapshot is null"
    if not connection.execute(has_one).fetchone():
        return Edition()
    row = connection.execute(f"select fingerprint, basis, described, fetch_seq from {EDITION}").fetchone()
    return Edition(*row) if row else Edition()


def _has_lost_files(connection: duckdb.DuckDBPyConnection, lake: Lake) -> bool:
    """Whether the catalog names files that are not there, as where only the folder of the data was lost."""
    return not all((lake.data / row[0]).exists() for row in connection.execute(FILES).fetchall())


def _newest_fetch(connection: duckdb.DuckDBPyConnection) -> int:
    row = connection.execute("select coalesce(max(fetch_seq), 0) from ops.fetches").fetchone()
    return int(row[0]) if row else 0


def _message(connection: duckdb.DuckDBPyConnection, since: int) -> str:
    """The slots that arrived since the publish before, the newest first."""
    rows = connection.execute(
        "select strftime(slot, '%Y-%m-%dT%H:%MZ'), string_agg(distinct dataset, ', ' order by dataset) from ops.fetches "
        "where fetch_seq > ? and verdict = 'loaded' group by slot order by slot desc",
        [since],
    ).fetchall()
    named = [f"{slot} {datasets}" for slot, datasets in rows[:SLOTS_NAMED]]
    more = [f"and {len(rows) - SLOTS_NAMED} slots more"] if len(rows) > SLOTS_NAMED else []
    return "; ".join([*named, *more]) or "no new slots"


def _roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    try:
        connection.execute("rollback")
    except duckdb.Error as error:
        raise LakeError(f"what was begun in the lake could not be taken back ({error})") from error


def _text(description: str) -> str:
    return literal(" ".join(description.split()))
