"""Bringing one published table, of the lake or of the file, to what the working file holds, touching only what differs.

Belongs here: telling which rows may differ, exchanging those that do, how far a table was brought. Does not: which tables, when,
in what transaction (`lake_publish`, `edition`).

What may differ is told by the load sequence: a build replaces whole units of rows (the unique key of the incremental model), and
what it wrote bears a higher sequence than all before. Units are compared row by row, so that a payload that says again what is
known, as exports of two weeks do every two hours, writes nothing. Where the sequence cannot tell, days are compared by a digest
of their rows, and those that differ row by row.

Where several publishers write one table, each row names its publisher, and only that one takes it away: sequences are those of
one working file, and tell nothing of rows that came from another. A row that another publisher has word for word is not written
again; one of the same key with other values takes its place, so that the latest to say something is believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import duckdb

from warehouse.marts import INTERNAL_PREFIX, Mart, tables_of
from warehouse.raw_tables import quoted

# Slots may be judged anew by what was fetched before, so that the newest days count as touched each time.
SEQUENCES = {"_load_seq": ">", "_fetch_seq": ">="}
ALL_ROWS = "true"
# Of the tables of a lake that several publishers write.
OWNER = "_publisher"


@dataclass(frozen=True)
class Shape:
    """A published table and what it is made of: the rows of the working file `here`, their columns and types, the column that
    their changes are numbered by; and the table `there`, where those of its owner alone are its own, if it has one."""

    mart: Mart
    columns: tuple[tuple[str, str], ...]
    sequence: str | None
    here: str
    there: str
    owner: str = ""

    @property
    def own(self) -> str:
        """The rows there that may be taken away."""
        return f"(select * from {self.there} where {self.is_own})" if self.owner else self.there

    @property
    def is_own(self) -> str:
        return f"{OWNER} = '{self.owner}'" if self.owner else ALL_ROWS

    @property
    def put(self) -> str:
        """The beginning of a statement that puts rows there, up to where they come from."""
        columns, values = (f", {OWNER}", f", '{self.owner}'") if self.owner else ("", "")
        return f"insert into {self.there} ({self.listed}{columns}) select {self.listed}{values}"

    @property
    def listed(self) -> str:
        return ", ".join(quoted(name) for name, _ in self.columns)

    @property
    def kept_by(self) -> str:
        """The columns that its rows there are sorted by, listed; empty where their order is as it comes."""
        return ", ".join(map(quoted, self.mart.kept_by or self.mart.sort_by))

    @property
    def order(self) -> str:
        return f"order by {self.kept_by}" if self.kept_by else ""

    @property
    def time(self) -> str | None:
        """The column that says of which day a unit is; None where a unit has no day of its own."""
        stamps = [name for name, kind in self.columns if kind.startswith("TIMESTAMP")]
        named = [self.mart.partition_by] if self.mart.partition_by else stamps
        return next((quoted(name) for name in named if any(name in unit for unit in self.mart.units)), None)


def shapes_of(connection: duckdb.DuckDBPyConnection, marts: Sequence[Mart], database: str) -> list[Shape]:
    """What another database has of the marts that are tables: all but their internal columns."""
    found = columns_of(connection, "current_database()")
    names = {mart.name: quoted(mart.name) for mart in tables_of(marts)}
    return [
        shape_of(mart, found.get(mart.name, ()), f"marts.{names[mart.name]}", f"{database}.marts.{names[mart.name]}")
        for mart in tables_of(marts)
    ]


def columns_of(
    connection: duckdb.DuckDBPyConnection, database: str, schema: str = "marts"
) -> dict[str, tuple[tuple[str, str], ...]]:
    """Name and type of every column of the tables of a schema, by table."""
    rows = connection.execute(
        "select table_name, list((column_name, data_type) order by column_index) from duckdb_columns() "
        f"where database_name = {database} and schema_name = '{schema}' and table_name in "
        f"(select table_name from duckdb_tables() where database_name = {database} and schema_name = '{schema}') "
        "group by table_name"
    ).fetchall()
    return {table: tuple(map(tuple, columns)) for table, columns in rows}


def shape_of(mart: Mart, columns: Sequence[tuple[str, str]], here: str, there: str) -> Shape:
    sequence = next((name for name, _ in columns if name in SEQUENCES), None) if mart.units else None
    return Shape(mart, tuple(pair for pair in columns if not pair[0].startswith(INTERNAL_PREFIX)), sequence, here, there)


@dataclass(frozen=True)
class Progress:
    """How far a table was brought: up to which sequence, with how many rows, with which digest where no sequence tells."""

    sequence: int = 0
    row_count: int = 0
    digest: str = ""


def reached(connection: duckdb.DuckDBPyConnection, shape: Shape) -> Progress:
    """How far the working file is."""
    told = "" if shape.sequence else _digest(connection, shape)
    return Progress(_newest_sequence(connection, shape), count(connection, shape.here), told)


def may_differ(shape: Shape, before: Progress | None, now: Progress) -> bool:
    """Whether there may be anything to bring up."""
    return before != now or _may_change_unnumbered(shape)


def bring_up(connection: duckdb.DuckDBPyConnection, shape: Shape, before: Progress | None, now: Progress) -> int:
    """Rows written or taken away; all of the table is compared where it is not known how far it was brought before."""
    if before is None:
        return exchange_all(connection, shape).rows
    if not may_differ(shape, before, now):
        return 0
    if not shape.sequence:
        return exchange_all(connection, shape).rows
    done = exchange_touched(connection, shape, before.sequence)
    if before.row_count - done.gone + done.fresh != now.row_count:
        # Rows that went in a way of which no sequence tells show in how many there are.
        done += exchange_all(connection, shape)
    return done.rows


def make_progress(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    connection.execute(f"create table if not exists {table} (mart varchar, sequence bigint, row_count bigint, digest varchar)")


def read_progress(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, Progress]:
    rows = connection.execute(f"select mart, sequence, row_count, digest from {table}").fetchall()
    return {mart: Progress(*found) for mart, *found in rows}


def note_progress(connection: duckdb.DuckDBPyConnection, table: str, now: Mapping[str, Progress]) -> None:
    rows = [value for name, at in now.items() for value in (name, at.sequence, at.row_count, at.digest)]
    connection.execute(f"delete from {table}")
    connection.execute(f"insert into {table} values {', '.join(['(?, ?, ?, ?)'] * len(now))}", rows)


@dataclass(frozen=True)
class Exchanged:
    """Rows taken out of the lake and put in, and those `taken` from other publishers."""

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
    """Take the rows out of the lake that the working file does not have, and put in those that it has and the lake has not."""
    where = f"where {bounds} and {match}"
    columns = f"rowid as _row, {shape.is_own} as _is_own, {shape.listed}"
    held = _make_table(connection, "rows_there", f"select {columns} from {shape.there} {where}")
    if not held:
        written = connection.execute(f"{shape.put} from {shape.here} {where} {shape.order}")
        return Exchanged(0, _told(written))
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
    taken = _take_over(connection, shape) if fresh and shape.owner else 0
    if gone or taken:
        connection.execute(f"delete from {shape.there} where {bounds} and rowid in (select _row from rows_gone)")
    if fresh:
        connection.execute(f"{shape.put} from rows_fresh")
    return Exchanged(gone, fresh, taken)


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


def _digest(connection: duckdb.DuckDBPyConnection, shape: Shape) -> str:
    """Changes when any row of the mart does."""
    row = connection.execute(
        f"select count(*), coalesce(sum(hash(line)::hugeint), 0) from (select {shape.listed} from {shape.here}) as line"
    ).fetchone()
    return "/".join(map(str, row or ()))


def _may_change_unnumbered(shape: Shape) -> bool:
    """Whether rows may be others without a higher sequence."""
    return shape.sequence is not None and SEQUENCES[shape.sequence] == ">="


def _newest_sequence(connection: duckdb.DuckDBPyConnection, shape: Shape) -> int:
    row = (
        connection.execute(f"select coalesce(max({shape.sequence}), 0) from {shape.here}").fetchone() if shape.sequence else None
    )
    return int(row[0]) if row else 0


def count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    row = connection.execute(f"select count(*) from {relation}").fetchone()
    return int(row[0]) if row else 0


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


def _bounds(shape: Shape, days: Sequence[tuple[date | None, datetime, datetime]]) -> Iterator[str]:
    """One condition for each run of days, as literals: by these the lake knows which files it need not read."""
    if not shape.time:
        yield from [ALL_ROWS] if days else []
        return
    runs: list[list[tuple[date, datetime, datetime]]] = []
    for day, since, until in days:
        if day is None:
            continue
        if runs and day - runs[-1][-1][0] == timedelta(days=1):
            runs[-1].append((day, since, until))
        else:
            runs.append([(day, since, until)])
    yield from (f"{shape.time} between timestamp '{run[0][1]}' and timestamp '{run[-1][2]}'" for run in runs)


def _of_day(shape: Shape, day: date) -> str:
    return f"{shape.time} >= timestamp '{day}' and {shape.time} < timestamp '{day + timedelta(days=1)}'"


def _is_empty(connection: duckdb.DuckDBPyConnection, relation: str) -> bool:
    return connection.execute(f"select 1 from {relation} limit 1").fetchone() is None
