"""The published file: readers see one whole version, old or new, whatever happens to the publisher."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from orchestration.registering import prepare
from tests.integration.processes import python_process
from warehouse.connection import WarehouseError, connect
from warehouse.marts import Mart
from warehouse.publish import STABLE_NAME, VERSIONS_KEPT, Published, publish_file

NOON = datetime(2026, 3, 24, 12, tzinfo=UTC)
PUBLISHES = 10
MARTS = (
    Mart("dim_left", "Left's rows. One row per number.", {"number": "It's a number.", "_load_seq": "internal"}, ("number",)),
    Mart("dim_right", "The same rows. One row per number.", {"number": "A number."}),
)

READER = """
    import duckdb, json, os, sys, time
    stable, stop = sys.argv[1:]
    count = "select (select count(*) from marts.dim_left), (select count(*) from marts.dim_right)"
    held = duckdb.connect(os.path.realpath(stable), read_only=True)
    first, seen = held.execute(count).fetchone(), []
    print("reading", flush=True)
    while not os.path.exists(stop):
        with duckdb.connect(os.path.realpath(stable), read_only=True) as fresh:
            seen.append(fresh.execute(count).fetchone())
        assert held.execute(count).fetchone() == first, "the version held open changed"
    print(json.dumps({"first": first, "seen": seen}), flush=True)
"""
PUBLISHER = """
    import sys
    from datetime import UTC, datetime
    from pathlib import Path
    from warehouse.connection import open_writer
    from warehouse.marts import Mart
    from warehouse.publish import publish_file
    with open_writer(Path(sys.argv[1])) as connection:
        connection.execute("insert into ops.payloads (load_seq) values (1000)")
        connection.execute("insert into marts.dim_left select range, 0 from range(1, 15_000_001)")
        print("publishing", flush=True)
        publish_file(connection, Path(sys.argv[2]), [Mart("dim_left"), Mart("dim_right")], datetime(2026, 3, 25, tzinfo=UTC))
"""

Publish = Callable[..., Published]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "warehouse.duckdb"
    with connect(file) as connection:
        prepare(connection)
        connection.execute("create schema marts")
        connection.execute("create table marts.dim_left (number bigint, _load_seq bigint)")
        connection.execute("create table marts.dim_right (number bigint)")
    return file


@pytest.fixture
def connection(file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(file) as connection:
        yield connection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "published"


@pytest.fixture
def load_and_publish(connection: duckdb.DuckDBPyConnection, folder: Path) -> Publish:
    """Publishes after one more row was loaded; each version is a minute younger than the last."""
    now = NOON

    def publish(connection: duckdb.DuckDBPyConnection = connection) -> Published:
        nonlocal now
        now += timedelta(minutes=1)
        connection.execute("insert into ops.payloads (load_seq) select 1 + coalesce(max(load_seq), 0) from ops.payloads")
        connection.execute("insert into marts.dim_left select count(*), count(*) from marts.dim_left")
        connection.execute("insert into marts.dim_right select count(*) from marts.dim_right")
        return publish_file(connection, folder, MARTS, now)

    return publish


def rows(folder: Path) -> tuple[int, ...]:
    with duckdb.connect(str((folder / STABLE_NAME).resolve()), read_only=True) as published:
        row = published.execute("select (select count(*) from marts.dim_left), (select count(*) from marts.dim_right)").fetchone()
    assert row is not None
    return row


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != STABLE_NAME)


@pytest.mark.proves("bi-tool", sees="what it has open stays as it was; whoever opens it anew sees the newest version")
def test_readers_see_the_old_version_or_the_new_one_across_ten_publishes(
    load_and_publish: Publish, folder: Path, tmp_path: Path
) -> None:
    load_and_publish()
    stop = tmp_path / "stop"
    with python_process(READER, folder / STABLE_NAME, stop) as reader:
        for _ in range(PUBLISHES):
            load_and_publish()
        stop.touch()
        said = json.loads(reader.communicate()[0])
    seen = [left for left, _ in said["seen"]]
    assert said["first"] == [1, 1]
    assert [pair for pair in said["seen"] if pair[0] != pair[1]] == []
    assert seen == sorted(seen)
    assert len(set(seen)) > 2, "the reader must have read while versions changed"


def test_the_last_three_versions_are_kept_and_the_stable_name_is_the_newest(load_and_publish: Publish, folder: Path) -> None:
    made = [load_and_publish().path for _ in range(PUBLISHES)]
    assert names(folder) == [path.name for path in made[-VERSIONS_KEPT:] if path]
    assert (folder / STABLE_NAME).resolve() == made[-1]
    assert rows(folder) == (PUBLISHES, PUBLISHES)


def test_nothing_is_published_when_nothing_changed(
    load_and_publish: Publish, connection: duckdb.DuckDBPyConnection, folder: Path
) -> None:
    load_and_publish()
    before = names(folder)
    assert publish_file(connection, folder, MARTS, NOON + timedelta(days=1)).path is None
    assert names(folder) == before


@pytest.mark.parametrize("change", ["models", "words", "anew"])
def test_other_models_other_words_and_a_rebuilt_file_are_published_without_a_load(
    load_and_publish: Publish, connection: duckdb.DuckDBPyConnection, folder: Path, change: str
) -> None:
    load_and_publish()
    marts = [Mart("dim_left", "Said better."), Mart("dim_right")] if change == "words" else MARTS
    models = "other SQL" if change == "models" else ""
    published = publish_file(connection, folder, marts, NOON + timedelta(days=1), models, anew=change == "anew")
    assert published.path is not None
    assert published.row_counts == {"dim_left": 1, "dim_right": 1}


def test_descriptions_are_inside_and_internal_columns_are_not(load_and_publish: Publish, folder: Path) -> None:
    load_and_publish()
    with duckdb.connect(str(folder / STABLE_NAME), read_only=True) as published:
        tables = dict(published.execute("select table_name, comment from duckdb_tables() where schema_name = 'marts'").fetchall())
        columns = published.execute(
            "select table_name, column_name, comment from duckdb_columns() where schema_name = 'marts' order by all"
        ).fetchall()
        edition = published.execute("select published_at from main.edition").fetchone()
    assert tables == {"dim_left": "Left's rows. One row per number.", "dim_right": "The same rows. One row per number."}
    assert columns == [("dim_left", "number", "It's a number."), ("dim_right", "number", "A number.")]
    assert edition == (datetime(2026, 3, 24, 12, 1),)


def test_a_view_is_published_as_one_over_the_published_tables(
    load_and_publish: Publish, connection: duckdb.DuckDBPyConnection, folder: Path
) -> None:
    load_and_publish()
    connection.execute("create view marts.sums as select sum(number) as total from warehouse.marts.dim_left")
    view = Mart("sums", "The sum. One row.", is_view=True)
    published = publish_file(connection, folder, [*MARTS, view], NOON + timedelta(days=1))
    assert published.row_counts.keys() == {"dim_left", "dim_right"}
    connection.execute("delete from marts.dim_left")
    with duckdb.connect(str(folder / STABLE_NAME), read_only=True) as edition:
        assert edition.execute("select total from marts.sums").fetchone() == (0,)
        assert edition.execute("select comment from duckdb_views() where view_name = 'sums'").fetchone() == ("The sum. One row.",)


def test_a_publish_that_fails_halfway_leaves_the_last_good_version(
    load_and_publish: Publish, connection: duckdb.DuckDBPyConnection, folder: Path
) -> None:
    load_and_publish()
    with pytest.raises(WarehouseError, match="no table dim_missing"):
        publish_file(connection, folder, [*MARTS, Mart("dim_missing")], NOON + timedelta(days=1))
    assert rows(folder) == (1, 1)
    load_and_publish()
    assert rows(folder) == (2, 2)
    assert [name for name in names(folder) if "unfinished" in name] == []


def test_a_publisher_killed_before_the_swap_leaves_the_last_good_version(
    file: Path, load_and_publish: Publish, connection: duckdb.DuckDBPyConnection, folder: Path
) -> None:
    load_and_publish()
    before = names(folder)
    connection.close()
    with python_process(PUBLISHER, file, folder) as publisher:
        while not any("unfinished" in name for name in names(folder)):
            assert publisher.poll() is None, "it ended before it could be killed"
            time.sleep(0.001)
        publisher.send_signal(signal.SIGKILL)
        publisher.wait()
    assert set(names(folder)) - set(before), "what it had begun is still there"
    assert rows(folder) == (1, 1)
    with connect(file) as again:
        again.execute("delete from marts.dim_left where number > 0")
        load_and_publish(again)
    assert rows(folder) == (2, 2)
    assert [name for name in names(folder) if "unfinished" in name] == []
