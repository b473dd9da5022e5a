"""A lake that several publish to, on a real PostgreSQL and a real S3-compatible server: the union, whole at every moment."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestration.registering import prepare
from tests.integration.processes import python_process
from tests.integration.test_lake import FIRST_LOAD, SLOTS, SNAPSHOTS, TABLES, VERSIONS, WHOLE
from tests.lakes import differences
from tests.production.cluster import PASSWORD, Cluster
from tests.stores import SECRET, Store
from warehouse.connection import WarehouseError, connect
from warehouse.lake import Lake, LakeError
from warehouse.lake_locks import lake_lock
from warehouse.lake_moving import Moved, move_lake
from warehouse.lake_publish import publish_lake
from warehouse.lake_upkeep import maintain, state_of
from warehouse.publish import forget_origin
from warehouse.query import connect_published, query
from warehouse.table_shapes import OWNER

pytestmark = pytest.mark.long
NOON = datetime(2026, 3, 24, 12, tzinfo=UTC)
MARTS = (SNAPSHOTS, VERSIONS, replace(SLOTS, per_publisher=True), WHOLE)
ANNA, BERT = "a" * 12, "b" * 12
WRITERS, ROUNDS = 2, 2
# The store is in this process: who asks without a pause leaves it none of its time.
PAUSE_S = 1.0
WRITER = """
    print("ready", flush=True)
    import sys
    from datetime import UTC, datetime
    from pathlib import Path
    from tests.integration.test_shared_lake import Publisher
    from tests.stores import shared_lake
    folder, number, rounds, port, database, endpoint = sys.argv[1:7]
    publisher = Publisher(Path(folder), f"{int(number):012x}", shared_lake(int(port), database, endpoint))
    for turn in range(int(rounds)):
        publisher.load(
            f"insert into marts.fct_snapshots select '2026-04-01'::timestamp + to_hours({turn}), 'COIN{number}', range, $seq "
            f"from range(40); insert into marts.dim_whole values ({number} * 1000 + {turn})"
        )
        publisher.publish()
    print("done", flush=True)
"""
BIG_WRITER = """
    import sys
    from pathlib import Path
    from tests.integration.test_shared_lake import BIG_LOAD, Publisher
    from tests.stores import shared_lake
    folder, name, port, database, endpoint = sys.argv[1:6]
    publisher = Publisher(Path(folder), name, shared_lake(int(port), database, endpoint))
    publisher.load(BIG_LOAD)
    print("publishing", flush=True)
    publisher.publish()
"""
BIG_LOAD = """
    insert into marts.fct_snapshots select '2026-05-01'::timestamp + to_seconds(range), 'BIG', range, $seq from range(600_000);
    insert into marts.dim_whole select 1_000_000 + range from range(600_000)
"""
HALVES = "select count(*) filter (coin = 'BIG'), (select count(*) from dim_whole where number >= 1_000_000) from fct_snapshots"


class Publisher:
    """One machine: a working file of its own, and the name under which it publishes."""

    def __init__(self, folder: Path, name: str, lake: Lake) -> None:
        self.file, self.name, self.lake = folder / name / "warehouse.duckdb", name, lake
        is_new = not self.file.exists()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.connection = connect(self.file)
        if is_new:
            prepare(self.connection)
            self.connection.execute(TABLES)
        row = self.connection.execute("select coalesce(max(load_seq), 0) from ops.payloads").fetchone()
        self.sequence = int(row[0]) if row else 0

    def load(self, statements: str) -> None:
        self.sequence += 1
        self.connection.execute(f"insert into ops.payloads (load_seq) values ({self.sequence})")
        self.connection.execute(statements.replace("$seq", str(self.sequence)))

    def publish(self) -> dict[str, int] | None:
        """Rows that changed, by mart; None where there was nothing to do."""
        changes = publish_lake(self.connection, self.lake, MARTS, NOON, publisher=self.name).changes
        return None if changes is None else {mart: rows for mart, rows in changes.items() if rows}

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """While another process has the working file."""
        self.connection.close()
        yield
        self.connection = connect(self.file)


def rows(lake: Lake, sql: str) -> list[tuple[Any, ...]]:
    with connect_published(lake) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def anna(lake: Lake, tmp_path: Path) -> Iterator[Publisher]:
    """Has published a first load."""
    publisher = Publisher(tmp_path, ANNA, lake)
    publisher.connection.execute(FIRST_LOAD)
    publisher.sequence = 1
    assert publisher.publish() == {"fct_snapshots": 120, "fct_versions": 20, "fct_slots": 48, "dim_whole": 20}
    yield publisher
    publisher.connection.close()


def test_a_shared_lake_is_the_union_of_what_each_publisher_put_there(anna: Publisher, tmp_path: Path) -> None:
    lake = anna.lake
    assert differences(anna.connection, lake, MARTS) == {}
    assert anna.publish() is None
    bert = Publisher(tmp_path, BERT, lake)
    # A coin of his own in units of hers, a row of one key with another value, slots of his own, a row that both have.
    bert.load(
        """
        insert into marts.fct_snapshots select '2026-03-24', 'SOL', range, $seq from range(5);
        insert into marts.fct_versions values ('BTC', 3, '2026-03-24', '2026-03-25', '2026-03-24', $seq);
        insert into marts.fct_slots values ('2026-03-23 00:00', 'not_planned', $seq);
        insert into marts.dim_whole values (3), (77)
        """
    )
    bert.publish()
    assert rows(lake, "select count(*), count(*) filter (coin = 'SOL') from fct_snapshots") == [(125, 5)]
    assert rows(lake, "select count(*), max(valid_to_at) from fct_versions where number = 3") == [(1, datetime(2026, 3, 25))]
    assert rows(lake, "select verdict from fct_slots where slot = '2026-03-23' order by 1") == [("loaded",), ("not_planned",)]
    assert rows(lake, "select count(*), max(number) from dim_whole") == [(21, 77)]
    # Compared as a whole, each takes away its own rows only.
    anna.load("delete from marts.fct_snapshots where number = 3; delete from marts.dim_whole where number = 5")
    forget_origin(anna.connection)
    anna.publish()
    assert rows(lake, "select count(*), count(*) filter (coin = 'SOL') from fct_snapshots") == [(119, 5)]
    assert rows(lake, "select count(*), max(number) from dim_whole") == [(20, 77)]
    assert {told.publisher for told in state_of(lake).publishers} == {ANNA, BERT}
    bert.connection.close()


def test_a_question_reads_the_marts_of_a_shared_lake_and_nothing_else(anna: Publisher) -> None:
    assert query(anna.lake, "select count(*) as n from fct_snapshots").n[0] == 120
    for sql in (
        "select * from postgres_query('__ducklake_metadata_lake', 'commit; drop table ducklake_snapshot')",
        "call postgres_execute('__ducklake_metadata_lake', 'commit; drop table ducklake_snapshot')",
        "copy dim_whole to 's3://bucket/stolen.csv'",
        "select * from read_text('/etc/hostname')",
        "select * from read_text('s3://bucket/elsewhere/x')",
        "delete from dim_whole",
    ):
        with pytest.raises(WarehouseError):
            query(anna.lake, sql)
    shown = str(rows(anna.lake, "from duckdb_secrets()")) + str(rows(anna.lake, "from duckdb_databases()"))
    assert PASSWORD not in shown
    assert SECRET not in shown


def test_what_cannot_be_reached_says_what_and_how_to_mend_it_and_no_secret(anna: Publisher, store: Store) -> None:
    server, bucket = anna.lake.catalog, anna.lake.data
    cases = {
        "cannot be reached .*refused": replace(anna.lake, catalog=replace(server, port=1)),
        "cannot be reached .*password authentication failed": replace(anna.lake, catalog=replace(server, password="wr-ng")),
        "does not match existing data path": replace(anna.lake, data=replace(bucket, address="s3://bucket/other")),
    }
    anna.load("insert into marts.dim_whole values (99)")
    for says, lake in cases.items():
        with pytest.raises(LakeError, match=says) as caught:
            publish_lake(anna.connection, lake, MARTS, NOON, publisher=ANNA)
        assert "htw doctor" in str(caught.value)
        assert not any(secret in str(caught.value) for secret in (PASSWORD, SECRET, "wr-ng"))


def test_a_store_or_a_catalog_that_is_away_costs_one_publish_and_the_next_goes_on(
    anna: Publisher, cluster: Cluster, store: Store
) -> None:
    anna.load(BIG_LOAD)
    store.stop()
    with pytest.raises(LakeError, match="Could not connect"):
        anna.publish()
    store.start()
    assert rows(anna.lake, HALVES) == [(0, 0)]
    stopper = threading.Timer(0.8, cluster.stop, ["immediate"])
    stopper.start()
    with contextlib.suppress(LakeError):
        anna.publish()
    stopper.join()
    with pytest.raises(LakeError, match="cannot be reached"):
        rows(anna.lake, HALVES)
    cluster.start()
    assert rows(anna.lake, HALVES) in ([(0, 0)], [(600_000, 600_000)])
    anna.publish()
    assert rows(anna.lake, HALVES) == [(600_000, 600_000)]
    assert differences(anna.connection, anna.lake, MARTS) == {}


@pytest.mark.parametrize("after_s", [0.4, 1.0, 1.6])
def test_a_publisher_killed_in_the_middle_leaves_the_lake_whole_and_its_locks_free(
    anna: Publisher, cluster: Cluster, store: Store, after_s: float
) -> None:
    folder, database = anna.file.parent.parent, anna.lake.catalog.database
    with anna.closed(), python_process(BIG_WRITER, folder, ANNA, cluster.port, database, store.endpoint) as writer:
        time.sleep(after_s)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert rows(anna.lake, HALVES) in ([(0, 0)], [(600_000, 600_000)])
    with lake_lock(anna.lake, wait_s=5):
        pass
    anna.publish()
    assert rows(anna.lake, HALVES) == [(600_000, 600_000)]


def test_publishers_readers_and_upkeep_at_once_meet_no_conflict_and_nothing_is_lost(
    anna: Publisher, cluster: Cluster, store: Store, tmp_path: Path
) -> None:
    found: list[str] = []
    is_over = threading.Event()

    def again_and_again(work: Any) -> threading.Thread:
        def run() -> None:
            while not is_over.is_set():
                try:
                    work()
                    is_over.wait(PAUSE_S)
                except Exception as error:
                    found.append(f"{error!r}")
                    return

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def read() -> None:
        ((fewest,),) = rows(
            anna.lake,
            "select min(n) from (select count(*) as n from fct_snapshots group by coin, snapshot_at)",
        )
        assert fewest in (20, 40), f"{fewest} rows of a snapshot are there"

    others = [again_and_again(read), again_and_again(lambda: maintain(anna.lake, history_days=30))]
    where = (cluster.port, anna.lake.catalog.database, store.endpoint)
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(python_process(WRITER, tmp_path, number, ROUNDS, *where)) for number in range(1, WRITERS + 1)
        ]
        stack.callback(is_over.set)
        said = [writer.communicate(timeout=300)[0] for writer in writers]
    for thread in others:
        thread.join()
    assert said == ["done\n"] * WRITERS
    assert found == []
    per_coin = rows(
        anna.lake, "select coin, count(*), count(distinct snapshot_at) from fct_snapshots group by coin order by coin"
    )
    assert per_coin == [
        ("BTC", 60, 3), *((f"COIN{number}", 40 * ROUNDS, ROUNDS) for number in range(1, WRITERS + 1)), ("ETH", 60, 3)
    ]  # fmt: skip
    expected = {*range(20), *(number * 1000 + turn for number in range(1, WRITERS + 1) for turn in range(ROUNDS))}
    assert rows(anna.lake, "select count(*), list(number order by number) from dim_whole") == [(len(expected), sorted(expected))]
    owners = rows(anna.lake, f"select count(distinct {OWNER}) from fct_snapshots")
    assert owners == [(WRITERS + 1,)]


def everything(lake: Lake) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all marts, but for whose they are."""
    return {
        mart.name: rows(lake, f"select * exclude ({OWNER}) from {mart.name} order by all")
        if (OWNER,) in rows(lake, f"select column_name from (describe {mart.name})")
        else rows(lake, f"select * from {mart.name} order by all")
        for mart in MARTS
    }


def test_a_lake_is_moved_to_a_shared_one_and_back_and_publishing_goes_on(
    lake: Lake, tmp_path: Path, cluster: Cluster, store: Store
) -> None:
    class CutOffError(Exception):
        pass

    def cut_off(_: Moved) -> None:
        raise CutOffError

    local, copy = Lake.below(tmp_path / "local"), Lake.below(tmp_path / "copy")
    anna = Publisher(tmp_path, ANNA, local)
    anna.load(FIRST_LOAD.replace("insert into ops.payloads (load_seq) values (1);", ""))
    anna.publish()
    with pytest.raises(CutOffError):
        move_lake(local, lake, MARTS, ANNA, cut_off)
    moved = move_lake(local, lake, MARTS, ANNA, lambda _: None)
    assert {done.mart: (done.row_count, done.written) for done in moved} == {
        "fct_snapshots": (120, 0), "fct_versions": (20, 20), "fct_slots": (48, 48), "dim_whole": (20, 20)
    }  # fmt: skip
    assert everything(lake) == everything(local)
    anna.lake = lake
    assert anna.publish() is None
    anna.load("insert into marts.dim_whole values (21)")
    assert anna.publish() == {"dim_whole": 1}
    bert = Publisher(tmp_path, BERT, lake)
    bert.load("insert into marts.fct_snapshots select '2026-03-24', 'SOL', range, $seq from range(5)")
    bert.publish()
    move_lake(lake, copy, MARTS, ANNA, lambda _: None)
    assert everything(copy) == everything(lake)
    anna.lake = copy
    anna.load("delete from marts.dim_whole where number = 21")
    assert anna.publish() == {"dim_whole": 1}
    assert rows(copy, "select count(*) from fct_snapshots where coin = 'SOL'") == [(5,)]
    with pytest.raises(LakeError, match="holds rows of one publisher"):
        move_lake(lake, local, MARTS, ANNA, lambda _: None)
    for publisher in (anna, bert):
        publisher.connection.close()
