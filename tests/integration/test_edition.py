"""A version that was brought up from the one before holds what one written whole would: rows, words, views and macros."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from orchestration.registering import prepare
from warehouse.as_of import Spans, Versions
from warehouse.connection import connect
from warehouse.marts import Mart, Replays
from warehouse.publish import STABLE_NAME, draft_of, forget_origin, publish_file
from warehouse.query import connect_published

MORNING = datetime(2026, 3, 24, 8, tzinfo=UTC)
HOT_DAYS = 7
MARTS = (
    Mart("fct_snapshots", "One row per number.", sort_by=("snapshot_at", "coin", "number"), units=("coin", "snapshot_at"),
         partition_by="snapshot_at", hot_by="snapshot_at", kept_by=("number",)),
    Mart("fct_spans", "One row per span.", sort_by=("coin", "number", "valid_from_at"), units=("coin", "number", "valid_from_at"),
         partition_by="valid_from_at", hot_by="valid_to_at", replays=Replays("int_replays", "coin", "valid_from_at"),
         spans=Spans("spans_as_of", "coin", "valid_from_at", "valid_to_at")),
    Mart("fct_metrics", "One row per time.", {"metric": "A metric."}, units=("snapshot_at",),
         versions=Versions("int_metric_versions", ("snapshot_at",))),
    Mart("dim_whole", "One row per number.", {"number": "It's a number."}),
    Mart("totals", "The total. One row.", {"n": "How many."}, is_view=True),
)  # fmt: skip
TABLES = """
    create schema marts; create schema intermediate;
    create table marts.fct_snapshots (snapshot_at timestamp, coin varchar, number bigint, known_at timestamp, _load_seq bigint);
    create table marts.fct_spans (
        coin varchar, number bigint, valid_from_at timestamp, valid_to_at timestamp, snapshot_at timestamp, known_at timestamp,
        _load_seq bigint
    );
    create table marts.fct_metrics (snapshot_at timestamp, metric double, known_at timestamp, _load_seq bigint);
    create table marts.dim_whole (number bigint);
    create table intermediate.int_replays (coin varchar, snapshot_at timestamp, _load_seq bigint);
    create table intermediate.int_metric_versions (
        snapshot_at timestamp, value_hash varchar, metric double, first_known_at timestamp, last_known_at timestamp,
        first_payload_id varchar, last_payload_id varchar, _load_seq bigint
    );
    create view marts.totals as select count(*) as n from warehouse.marts.fct_snapshots;
"""
SNAPSHOTS = "insert into marts.fct_snapshots select {at}, 'BTC', range, {at}, $seq from range({count});"
FIRST = (
    SNAPSHOTS.format(at="timestamp '2026-03-24 00:00'", count=20)
    + """
    insert into marts.fct_spans select 'BTC', range, '2026-03-24', null, '2026-03-24', '2026-03-24', $seq from range(9);
    insert into marts.fct_metrics values ('2026-03-24', 1, '2026-03-24', $seq);
    insert into intermediate.int_metric_versions values ('2026-03-24', 'a', 1, '2026-03-24', '2026-03-24', 'p', 'p', $seq);
    insert into marts.dim_whole select range from range(5);
"""
)
CHANGES = {
    "a-snapshot-more": SNAPSHOTS.format(at="timestamp '2026-03-24 01:00'", count=20),
    "a-late-snapshot": SNAPSHOTS.format(at="timestamp '2026-03-22 01:00'", count=7),
    "a-snapshot-with-fewer-rows": "delete from marts.fct_snapshots;" + SNAPSHOTS.format(at="timestamp '2026-03-24'", count=18),
    "a-span-closed-and-one-begun":
    "update marts.fct_spans set valid_to_at = '2026-03-24 05:00', _load_seq = $seq where number < 3;"
    "insert into marts.fct_spans values ('BTC', 1, '2026-03-24 05:00', null, '2026-03-24 05:00', '2026-03-24', $seq)",
    "spans-gone-in-a-replay": "delete from marts.fct_spans where number < 3;"
    "insert into intermediate.int_replays values ('BTC', '2026-03-23', $seq)",
    "a-restated-metric": "update marts.fct_metrics set metric = 2, _load_seq = $seq;"
    "insert into intermediate.int_metric_versions values ('2026-03-24', 'b', 2, '2026-03-25', '2026-03-25', 'q', 'q', $seq)",
    "rows-gone-without-a-word": "delete from marts.fct_spans where number = 7; delete from marts.dim_whole where number = 2",
    "the-hot-window-moves": SNAPSHOTS.format(at="timestamp '2026-04-01 01:00'", count=3)
    + "insert into marts.fct_spans values ('BTC', 9, '2026-04-01', null, '2026-04-01', '2026-04-01', $seq)",
    "nothing": "",
}  # fmt: skip
# Of a macro the words, as DuckDB lists what is left out of `*` in any order.
OBJECTS = """
    select 'table', schema_name, table_name, comment from duckdb_tables() where schema_name <> 'main'
    union all select 'view', schema_name, view_name, comment from duckdb_views() where schema_name = 'marts'
    union all select 'macro', schema_name, function_name, list_sort(regexp_extract_all(macro_definition, '\\w+'))::varchar
    from duckdb_functions()
    where schema_name = 'marts' and function_type = 'table_macro'
    order by all
"""


class Working:
    """A working file, its published folder, and a clock that goes a minute a publish."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self.connection, self.folder, self.sequence, self.now = connection, folder, 0, MORNING

    def load(self, statements: str) -> None:
        self.sequence += 1
        self.now += timedelta(minutes=1)
        self.connection.execute(f"insert into ops.payloads (load_seq) values ({self.sequence})")
        if statements:
            self.connection.execute(statements.replace("$seq", str(self.sequence)))

    def publish(self, marts: tuple[Mart, ...] = MARTS, with_draft: bool = True) -> None:
        """Publish, and compare with a version written whole."""
        draft = draft_of(self.folder) if with_draft else None
        publish_file(self.connection, self.folder, marts, self.now, hot_days=HOT_DAYS, draft=draft)
        apart = self.folder.with_name("apart")
        publish_file(self.connection, apart, marts, self.now, anew=True, hot_days=HOT_DAYS)
        assert content(self.folder) == content(apart)

    @property
    def was_written_whole(self) -> bool:
        with connect_published(self.folder / STABLE_NAME) as connection:
            return connection.execute("select whole_at = published_at from main.edition").fetchone() == (True,)


def content(folder: Path) -> dict[str, object]:
    with connect_published(folder / STABLE_NAME) as connection:
        objects = connection.execute(OBJECTS).fetchall()
        columns = connection.execute(
            "select schema_name, table_name, column_name, data_type, comment from duckdb_columns() order by all"
        ).fetchall()
        found: dict[str, object] = {"objects": objects, "columns": columns}
        for kind, schema, name, _ in objects:
            if kind in ("table", "view"):
                found[name] = sorted(connection.execute(f"from {schema}.{name}").fetchall(), key=str)
        found["spans"] = sorted(connection.execute("from spans_as_of('BTC', '2026-04-01 02:00')").fetchall())
    return found


@pytest.fixture
def working(tmp_path: Path) -> Iterator[Working]:
    with connect(tmp_path / "warehouse.duckdb") as connection:
        prepare(connection)
        connection.execute(TABLES)
        working = Working(connection, tmp_path / "published")
        working.load(FIRST)
        working.publish()
        yield working


@pytest.mark.parametrize(("change", "moves_the_window"), [(sql, "window" in name) for name, sql in CHANGES.items()], ids=CHANGES)
def test_a_version_that_was_brought_up_equals_one_written_whole(working: Working, change: str, moves_the_window: bool) -> None:
    working.load(change)
    working.publish()
    assert working.was_written_whole is moves_the_window
    working.load(SNAPSHOTS.format(at="timestamp '2026-03-24 02:00'", count=4))
    working.publish(with_draft=False)


@pytest.mark.parametrize("why", ["another day", "other words", "another file"])
def test_a_version_is_written_whole_where_it_cannot_go_on(working: Working, why: str) -> None:
    marts = MARTS
    if why == "another day":
        working.now += timedelta(days=1)
    elif why == "other words":
        marts = (*MARTS[:3], replace(MARTS[3], description="Other words."), MARTS[4])
    else:
        forget_origin(working.connection)
    working.load("")
    working.publish(marts)
    assert working.was_written_whole


def test_a_draft_of_a_version_that_is_no_longer_the_newest_is_not_used(working: Working) -> None:
    draft = draft_of(working.folder)
    working.load(SNAPSHOTS.format(at="timestamp '2026-03-24 03:00'", count=4))
    working.publish()
    working.load(SNAPSHOTS.format(at="timestamp '2026-03-24 04:00'", count=4))
    publish_file(working.connection, working.folder, MARTS, working.now, hot_days=HOT_DAYS, draft=draft)
    with connect_published(working.folder / STABLE_NAME) as connection:
        assert connection.execute("select n from totals").fetchone() == (28,)
        told = connection.execute("select comment from duckdb_columns() where table_name = 'totals'").fetchall()
    assert told == [("How many.",)]
    assert [path.name for path in working.folder.iterdir() if "unfinished" in path.name] == []
