"""Bringing one published table, of the lake or of the file, to what the working file holds, touching only what differs.

Belongs here: telling which rows may differ, exchanging those that do. Does not: which tables, when, in what transaction
(`lake_publish`, `edition`), what a table is in SQL (`table_shapes`), how far it was brought (`progress`).

What may differ is told by the load sequence: a build replaces whole units of rows (the unique key of the incremental model), and
what it wrote bears a higher sequence than all before. Units are compared row by row, so that a payload that says again what is
known, as exports of two weeks do every two hours, writes nothing. Where the sequence cannot tell, days are compared by a digest
of their rows, and those that differ row by row.

Where several publishers write one table, each row names its publisher, and only that one takes it away: sequences are those of
one working file, and tell nothing of rows that came from another. A row that another publisher has word for word is not written
again; one of the same key with other values takes its place, so that the latest to say something is believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import duckdb

from warehouse.progress import Progress
from warehouse.raw_tables import quoted
from warehouse.table_shapes import ALL_ROWS, SEQUENCES, Shape


def may_differ(shape: Shape, before: Progress | None, now: Progress) -> bool:
    """Whether there may be anything to bring up."""
    return before != now or _may_change_unnumbered(shape)


def bring_up(connection: duckdb.DuckDBPyConnection, shape: Shape, before: Progress | None, now: Progress) -> int:
    """Rows written or taken away; all of the table is compared where it is not known how far it was brought before."""
    if before is not None and not may_differ(shape, before, now):
        return 0
    if before is None or not shape.sequence:
        return exchange_all(connection, shape).rows
    done = exchange_touched(connection, shape, before.sequence)
    if before.row_count - done.gone + done.fresh != now.row_count:
        # Rows that went in a way of which no sequence tells show in how many there are.
        done += exchange_all(connection, shape)
    return done.rows


@dataclass(frozen=True)
class Exchanged:
    """Rows taken out of a table and put in, and those `taken` from other publishers."""

    gone: int = 0
    fresh: int = 0
    taken: int = 0

    @property
    def rows(self) -> int:
        return self.gone + self.fresh + self.taken

    def __add__(self, other: Exchanged) -> Exchanged:
        return Exchanged(self.gone + other.gone, self.fresh + other.fresh, self.taken + other.taken)


def exchange_touched(connection: duckdb.DuckDBPyConnection, shape: Shape, since: int) -> Exchanged:
    """Exchange what differs among the units written since a sequence."""
    named = [f"{unit} as u{number}" for number, unit in enumerate(shape.mart.units)]
    selected = ", ".join([*named, *_times(shape)])
    touched = f"where {shape.sequence} {SEQUENCES[str(shape.sequence)]} {since}"
    _make_table(connection, "touched_units", f"select distinct {selected} from {shape.here} {touched}")
    _add_replayed(connection, shape, selected, since)
    days = connection.execute("select day, min(since), max(until) from touched_units group by day order by day").fetchall()
    numbers = ", ".join(f"u{number}" for number in range(len(named)))
    match = f"({', '.join(shape.mart.units)}) in (select ({numbers}) from touched_units)"
    return sum((exchange(connection, shape, bounds, match) for bounds in _bounds(shape, days)), Exchanged())


def _add_replayed(connection: duckdb.DuckDBPyConnection, shape: Shape, selected: str, since: int) -> None:
    """A replay makes rows again, from an instant on: some of those before may be gone without any in their place."""
    if not (replays := shape.mart.replays):
        return
    scope, at = quoted(replays.scope), quoted(replays.at)
    _make_table(
        connection,
        "replayed_scopes",
        f"select {scope}, min(snapshot_at) as from_at from intermediate.{quoted(replays.model)} "
        f"where _load_seq > {since} group by {scope}",
    )
    row = connection.execute("select min(from_at)::varchar from replayed_scopes").fetchone()
    for relation in (shape.here, shape.own) if row and row[0] else ():
        connection.execute(
            f"insert into touched_units by name select distinct {selected} from {relation} join replayed_scopes using ({scope}) "
            f"where {at} >= from_at and {at} >= timestamp '{row[0] if row else ''}'"
        )


def exchange_all(connection: duckdb.DuckDBPyConnection, shape: Shape) -> Exchanged:
    """The same for whatever differs anywhere: by days, where rows have one."""
    if not shape.time or _is_empty(connection, shape.there):
        return exchange(connection, shape)
    digests = (
        f"select cast({shape.time} as date) as day, count(*) as n, sum(hash(line)::hugeint) as h "
        f"from (select {shape.listed} from {{}}) as line group by day"
    )
    rows = connection.execute(
        f"select day from ({digests.format(shape.here)}) as here full join ({digests.format(shape.own)}) as there using (day) "
        "where here.n is distinct from there.n or here.h is distinct from there.h order by day"
    ).fetchall()
    return sum((exchange(connection, shape, _of_day(shape, row[0])) for row in rows), Exchanged())


def exchange(connection: duckdb.DuckDBPyConnection, shape: Shape, bounds: str = ALL_ROWS, match: str = ALL_ROWS) -> Exchanged:
    """Take the rows out of a table that the working file does not have, and put in those that it lacks."""
    where = f"where {bounds} and {match}"
    columns = f"rowid as _row, {shape.is_own} as _is_own, {shape.listed}"
    if not (held := _make_table(connection, "rows_there", f"select {columns} from {shape.there} {where}")):
        return Exchanged(0, _told(connection.execute(f"{shape.put} from {shape.here} {where} {shape.order}")))
    gone, fresh = _compare(connection, shape, where, held)
    taken = _take_over(connection, shape) if fresh and shape.owner else 0
    if gone or taken:
        connection.execute(f"delete from {shape.there} where {bounds} and rowid in (select _row from rows_gone)")
    if fresh:
        connection.execute(f"{shape.put} from rows_fresh")
    return Exchanged(gone, fresh, taken)


def _compare(connection: duckdb.DuckDBPyConnection, shape: Shape, where: str, held: int) -> tuple[int, int]:
    """What is to go (`rows_gone`) of `rows_there`, which are so many, and what to come (`rows_fresh`)."""
    same = _same(name for name, _ in shape.columns)
    wanted = _make_table(connection, "rows_here", f"select {shape.listed} from {shape.here} {where}")
    gone = _make_table(
        connection, "rows_gone", f"select _row from rows_there as o anti join rows_here as i on {same} where _is_own"
    )
    known = "(from rows_there where _is_own)" if shape.mart.per_publisher else "rows_there"
    missing = f"select {shape.listed} from rows_here as i anti join {known} as o on {same} {shape.order}"
    fresh = _make_table(connection, "rows_fresh", missing)
    if not shape.owner and wanted != held - gone + fresh:
        # Rows that are there twice: all are exchanged.
        gone = _make_table(connection, "rows_gone", "select _row from rows_there")
        fresh = _make_table(connection, "rows_fresh", f"select * from rows_here {shape.order}")
    return gone, fresh


def _take_over(connection: duckdb.DuckDBPyConnection, shape: Shape) -> int:
    """Rows of other publishers whose keys come with other values go too."""
    if shape.mart.per_publisher or not shape.mart.sort_by:
        return 0
    same = _same(shape.mart.sort_by)
    return _told(
        connection.execute(
            f"insert into rows_gone select _row from rows_there as o semi join rows_fresh as i on {same} where not _is_own"
        )
    )


def _same(names: Iterable[str]) -> str:
    return " and ".join(f"i.{quoted(name)} is not distinct from o.{quoted(name)}" for name in names)


def _may_change_unnumbered(shape: Shape) -> bool:
    """Whether rows may be others without a higher sequence."""
    return shape.sequence is not None and SEQUENCES[shape.sequence] == ">="


def _make_table(connection: duckdb.DuckDBPyConnection, name: str, rows: str) -> int:
    """A temporary table; how many rows it has."""
    return _told(connection.execute(f"create or replace temp table {name} as {rows}"))


def _told(done: duckdb.DuckDBPyConnection) -> int:
    row = done.fetchone()
    return int(row[0]) if row else 0


def _times(shape: Shape) -> list[str]:
    """The day of a unit and the times between which its rows lie: where one of its columns is that time, no others."""
    time, day = shape.time or "null::timestamp", f"cast({shape.time or 'null'} as date)"
    if shape.time in {*shape.mart.units, *map(quoted, shape.mart.units)}:
        return [f"{day} as day", f"{time} as since", f"{time} as until"]
    return [f"{day} as day", f"{day}::timestamp as since", f"{day} + interval 1 day - interval 1 microsecond as until"]


def _bounds(shape: Shape, days: Sequence[tuple[date | None, datetime, datetime]]) -> list[str]:
    """One condition for each run of days, as literals: by these the lake knows which files it need not read."""
    if not shape.time:
        return [ALL_ROWS] if days else []
    runs: list[tuple[date, datetime, datetime]] = []
    for day, since, until in days:
        if day is None:
            continue
        begins_at = runs.pop()[1] if runs and day - runs[-1][0] == timedelta(days=1) else since
        runs.append((day, begins_at, until))
    return [f"{shape.time} between timestamp '{since}' and timestamp '{until}'" for _, since, until in runs]


def _of_day(shape: Shape, day: date) -> str:
    return f"{shape.time} >= timestamp '{day}' and {shape.time} < timestamp '{day + timedelta(days=1)}'"


def _is_empty(connection: duckdb.DuckDBPyConnection, relation: str) -> bool:
    return connection.execute(f"select 1 from {relation} limit 1").fetchone() is None
