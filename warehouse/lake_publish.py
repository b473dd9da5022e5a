"""Publishing to the lake: all marts as one transaction, which costs what changed.

Belongs here: the transaction, and telling how much of it is needed. Does not: telling which rows differ (`changes`), what is
noted (`lake_notes`), tables and words (`lake_layout`), opening the lake (`lake`), the published file (`publish`).

The lake notes, in the same transaction, how far each mart was written and which working file and models it was written from. From
another working file, by other models, or where files of its data are missing, every mart is compared or written anew as a whole.

**Several publishers.** To a shared lake each machine publishes from a working file and a vault of its own. What is there is the
union: every row names its publisher (`changes`), and every publisher has notes of its own (`lake_notes`), because its load
sequence says nothing of the rows of others. So whatever is compared, by units since a sequence or as a whole, is compared with
the publisher's own rows, and nothing that another put there is missed or taken away for being unknown here. Facts of one key that
two have polled are there once, as the latest said them; what tells of polling itself (`per_publisher`) is kept for each. One
dataset and coin should be polled by one publisher: orders that two follow are two histories, which no union makes one.

Tables, columns and words are made first, alone in the lake, and no table is dropped. Then the locks of all tables that may be
written are taken (`lake_locks`), and only then the transaction begins: it must see what those who had them before committed. A
publisher that dies leaves nothing; what it had begun is an orphan for upkeep, and its next publish goes on from its notes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import duckdb

from warehouse.changes import bring_up, may_differ
from warehouse.lake import NAME, Lake, LakeError, attached, committed, literal
from warehouse.lake_layout import choose_format, describe, exchange_views, lacking, make_room, make_table
from warehouse.lake_locks import lake_lock, make_once
from warehouse.lake_notes import Edition, Notes, is_of_many, slots_in_words
from warehouse.marts import Mart, hash_of, tables_of
from warehouse.progress import Progress, reached
from warehouse.publish import fingerprint_of_content, origin_of
from warehouse.raw_tables import quoted
from warehouse.table_shapes import Shape, columns_of, shapes_of

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


def publish_lake(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    marts: Sequence[Mart],
    now: datetime,
    models: str = "",
    publisher: str = "",
) -> LakePublished:
    """Bring all marts of the lake to what the open working file holds, in one transaction; of a lake that several publish to,
    the rows of this `publisher`.

    Readers see the state before until it is committed. May be called again at any time: what was not written comes with the
    next call. Raises `LakeError`, with nothing changed, where the lake cannot be written.
    """
    basis, fingerprint = f"{origin_of(connection)}/{models}", fingerprint_of_content(connection, marts, models)
    new = Edition(fingerprint, basis, hash_of(marts))
    if lake.is_shared and not publisher:
        raise LakeError("rows of a shared lake are published under a name, and there is none")
    if lake.is_shared:
        return LakePublished(_publish_among_many(connection, lake, marts, new, now, publisher))
    with lake_lock(lake), attached(connection, lake):
        if is_of_many(connection, lake):
            return LakePublished(_write_own(connection, lake, marts, new, now, publisher))
        notes = Notes(connection)
        known = notes.edition()
        has_lost_files = _has_lost_files(connection, lake)
        if known.fingerprint == fingerprint and not has_lost_files:
            return LakePublished(None)
        with committed(connection, _message(connection, known.load_seq)):
            changes = _write_all(connection, marts, known, new, notes, has_lost_files)
            notes.write(new, now)
    return LakePublished(changes)


def _publish_among_many(
    connection: duckdb.DuckDBPyConnection, lake: Lake, marts: Sequence[Mart], new: Edition, now: datetime, owner: str
) -> dict[str, int] | None:
    make_once(connection, lake)
    with attached(connection, lake):
        return _write_own(connection, lake, marts, new, now, owner)


def _write_own(
    connection: duckdb.DuckDBPyConnection, lake: Lake, marts: Sequence[Mart], new: Edition, now: datetime, owner: str
) -> dict[str, int] | None:
    """Bring the rows of one publisher up; None where nothing has changed."""
    notes = Notes(connection, owner)
    known = notes.edition()
    if known.fingerprint == new.fingerprint:
        return None
    shapes = [replace(shape, owner=owner) for shape in shapes_of(connection, marts, NAME)]
    there = columns_of(connection, literal(NAME))
    is_ready = known.described == new.described and not any(_is_lacking(shape, there) for shape in shapes)
    if not is_ready:
        with _locked(lake), committed(connection, _message(connection, known.load_seq)):
            _lay_out(connection, shapes, marts, known.described != new.described)
            notes.make()
    before = notes.progress() if known.basis == new.basis else {}
    after = {shape.mart.name: reached(connection, shape) for shape in shapes}
    steps = [(shape, before.get(shape.mart.name), after[shape.mart.name]) for shape in shapes]
    needed = {step[0].mart.name: step for step in steps if may_differ(*step)}
    with _locked(lake, [*needed, *notes.tables]), committed(connection, _message(connection, known.load_seq)):
        changes = {name: bring_up(connection, *step) for name, step in needed.items()}
        notes.write_progress(after)
        notes.write(new, now)
    return changes


def _locked(lake: Lake, tables: Collection[str] | None = None) -> contextlib.AbstractContextManager[None]:
    """Of a local lake whoever attached it has the lock already."""
    return lake_lock(lake, tables=tables) if lake.is_shared else contextlib.nullcontext()


def _is_lacking(shape: Shape, there: Mapping[str, tuple[tuple[str, str], ...]]) -> bool:
    return shape.mart.name not in there or bool(lacking(shape, there[shape.mart.name]))


def _lay_out(connection: duckdb.DuckDBPyConnection, shapes: Sequence[Shape], marts: Sequence[Mart], is_other: bool) -> None:
    """Make what lacks; another publisher may have done so while the lock was waited for."""
    connection.execute(f"create schema if not exists {NAME}.marts")
    there = columns_of(connection, literal(NAME))
    if not there:
        choose_format(connection)
    for shape in shapes:
        if make_room(connection, shape, there.get(shape.mart.name)) or is_other:
            describe(connection, shape)
    # Whoever publishes no view has left the modelling to others.
    if is_other and any(mart.is_view for mart in marts):
        exchange_views(connection, marts)


def _write_all(
    connection: duckdb.DuckDBPyConnection,
    marts: Sequence[Mart],
    known: Edition,
    new: Edition,
    notes: Notes,
    has_lost_files: bool,
) -> dict[str, int]:
    notes.make()
    is_other = known.described != new.described
    if is_other:
        choose_format(connection)
    there = columns_of(connection, literal(NAME))
    for name in there:
        # Dropping a table does not read it, so that this also clears away what lost its files.
        if has_lost_files or name not in {mart.name for mart in tables_of(marts)}:
            connection.execute(f"drop table {NAME}.marts.{quoted(name)}")
    progress, now, changes = notes.progress(), dict[str, Progress](), {}
    for shape in shapes_of(connection, marts, NAME):
        name = shape.mart.name
        is_made_now = has_lost_files or there.get(name) != shape.columns
        if is_made_now:
            make_table(connection, shape)
        if is_made_now or is_other:
            describe(connection, shape)
        now[name] = reached(connection, shape)
        is_known = not is_made_now and known.basis == new.basis
        changes[name] = bring_up(connection, shape, progress.get(name) if is_known else None, now[name])
    if is_other or known.basis != new.basis:
        exchange_views(connection, marts)
    if progress != now:
        notes.write_progress(now)
    return changes


def _has_lost_files(connection: duckdb.DuckDBPyConnection, lake: Lake) -> bool:
    """Whether the catalog names files that are not there, as where only the folder of the data was lost."""
    assert isinstance(lake.data, Path)
    return not all((lake.data / row[0]).exists() for row in connection.execute(FILES).fetchall())


def _message(connection: duckdb.DuckDBPyConnection, since: int) -> str:
    """The slots that arrived since the publish before, the newest first."""
    rows = connection.execute(
        "select strftime(slot, '%Y-%m-%dT%H:%MZ'), string_agg(distinct dataset, ', ' order by dataset) from ops.payloads "
        "where load_seq > ? group by slot order by slot desc",
        [since],
    ).fetchall()
    return slots_in_words(rows)
