"""Raw rows through a shared lake, on a real PostgreSQL and a real S3-compatible server: every payload whole, or not there."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.registering import prepare, raw_tables
from tests.integration.processes import python_process
from tests.production.cluster import Cluster
from tests.stores import Store, new_lake
from warehouse.connection import connect
from warehouse.lake import NAME, Lake, LakeError, attached
from warehouse.lake_moving import move_lake
from warehouse.lake_sending import Sent, send
from warehouse.lake_taking import Taken, held_by, take, take_again, was_taken
from warehouse.lake_upkeep import maintain
from warehouse.publish import forget_origin
from warehouse.retention import Payload, drop, old_raw

pytestmark = pytest.mark.long
ANNA, BERT, CARL = "a" * 12, "b" * 12, "c" * 12
ROWS_EACH = 3
# A few rows never get to the store: DuckLake keeps them in the catalog.
MANY_ROWS = 500
NOON = "2026-03-24 12:00:00"
PAYLOAD = """
    insert into ops.payloads (payload_id, load_seq, dataset, scope, slot, fetched_at, snapshot_at, sha256, row_count)
    values ($1, nextval('ops.load_seq'), 'coins', '', $2, $3, $2, $1, $4)
"""
DOCUMENTS = """
    insert into raw.coins by name select range::integer as _part, to_json({'id': $1, 'n': range}) as document, $1 as _payload_id,
        '' as _scope, $2::timestamp as _slot, $3::timestamp as _fetched_at, $2::timestamp as _snapshot_at,
        (select max(load_seq) from ops.payloads) as _load_seq
    from range($4)
"""
# Of a payload here: its rows, and what is in them.
CONTENT = """
    select p.payload_id, p.fetched_at::varchar, count(*), string_agg(document::varchar, ' ' order by _part)
    from ops.payloads p join raw.coins r on p.load_seq = r._load_seq group by all order by all
"""
SENDER = """
    import sys
    from pathlib import Path
    from tests.integration.test_lake_landing import Machine
    from tests.stores import shared_lake
    from warehouse import lake_sending
    folder, name, port, database, endpoint = sys.argv[1:6]
    lake_sending.STEP_PAYLOADS = 2
    machine = Machine(Path(folder), name, shared_lake(int(port), database, endpoint))
    print("sending", flush=True)
    machine.send()
"""


@dataclass
class Machine:
    """A working file, and the name under which it sends."""

    folder: Path
    name: str
    lake: Lake
    connection: duckdb.DuckDBPyConnection = field(init=False)

    def __post_init__(self) -> None:
        file = self.folder / self.name / "warehouse.duckdb"
        file.parent.mkdir(parents=True, exist_ok=True)
        self.connection = connect(file)
        prepare(self.connection)

    def load(self, payload_id: str, minute: int = 0, fetched: int = 1, rows: int = ROWS_EACH) -> None:
        slot = datetime(2026, 3, 24, 12, minute)
        values = [payload_id, slot, slot.replace(second=fetched), rows]
        self.connection.execute(PAYLOAD, values)
        self.connection.execute(DOCUMENTS, values)

    def forget(self, payload_id: str) -> None:
        self.connection.execute(
            "delete from raw.coins where _load_seq in (select load_seq from ops.payloads where payload_id = ?)", [payload_id]
        )
        self.connection.execute("delete from ops.payloads where payload_id = ?", [payload_id])

    def send(self) -> Sent:
        return send(self.connection, self.lake, raw_tables(), self.name, self._put_nothing_back)

    def take(self) -> Taken:
        return take(self.connection, self.lake, raw_tables(), self.name)

    def content(self) -> list[tuple[Any, ...]]:
        return self.connection.execute(CONTENT).fetchall()

    def ids(self) -> list[str]:
        return [row[0] for row in self.connection.execute("select payload_id from ops.payloads order by all").fetchall()]

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        self.connection.close()
        yield
        self.__post_init__()

    @staticmethod
    def _put_nothing_back(_: duckdb.DuckDBPyConnection, payloads: Sequence[Payload]) -> None:
        raise AssertionError(f"nothing was dropped, and {len(payloads)} payloads were asked for")


@pytest.fixture
def machines(lake: Lake, tmp_path: Path) -> Iterator[list[Machine]]:
    found = [Machine(tmp_path, name, lake) for name in (ANNA, BERT, CARL)]
    yield found
    for machine in found:
        machine.connection.close()


def test_what_machines_send_is_taken_once_and_word_for_word(machines: list[Machine]) -> None:
    anna, bert, carl = machines
    assert (carl.take(), was_taken(carl.connection)) == (Taken(), False)
    anna.load("one")
    anna.load("two", minute=5, rows=1)
    bert.load("three", minute=5)
    assert (anna.send(), bert.send()) == (Sent(2, 4), Sent(1, 3))
    assert (carl.take(), was_taken(carl.connection)) == (Taken(3, 7), True)
    assert carl.content() == sorted(anna.content() + bert.content())
    assert (anna.send(), bert.send(), carl.take()) == (Sent(), Sent(), Taken())
    bert.load("four", minute=10)
    assert (bert.send(), carl.take()) == (Sent(1, 3), Taken(1, 3))
    seqs = carl.connection.execute("select count(distinct load_seq), max(load_seq) from ops.payloads").fetchone()
    assert seqs == (4, 4)


def test_nobody_takes_what_is_its_own(machines: list[Machine]) -> None:
    anna = machines[0]
    anna.load("one")
    anna.send()
    assert (anna.take(), anna.ids()) == (Taken(), ["one"])


def test_of_one_payload_the_first_receipt_counts_in_whatever_order_it_comes(machines: list[Machine]) -> None:
    anna, bert, carl = machines
    anna.load("both", fetched=9)
    bert.load("both", fetched=4)
    anna.send()
    assert (carl.take().payload_count, carl.content()) == (1, anna.content())
    bert.send()
    assert (carl.take().payload_count, carl.content()) == (1, bert.content())
    carl.load("own", minute=5, fetched=2)
    anna.load("own", minute=5, fetched=3)
    anna.send()
    assert (carl.take().payload_count, carl.ids()) == (0, ["both", "own"])


def test_what_is_loaded_again_with_other_rows_replaces_what_was_sent(machines: list[Machine]) -> None:
    anna, _, carl = machines
    anna.load("one")
    anna.load("two", minute=5)
    anna.send()
    carl.take()
    anna.forget("one")
    anna.load("one", rows=8)
    assert anna.send() == Sent(1, 8, 1)
    assert (carl.take(), carl.content()) == (Taken(1, 8, 1), anna.content())
    anna.forget("two")
    assert anna.send() == Sent(0, 0, 1)
    assert (carl.take(), carl.ids()) == (Taken(0, 0, 1), ["one"])


def test_what_one_machine_withdraws_another_may_have_sent_too(machines: list[Machine]) -> None:
    anna, bert, carl = machines
    anna.load("both", fetched=1)
    bert.load("both", fetched=5)
    anna.send()
    bert.send()
    carl.take()
    anna.forget("both")
    anna.send()
    carl.take()
    assert carl.content() == bert.content()


def test_a_working_file_made_anew_sends_only_what_is_not_there(machines: list[Machine]) -> None:
    anna, _, carl = machines
    for minute in range(4):
        anna.load(f"p{minute}", minute)
    anna.send()
    carl.take()
    forget_origin(anna.connection)
    anna.forget("p0")
    anna.load("p9", minute=9)
    assert anna.send() == Sent(1, 3, 1)
    assert (carl.take(), carl.content()) == (Taken(1, 3, 1), anna.content())
    assert anna.send() == Sent()


def test_a_sender_that_is_killed_goes_on_and_nothing_stands_twice(
    machines: list[Machine], cluster: Cluster, store: Store, tmp_path: Path
) -> None:
    anna, _, carl = machines
    for minute in range(40):
        anna.load(f"p{minute:02}", minute)
    database = str(anna.lake.catalog).rpartition("/")[2]
    taken = 0
    with anna.closed():
        for _ in range(3):
            arguments = (str(tmp_path), ANNA, str(cluster.port), database, store.endpoint)
            with python_process(SENDER, *arguments) as process:
                assert process.stdout is not None
                process.stdout.readline()
                with contextlib.suppress(Exception):
                    process.wait(1.5)
                process.send_signal(signal.SIGKILL)
                process.wait()
            taken += carl.take().payload_count
            assert {row[2] for row in carl.content()} <= {ROWS_EACH}
    assert taken > 0
    anna.send()
    taken += carl.take().payload_count
    assert (taken, carl.content()) == (40, anna.content())


def test_a_store_that_is_away_costs_nothing(machines: list[Machine], store: Store) -> None:
    anna, _, carl = machines
    anna.load("one", rows=MANY_ROWS)
    anna.send()
    anna.load("two", minute=5, rows=MANY_ROWS)
    store.stop()
    try:
        with pytest.raises(LakeError):
            anna.send()
        with pytest.raises(LakeError):
            carl.take()
    finally:
        store.start()
    assert (was_taken(carl.connection), carl.ids()) == (False, [])
    anna.send()
    assert (carl.take().payload_count, carl.content()) == (2, anna.content())


def test_rows_that_were_dropped_here_come_back_from_the_lake(machines: list[Machine]) -> None:
    anna, _, carl = machines
    anna.load("one")
    anna.load("two", minute=5)
    anna.send()
    carl.take()
    before = carl.content()
    old = list(old_raw(carl.connection, {"coins": ()}, datetime(2026, 3, 25, tzinfo=UTC)))
    assert held_by(carl.connection, carl.lake, old) == set(old)
    drop(carl.connection, old)
    assert carl.content() == []
    take_again(carl.connection, carl.lake, raw_tables(), old)
    assert carl.content() == before


def test_upkeep_changes_nothing_that_is_taken(machines: list[Machine]) -> None:
    anna, bert, carl = machines
    for minute in range(6):
        for machine in (anna, bert):
            machine.load(f"{machine.name}{minute}", minute)
            machine.send()
    bert.forget(f"{BERT}3")
    bert.send()
    maintain(anna.lake, 2)
    assert carl.take().payload_count == 11
    assert carl.content() == sorted(anna.content() + bert.content())


def test_a_log_that_names_rows_which_are_gone_takes_nothing(machines: list[Machine]) -> None:
    anna, _, carl = machines
    anna.load("one")
    anna.send()
    with attached(anna.connection, anna.lake):
        anna.connection.execute(f"delete from {NAME}.raw.coins")
    with pytest.raises(LakeError, match="1 payloads of coins without any row"):
        carl.take()
    assert carl.ids() == []


def test_raw_rows_move_with_their_lake_and_sending_and_taking_go_on(
    machines: list[Machine], cluster: Cluster, store: Store, tmp_path: Path
) -> None:
    anna, bert, carl = machines
    for machine in (anna, bert):
        machine.load(f"{machine.name}1")
        machine.load(f"{machine.name}2", minute=5, rows=MANY_ROWS)
        machine.send()
    bert.forget(f"{BERT}1")
    bert.send()
    carl.take()
    copy, back = Lake.below(tmp_path / "copy"), new_lake(cluster, store, "landing_back")
    moved = {done.mart: done.row_count for done in move_lake(carl.lake, copy, [], ANNA, lambda _: None)}
    assert (moved["raw.coins"], moved["ops.payloads"]) == (2 * MANY_ROWS + ROWS_EACH, 5)
    move_lake(copy, back, [], ANNA, lambda _: None)
    for machine in machines:
        machine.lake = back
    assert (anna.send(), bert.send(), carl.take()) == (Sent(), Sent(), Taken())
    anna.load(f"{ANNA}3", minute=10)
    assert (anna.send(), carl.take()) == (Sent(1, 3), Taken(1, 3))
    assert carl.content() == sorted(anna.content() + bert.content())
    fresh = Machine(tmp_path, "d" * 12, back)
    fresh.take()
    assert fresh.content() == carl.content()
    fresh.connection.close()
