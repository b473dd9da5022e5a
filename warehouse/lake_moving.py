"""Moving a lake: from a local to a shared one or back, as a publish from a lake instead of a working file.

Belongs here: copying marts and raw rows of one lake to another, day by day, and comparing them. Does not: which lakes (the caller
says), the exchange of rows (`changes`), tables and words (`lake_layout`, `lake_raw`). Earlier states are not moved: `AT` begins
anew.

Every mart, and of a lake of several publishers the rows of each, is brought up as a publisher would bring it: days that agree are
passed over, so that a copy that was cut off goes on where it was, and what others publish to the target stays. At the end counts
and checksums of what was moved are compared, and only where all agree the notes of publishers follow: the next publish then
writes what changed, as if nothing had been moved. Nobody writes either meanwhile; readers of the target see it fill.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb

from warehouse.as_of import inside
from warehouse.changes import exchange_all
from warehouse.lake import NAME, Lake, LakeError, attached, committed, literal
from warehouse.lake_layout import choose_format, describe, exchange_views, make_room
from warehouse.lake_locks import is_made, lake_lock
from warehouse.lake_notes import HAS_COLUMN, PUBLISHERS, Notes, is_of_many
from warehouse.lake_raw import copy_landings, lay_out_like, senders
from warehouse.marts import Mart
from warehouse.table_shapes import OWNER, Shape, columns_of, shapes_of

SOURCE = "source"


@dataclass(frozen=True)
class Moved:
    """A mart, or a table of raw rows, as it is in the target now: its rows and their checksum, which are those of the source;
    rows written this time."""

    mart: str
    row_count: int
    checksum: str
    written: int


def move_lake(source: Lake, target: Lake, marts: Sequence[Mart], publisher: str, on_mart: Callable[[Moved], None]) -> list[Moved]:
    """Copy all that a lake holds to another, and compare it. May be called again at any time, and goes on where it was.

    `publisher` is the name under which rows of a local lake stand in a shared one. Raises `LakeError`, with the source as it was,
    where either cannot be used, the target is of another kind, or what arrived is not what was sent.
    """
    if source == target:
        raise LakeError(f"{source.catalog} cannot be moved to itself", "name two lakes")
    if not is_made(source):
        raise LakeError(f"there is no lake at {source.catalog} to move", "see `htw lake status`")
    with duckdb.connect() as connection, lake_lock(source), attached(connection, source, read_only=True, name=SOURCE):
        connection.execute("set timezone = 'UTC'")
        with lake_lock(target), attached(connection, target), inside(connection, SOURCE):
            return _move(connection, target, marts, publisher, on_mart)


def _move(
    connection: duckdb.DuckDBPyConnection,
    target: Lake,
    marts: Sequence[Mart],
    publisher: str,
    on_mart: Callable[[Moved], None],
) -> list[Moved]:
    owners = _owners(connection)
    wanted = [mart for mart in marts if mart.is_view or mart.name in columns_of(connection, literal(SOURCE))]
    sending = senders(connection, SOURCE)
    is_owned = bool(owners or sending) or target.is_shared
    _refuse_other_kind(connection, target, is_owned)
    # Where raw rows were sent, and nothing was published yet, nobody's marts are to be moved.
    named = owners or ([] if sending else [publisher if is_owned else ""])
    raw = _lay_out(connection, wanted, named)
    marts_of = [[_part(shape, owner, bool(owners)) for owner in named] for shape in shapes_of(connection, wanted, NAME)]
    raw_of = [[_part(shape, owner, is_named=True) for owner in sending] for shape in raw]
    moved = []
    for parts in (*marts_of, *raw_of):
        written = sum(exchange_all(connection, part).rows for part in parts)
        moved.append(_compared(connection, parts, written))
        on_mart(moved[-1])
    _copy_notes(connection, {owner if owners else "": owner for owner in named})
    return moved


def _owners(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The publishers of the source; none where it is a lake of one."""
    if not connection.execute(HAS_COLUMN.replace(f"_{NAME}.", f"_{SOURCE}."), [OWNER]).fetchone():
        return []
    tables = connection.execute(PUBLISHERS.replace(literal(NAME), literal(SOURCE))).fetchall()
    return [table.partition("_")[2] for (table,) in tables]


def _refuse_other_kind(connection: duckdb.DuckDBPyConnection, target: Lake, is_owned: bool) -> None:
    is_empty = not columns_of(connection, literal(NAME))
    if not is_empty and is_of_many(connection, target) != is_owned:
        raise LakeError(
            f"{target.catalog} holds rows of one publisher, and several have rows to move" if is_owned
            else f"{target.catalog} holds rows of several publishers that name theirs, and those to move name none",
            "name an empty lake",
        )  # fmt: skip


def _part(shape: Shape, owner: str, is_named: bool) -> Shape:
    """The rows of one publisher on both sides; those of the source may not name it."""
    here = f"(select * from {shape.here} where {OWNER} = {literal(owner)})" if is_named else shape.here
    return replace(shape, here=here, owner=owner)


def _lay_out(connection: duckdb.DuckDBPyConnection, marts: Sequence[Mart], named: Sequence[str]) -> list[Shape]:
    """Make what lacks; the tables of raw rows."""
    with committed(connection, "tables of another lake"):
        there = columns_of(connection, literal(NAME))
        for owner in named:
            Notes(connection, owner).make()
        if not there:
            choose_format(connection)
        for shape in shapes_of(connection, marts, NAME):
            owned = replace(shape, owner=named[0])
            if make_room(connection, owned, there.get(shape.mart.name)):
                describe(connection, owned)
        if named:
            exchange_views(connection, marts)
        return lay_out_like(connection, SOURCE)


def _compared(connection: duckdb.DuckDBPyConnection, parts: Sequence[Shape], written: int) -> Moved:
    sent, arrived = (_checked(connection, [side(part) for part in parts]) for side in (_sent, _arrived))
    name = parts[0].mart.name
    if sent != arrived:
        raise LakeError(f"{name} arrived with {arrived[0]:,} rows that are not the {sent[0]:,} sent", "run the command again")
    return Moved(name, *arrived, written)


def _sent(part: Shape) -> str:
    return f"select {part.listed} from {part.here}"


def _arrived(part: Shape) -> str:
    """The publisher's rows, and those that another had there already, word for word."""
    own = f"select {part.listed} from {part.own}"
    if not part.owner or part.mart.per_publisher:
        return own
    return f"{own} union all ({_sent(part)} intersect select {part.listed} from {part.there} where not {part.is_own})"


def _checked(connection: duckdb.DuckDBPyConnection, selects: Sequence[str]) -> tuple[int, str]:
    """How many rows there are, and a checksum of what is in them, whatever their order."""
    row = connection.execute(
        f"select count(*), coalesce(sum(hash(line)::hugeint), 0) from ({' union all '.join(selects)}) as line"
    ).fetchone()
    return (int(row[0]), f"{int(row[1]):x}") if row else (0, "")


def _copy_notes(connection: duckdb.DuckDBPyConnection, names: Mapping[str, str]) -> None:
    """Those of all publishers together, by their names before, and after."""
    with committed(connection, "all of another lake"):
        for before, after in names.items():
            for table, copy in zip(Notes(connection, before).tables, Notes(connection, after).tables, strict=True):
                connection.execute(f"delete from {NAME}.main.{copy}")
                connection.execute(f"insert into {NAME}.main.{copy} by name from {SOURCE}.main.{table}")
        copy_landings(connection, SOURCE)
