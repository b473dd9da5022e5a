"""The lake: what the working file holds, whole at every moment, at the price of what changed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from orchestration.registering import prepare
from tests.integration.processes import python_process
from tests.lakes import differences
from warehouse.as_of import Spans
from warehouse.connection import WarehouseError, connect
from warehouse.lake import Lake, LakeError, attached, load_extensions
from warehouse.lake_locks import lake_lock
from warehouse.lake_publish import publish_lake
from warehouse.lake_upkeep import REMOVED_AFTER_DAYS, maintain, state_of
from warehouse.marts import Mart, Replays
from warehouse.publish import STABLE_NAME, forget_origin, publish_file
from warehouse.query import connect_published, query

NOON = datetime(2026, 3, 24, 12, tzinfo=UTC)
PUBLISHES = 10
HOT_DAYS = 7
SNAPSHOTS = Mart(
    "fct_snapshots", "One row per number.", {"number": "It's a number.", "_load_seq": "internal"},
    ("snapshot_at", "coin", "number"), units=("coin", "snapshot_at"), partition_by="snapshot_at", hot_by="snapshot_at",
)  # fmt: skip
VERSIONS = Mart(
    "fct_versions", "One row per version.", sort_by=("coin", "number", "valid_from_at"),
    units=("coin", "number", "valid_from_at"), partition_by="valid_from_at", hot_by="valid_to_at",
    replays=Replays("int_replays", "coin", "valid_from_at"),
    spans=Spans("versions_as_of", "coin", "valid_from_at", "valid_to_at"),
)  # fmt: skip
SLOTS = Mart("fct_slots", "One row per slot.", sort_by=("slot",), units=("cast(slot as date)",), partition_by="slot")
WHOLE = Mart("dim_whole", "One row per number.", {"number": "A number."})
MARTS = (SNAPSHOTS, VERSIONS, SLOTS, WHOLE)
TABLES = """
    create schema marts; create schema intermediate;
    create table marts.fct_snapshots (snapshot_at timestamp, coin varchar, number bigint, _load_seq bigint);
    create table marts.fct_versions (
        coin varchar, number bigint, valid_from_at timestamp, valid_to_at timestamp, snapshot_at timestamp, _load_seq bigint
    );
    create table marts.fct_slots (slot timestamp, verdict varchar, _fetch_seq bigint);
    create table marts.dim_whole (number bigint);
    create table intermediate.int_replays (coin varchar, snapshot_at timestamp, _load_seq bigint);
"""
READER = """
    import json, os, sys, time
    from pathlib import Path
    from warehouse.lake import Lake
    from warehouse.query import connect_published
    lake, stop = Lake.below(sys.argv[1]), sys.argv[2]
    count = "select (select count(*) from fct_snapshots), (select count(*) from dim_whole)"
    seen = []
    with connect_published(lake) as held:
        held.execute(count).fetchone()
        print("reading", flush=True)
        while not os.path.exists(stop):
            seen.append(held.execute(count).fetchone())
            time.sleep(0.02)
    print(json.dumps(seen), flush=True)
"""
PUBLISHER = """
    import sys
    from datetime import UTC, datetime
    from pathlib import Path
    from tests.integration.test_lake import MARTS
    from warehouse.connection import open_writer
    from warehouse.lake import Lake
    from warehouse.lake_publish import publish_lake
    with open_writer(Path(sys.argv[1])) as connection:
        connection.execute("insert into ops.payloads (load_seq) values (1000)")
        connection.execute(
            "insert into marts.fct_snapshots select '2026-03-01'::timestamp + to_seconds(range), 'BTC', range, 1000 "
            "from range(1_000_000, 1_500_000)"
        )
        connection.execute("insert into marts.dim_whole select range from range(1_000_000, 1_500_000)")
        print("publishing", flush=True)
        publish_lake(connection, Lake.below(sys.argv[2]), MARTS, datetime(2026, 3, 25, tzinfo=UTC))
"""


FILE = "warehouse.duckdb"
FIRST_LOAD = """
    insert into ops.payloads (load_seq) values (1);
    insert into marts.fct_snapshots
        select '2026-03-24'::timestamp + to_hours(h), coin, n, 1
        from range(0, 3) as hours(h), (values ('BTC'), ('ETH')) as coins(coin), range(0, 20) as numbers(n);
    insert into marts.fct_versions select 'BTC', range, '2026-03-24', null, '2026-03-24', 1 from range(0, 20);
    insert into marts.fct_slots select '2026-03-23'::timestamp + to_hours(range), 'loaded', 1 from range(0, 48);
    insert into marts.dim_whole select range from range(0, 20);
"""


HELD = [*((number,) for number in range(20)), (31,)]
FIRST_ROWS = {"fct_snapshots": 120, "fct_versions": 20, "fct_slots": 48, "dim_whole": 20}


class Working:
    """A small working file and its lake; every step loads something first, as a build does."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self.connection, self.folder, self.lake, self.sequence = connection, folder, Lake.below(folder), 1

    def load(self, statements: str = "") -> None:
        """Run statements as what one load made; `$seq` is its sequence."""
        self.sequence += 1
        self.connection.execute(f"insert into ops.payloads (load_seq) values ({self.sequence})")
        if statements:
            self.connection.execute(statements.replace("$seq", str(self.sequence)))

    def publish(self, marts: tuple[Mart, ...] = MARTS, models: str = "") -> dict[str, int]:
        """What changed in the lake, which is the working file afterwards."""
        changes = publish_lake(self.connection, self.lake, marts, NOON, models).changes
        assert differences(self.connection, self.lake, marts) == {}
        return {mart: rows for mart, rows in (changes or {}).items() if rows}

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        with attached(self.connection, self.lake, read_only=True):
            return self.connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with the extensions loaded, which costs more than most of what is tested."""
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        load_extensions(connection)
        yield connection


@pytest.fixture(scope="module")
def template(engine: duckdb.DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a working file of one load, and the lake that it was published to; both may be copied."""
    folder = tmp_path_factory.mktemp("template")
    with connect(folder / FILE) as connection:
        prepare(connection)
        connection.execute(TABLES)
        connection.execute(FIRST_LOAD)
    with using(engine, folder / FILE):
        assert Working(engine, folder / "data").publish() == FIRST_ROWS
    return folder


@pytest.fixture
def file(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(template / FILE, tmp_path / FILE))


@pytest.fixture
def working(engine: duckdb.DuckDBPyConnection, template: Path, file: Path, tmp_path: Path) -> Iterator[Working]:
    """A working file and the lake it was published to."""
    shutil.copytree(template / "data", tmp_path / "data")
    with using(engine, file):
        yield Working(engine, tmp_path / "data")


@contextlib.contextmanager
def using(engine: duckdb.DuckDBPyConnection, file: Path) -> Iterator[None]:
    engine.execute(f"attach '{file}' as warehouse; use warehouse")
    yield
    engine.execute("use memory; detach database if exists warehouse")


@pytest.mark.parametrize(
    ("change", "rows"),
    [
        pytest.param(
            "insert into marts.fct_snapshots select '2026-03-24 03:00', 'BTC', range, $seq from range(0, 20)",
            {"fct_snapshots": 20}, id="a-snapshot-more",
        ),
        pytest.param(
            "insert into marts.fct_snapshots select '2026-02-11 03:00', 'BTC', range, $seq from range(0, 20)",
            {"fct_snapshots": 20}, id="a-late-snapshot",
        ),
        pytest.param(
            "delete from marts.fct_snapshots where snapshot_at = '2026-03-24 01:00' and coin = 'ETH';"
            "insert into marts.fct_snapshots select '2026-03-24 01:00', 'ETH', range, $seq from range(0, 18)",
            {"fct_snapshots": 2}, id="a-snapshot-restated-with-fewer-rows",
        ),
        pytest.param("update marts.fct_snapshots set _load_seq = $seq", {}, id="all-is-said-again"),
        pytest.param(
            "update marts.fct_versions set valid_to_at = '2026-03-24 01:00', _load_seq = $seq where number < 3;"
            "insert into marts.fct_versions values ('BTC', 1, '2026-03-24 01:00', null, '2026-03-24 01:00', $seq)",
            {"fct_versions": 7}, id="versions-closed-and-opened",
        ),
        pytest.param(
            "delete from marts.fct_versions where number < 3;"
            "insert into intermediate.int_replays values ('BTC', '2026-03-23', $seq)",
            {"fct_versions": 3}, id="versions-gone-in-a-replay",
        ),
        pytest.param(
            "delete from marts.fct_slots where slot >= '2026-03-24';"
            "insert into marts.fct_slots "
            "select '2026-03-24'::timestamp + to_hours(range), if(range = 5, 'missed', 'loaded'), $seq from range(0, 24)",
            {"fct_slots": 2}, id="a-day-of-slots-with-one-other-verdict",
        ),
        pytest.param(
            "update marts.fct_slots set verdict = 'missed' where slot = '2026-03-24 03:00'", {"fct_slots": 2}, id="a-verdict"
        ),
        pytest.param("insert into marts.dim_whole values (77)", {"dim_whole": 1}, id="a-table-made-whole"),
        pytest.param("delete from marts.fct_snapshots where number = 3", {"fct_snapshots": 6}, id="rows-gone-untold"),
        pytest.param("insert into marts.dim_whole values (3)", {"dim_whole": 41}, id="a-row-twice"),
        pytest.param("truncate marts.fct_snapshots", {"fct_snapshots": 120}, id="all-gone"),
    ],
)  # fmt: skip
def test_a_publish_writes_what_changed_and_no_more(working: Working, change: str, rows: dict[str, int]) -> None:
    working.load(change)
    assert working.publish() == rows


def test_a_publish_of_what_has_not_changed_leaves_no_trace(working: Working) -> None:
    before = state_of(working.lake).snapshot_count
    assert publish_lake(working.connection, working.lake, MARTS, NOON).changes is None
    assert state_of(working.lake).snapshot_count == before


def test_a_replay_that_touches_nothing_else_also_takes_rows_of_the_lake_alone(working: Working) -> None:
    working.load("insert into marts.fct_versions values ('BTC', 50, '2026-03-24 02:00', null, '2026-03-24 02:00', $seq)")
    working.publish()
    working.load(
        "delete from marts.fct_versions where number = 50;"
        "insert into marts.fct_versions values ('BTC', 51, '2026-03-24 02:00', null, '2026-03-24 02:00', $seq);"
        "insert into intermediate.int_replays values ('BTC', '2026-03-24 02:00', $seq)"
    )
    assert working.publish() == {"fct_versions": 2}


@pytest.mark.parametrize("why", ["another-file", "other-models"])
def test_rows_that_no_sequence_tells_are_found_where_the_file_or_the_models_are_others(working: Working, why: str) -> None:
    working.load("update marts.fct_snapshots set number = -7 where number = 7; update marts.fct_versions set valid_to_at = now()")
    if why == "another-file":
        forget_origin(working.connection)
    assert working.publish(models="other" if why == "other-models" else "") == {"fct_snapshots": 12, "fct_versions": 40}


def test_a_mart_with_another_column_is_written_anew_and_one_that_is_no_more_goes(working: Working) -> None:
    working.load("alter table marts.dim_whole add column label varchar default 'new'")
    assert working.publish((WHOLE, SLOTS)) == {"dim_whole": 20}
    assert working.rows(
        "select table_name from duckdb_tables() where (database_name, schema_name) = ('lake', 'marts') order by 1"
    ) == [
        ("dim_whole",), ("fct_slots",),
    ]  # fmt: skip


def test_a_view_is_one_in_the_lake_and_goes_when_it_is_no_more(working: Working) -> None:
    working.connection.execute("create view marts.numbers as select max(number) as top from warehouse.marts.dim_whole")
    working.load("insert into marts.dim_whole values (99)")
    working.publish((*MARTS, Mart("numbers", "The top. One row.", is_view=True)))
    with connect_published(working.lake) as connection:
        assert connection.execute("select top from numbers").fetchone() == (99,)
    working.connection.execute("drop view marts.numbers")
    working.publish()
    assert working.rows("select view_name from duckdb_views() where (database_name, schema_name) = ('lake', 'marts')") == []


@pytest.mark.parametrize("lost", ["lake", "lake/data", "lake/catalog.sqlite"])
def test_what_was_lost_of_the_lake_is_made_again(working: Working, lost: str) -> None:
    path = working.folder / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    working.load()
    assert working.publish() == FIRST_ROWS


def test_the_lake_tells_its_words_and_who_wrote_which_slots(working: Working) -> None:
    working.load()
    working.connection.execute("update ops.payloads set dataset = 'coins', slot = '2026-03-24 10:15' where load_seq > 1")
    working.publish()
    assert working.rows("select comment from duckdb_columns() where comment is not null and table_name = 'fct_snapshots'") == [
        ("It's a number.",)
    ]
    assert working.rows("select comment from duckdb_tables() where database_name = 'lake' and table_name = 'dim_whole'") == [
        ("One row per number.",)
    ]
    assert working.rows("select 1 from duckdb_columns() where database_name = 'lake' and starts_with(column_name, '_')") == []
    newest = "select author, commit_message from ducklake_snapshots('lake') order by snapshot_id desc limit 1"
    assert working.rows(newest) == [("htw", "2026-03-24T10:15Z coins")]


def test_the_lake_answers_what_it_held_at_a_time(working: Working) -> None:
    time.sleep(0.01)
    between = datetime.now(UTC)
    working.load("insert into marts.dim_whole values (77)")
    working.publish()
    count = "select count(*) as n from dim_whole"
    assert query(working.lake, count, between).n[0] == 20
    assert query(working.lake, count).n[0] == 21


def test_the_file_keeps_the_hot_days_and_the_lake_all(working: Working, tmp_path: Path) -> None:
    working.load(
        """
        insert into marts.fct_snapshots select '2026-03-01'::timestamp + to_days(range), 'BTC', range, $seq from range(0, 22);
        insert into marts.fct_versions values
            ('BTC', 30, '2026-03-01', '2026-03-02', '2026-03-01', $seq), ('BTC', 31, '2026-03-01', null, '2026-03-01', $seq),
            ('BTC', 32, '2026-03-01', '2026-03-17', '2026-03-01', $seq);
        """
    )
    working.publish()
    for mart in (SNAPSHOTS, VERSIONS, SLOTS):
        working.connection.execute(f"alter table marts.{mart.name} add column known_at timestamp")
    publish_file(working.connection, tmp_path / "published", MARTS, NOON, hot_days=HOT_DAYS)
    hot = tmp_path / "published" / STABLE_NAME
    with connect_published(hot) as connection:
        assert connection.execute("select min(snapshot_at) from fct_snapshots").fetchone() == (datetime(2026, 3, 17),)
        assert connection.execute("select number from fct_versions where number >= 30 order by 1").fetchall() == [(31,), (32,)]
        comments = dict(connection.execute("select table_name, comment from duckdb_tables()").fetchall())
        held = "select number from versions_as_of('BTC', '{}') order by 1"
        assert connection.execute(held.format("2026-03-24")).fetchall() == HELD
        with pytest.raises(duckdb.Error, match="has fct_versions from 2026-03-17 on; the lake has the days before: `htw query"):
            connection.execute(held.format("2026-03-16 23:59"))
    with connect_published(working.lake) as connection:
        assert connection.execute(held.format("2026-03-24")).fetchall() == HELD
        assert connection.execute(held.format("2026-03-16")).fetchall() == [(31,), (32,)]
    assert comments["fct_snapshots"].endswith("from 2026-03-17 on; the lake has the days before: `htw query --lake SQL`.")
    assert comments["dim_whole"] == "One row per number."
    assert working.rows("select min(snapshot_at), count(*) from lake.marts.fct_snapshots") == [(datetime(2026, 3, 1), 142)]


def test_a_short_history_is_whole_in_the_file_and_says_nothing_of_a_lake(working: Working, tmp_path: Path) -> None:
    for mart in (SNAPSHOTS, VERSIONS, SLOTS):
        working.connection.execute(f"alter table marts.{mart.name} add column known_at timestamp")
    publish_file(working.connection, tmp_path / "published", MARTS, NOON, hot_days=HOT_DAYS)
    with connect_published(tmp_path / "published" / STABLE_NAME) as connection:
        assert connection.execute("select count(*) from fct_snapshots").fetchone() == (120,)
        comment = connection.execute("select comment from duckdb_tables() where table_name = 'fct_snapshots'").fetchone()
    assert comment == ("One row per number.",)


@pytest.mark.long
def test_readers_see_whole_publishes_only_and_no_error_across_ten(working: Working, tmp_path: Path) -> None:
    working.connection.execute("delete from marts.dim_whole; insert into marts.dim_whole select range from range(0, 120)")
    working.load()
    working.publish()
    stop = tmp_path / "stop"
    with python_process(READER, working.folder, stop) as reader:
        for number in range(PUBLISHES):
            working.load(
                f"insert into marts.fct_snapshots select '2026-03-25'::timestamp + to_hours({number}), 'BTC', range, $seq "
                "from range(0, 50);"
                f"insert into marts.dim_whole select 1000 * ({number} + 1) + range from range(0, 50)"
            )
            publish_lake(working.connection, working.lake, MARTS, NOON)
        stop.touch()
        seen = json.loads(reader.communicate()[0])
    assert [pair for pair in seen if pair[0] != pair[1]] == []
    assert [left for left, _ in seen] == sorted(left for left, _ in seen)
    assert len({left for left, _ in seen}) > 2, "the reader must have read while publishes went on"


@pytest.mark.long
@pytest.mark.parametrize("after_s", [0.6, 1.2])
def test_a_publish_killed_in_the_middle_leaves_the_lake_whole(working: Working, file: Path, after_s: float) -> None:
    working.connection.execute("use memory; detach warehouse")
    with python_process(PUBLISHER, file, working.folder) as publisher:
        time.sleep(after_s)
        publisher.send_signal(signal.SIGKILL)
        publisher.wait()
    counts = working.rows("select (select count(*) from lake.marts.fct_snapshots), (select count(*) from lake.marts.dim_whole)")
    assert counts in ([(120, 20)], [(500_120, 500_020)])
    with using(working.connection, file):
        working.publish()


def test_upkeep_merges_files_and_removes_only_what_is_old_and_belongs_to_nothing(working: Working) -> None:
    for number in range(3):
        working.load(
            f"insert into marts.fct_snapshots select '2026-03-25'::timestamp + to_hours({number}), 'BTC', range, $seq "
            "from range(0, 50)"
        )
        publish_lake(working.connection, working.lake, MARTS, NOON)
    stray, young = working.lake.data / "stray.parquet", working.lake.data / "young.parquet"
    for orphan, age_days in ((stray, REMOVED_AFTER_DAYS + 1), (young, 0)):
        orphan.write_bytes(b"PAR1")
        born = time.time() - timedelta(days=age_days).total_seconds()
        os.utime(orphan, (born, born))
    before, after = maintain(working.lake, history_days=30)
    assert before.files["fct_snapshots"] > after.files["fct_snapshots"] == 2
    assert (stray.exists(), young.exists()) == (False, True)
    assert differences(working.connection, working.lake, MARTS) == {}
    assert after.snapshot_count >= before.snapshot_count
    working.load("insert into marts.dim_whole values (77)")
    assert working.publish() == {"dim_whole": 1}


def test_upkeep_lays_the_rows_of_a_day_in_the_order_in_which_they_take_least_room(working: Working) -> None:
    marts = (replace(SNAPSHOTS, kept_by=("number", "snapshot_at")), *MARTS[1:])
    for hour in range(3):
        working.load(
            f"insert into marts.fct_snapshots select '2026-03-25'::timestamp + to_hours({hour}), 'BTC', range, $seq "
            "from range(50)"
        )
        working.publish(marts)
    maintain(working.lake, history_days=30)
    ((file,),) = working.rows(
        "select data_file from ducklake_list_files('lake', 'fct_snapshots', schema => 'marts') "
        "where contains(data_file, 'day=25')"
    )
    rows = working.rows(
        f"select number, hour(snapshot_at) from read_parquet('{file}', file_row_number = true) order by file_row_number"
    )
    assert rows == [(number, hour) for number in range(50) for hour in range(3)]
    assert working.rows(f"select distinct compression from parquet_metadata('{file}')") == [("ZSTD",)]


def test_a_lake_that_cannot_be_written_says_so_and_how_to_mend_it(working: Working) -> None:
    working.lake.catalog.write_bytes(b"no catalog at all" * 100)
    with pytest.raises(LakeError, match="move it away: the next publish makes the lake again"):
        working.publish()
    shutil.rmtree(working.lake.catalog.parent)
    assert working.publish()


def test_who_writes_the_lake_second_waits_and_then_says_for_whom(working: Working) -> None:
    with lake_lock(working.lake), pytest.raises(LakeError, match="another process has been writing the lake"):  # noqa: SIM117
        with lake_lock(working.lake, wait_s=0.1):
            pass


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("copy dim_whole to '{data}/stolen.csv'", id="copy-into-the-lake"),
        pytest.param("explain analyze copy dim_whole to '{data}/stolen.csv'", id="copy-explained"),
        pytest.param("attach '{data}/mine.duckdb' as mine", id="attach"),
        pytest.param("delete from dim_whole", id="delete"),
        pytest.param("create temp table t as select 1", id="temporary-table"),
        pytest.param("select 1; copy dim_whole to '{data}/stolen.csv'", id="second-statement"),
        pytest.param("call ducklake_cleanup_old_files('lake', cleanup_all => true)", id="call"),
        pytest.param("select * from ducklake_cleanup_old_files('lake', cleanup_all => true)", id="clean-up"),
        pytest.param("select * from \"ducklake_delete_orphaned_files\"('lake', cleanup_all => true)", id="orphans-quoted"),
        pytest.param("select * from read_text('/etc/hostname')", id="other-file"),
        pytest.param("select * from read_csv('{data}/../../warehouse.duckdb')", id="working-file"),
        pytest.param("set enable_external_access = true", id="setting"),
        pytest.param("install httpfs", id="extension"),
    ],
)
def test_a_question_to_the_lake_reads_its_marts_and_nothing_else(working: Working, sql: str) -> None:
    (working.lake.data / "stray.parquet").write_bytes(b"PAR1")
    before = sorted(working.folder.rglob("*.parquet"))
    with pytest.raises(WarehouseError):
        query(working.lake, sql.format(data=working.lake.data))
    assert sorted(working.folder.rglob("*.parquet")) == before
    assert list(working.folder.rglob("stolen*")) + list(working.folder.rglob("mine*")) == []


def test_a_question_may_be_explained_and_a_lake_that_is_not_there_says_so(working: Working, tmp_path: Path) -> None:
    assert len(query(working.lake, "explain select count(*) from dim_whole")) > 0
    assert len(query(working.lake, "describe dim_whole")) == 1
    with pytest.raises(WarehouseError, match="there is no lake at"):
        query(Lake.below(tmp_path / "nowhere"), "select 1")


def test_a_lake_in_which_nothing_was_published_says_so(tmp_path: Path) -> None:
    lake = Lake.below(tmp_path)
    with lake_lock(lake), duckdb.connect() as connection, attached(connection, lake):
        pass
    with pytest.raises(WarehouseError, match=r"nothing is published in the lake at .* yet; run `htw poll`"):
        connect_published(lake)


def test_a_lake_that_was_moved_is_read_where_it_is(working: Working, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.move(working.folder, moved)
    assert query(Lake.below(moved), "select count(distinct number) as n from fct_snapshots").n[0] == 20
    with attached(working.connection, Lake.below(moved), read_only=True):
        assert working.connection.execute("select count(*) from lake.marts.dim_whole where number >= 0").fetchone() == (20,)
