"""A shared lake and a copy of the vault on a store that is killed (SIGKILL) and started anew over what it had written by then."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.integration.processes import Htw
from tests.integration.test_lake_landing import ANNA, CARL, Machine
from tests.integration.test_shared_lake import FIRST_LOAD, MARTS, Publisher, everything, rows
from tests.integration.test_vault_copies import fetched, files, new_vault
from tests.integration.test_vault_packs import keep, pack
from tests.lakes import differences
from tests.stores import BUCKET, KEY_ID, SECRET, FileStore, file_store, s3rver_modules
from warehouse import lake_sending
from warehouse.lake import NAME, Lake, LakeError, attached
from warehouse.lake_places import Bucket
from warehouse.lake_sending import Sent
from warehouse.lake_upkeep import maintain
from warehouse.object_store import StoreError
from warehouse.query import connect_published
from warehouse.vault import Vault
from warehouse.vault_copies import fetch

pytestmark = pytest.mark.long
# Two files of snapshots, then one of numbers that do not compress: some 5 MB, which arrive in many pieces.
MANY_ROWS = """
    insert into marts.fct_snapshots
    select '2026-05-01'::timestamp + to_hours(range % 48), 'MANY', range, $seq from range(20_000);
    insert into marts.dim_whole select 1_000_000 + (hash(range) >> 2)::bigint from range(600_000)
"""
MANY = (
    "select (select count(*) from fct_snapshots where coin = 'MANY'), (select count(*) from dim_whole where number >= 1_000_000)"
)
LAST_FILE = 3
PAYLOADS, PAYLOAD_ROWS = 12, 500


@pytest.fixture(scope="module")
def modules(request: pytest.FixtureRequest) -> Path:
    assert request.config.cache is not None
    return s3rver_modules(request.config.cache)


@pytest.fixture
def store(modules: Path, tmp_path: Path) -> Iterator[FileStore]:
    with file_store(modules, tmp_path / "store") as store:
        yield store


@pytest.fixture
def anna(lake: Lake, tmp_path: Path) -> Iterator[Publisher]:
    """Has published a first load."""
    publisher = Publisher(tmp_path, ANNA, lake)
    publisher.connection.execute(FIRST_LOAD)
    publisher.sequence = 1
    publisher.publish()
    yield publisher
    publisher.connection.close()


def begin_anew(store: FileStore, deadly_put: int = 0) -> None:
    store.kill()
    store.start(deadly_put)


@pytest.mark.parametrize("deadly_put", [1, LAST_FILE], ids=["in the first file", "in the last file"])
def test_a_publish_that_the_store_did_not_survive_leaves_nothing_and_the_next_is_whole(
    anna: Publisher, store: FileStore, deadly_put: int
) -> None:
    before = everything(anna.lake)
    anna.load(MANY_ROWS)
    begin_anew(store, deadly_put)
    with pytest.raises(LakeError, match=f"the lake at {anna.lake.catalog} .*{store.endpoint}") as caught:
        anna.publish()
    assert "htw doctor" in str(caught.value)
    assert store.is_dead()
    assert store.torn() or deadly_put != LAST_FILE, "a file of this size does not arrive at once"
    begin_anew(store)
    assert everything(anna.lake) == before
    assert anna.publish() == {"fct_snapshots": 20_000, "dim_whole": 600_000}
    assert rows(anna.lake, MANY) == [(20_000, 600_000)]
    assert differences(anna.connection, anna.lake, MARTS) == {}
    maintain(anna.lake, history_days=30)
    assert differences(anna.connection, anna.lake, MARTS) == {}


@dataclass
class Reader:
    """Asks again and again in a thread; from when to when each question took, and its answer or error."""

    ask: Callable[[], Any]
    answers: list[tuple[float, float, Any]] = field(default_factory=list)
    errors: list[tuple[float, float, Exception]] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Reader:
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self.thread.join()

    def _run(self) -> None:
        while not self.is_over.wait(0.05):
            begun = time.monotonic()
            try:
                answer = self.ask()
            except Exception as error:
                self.errors.append((begun, time.monotonic(), error))
            else:
                self.answers.append((begun, time.monotonic(), answer))

    def wait_for(self, are_enough: Callable[[], Any]) -> None:
        until = time.monotonic() + 60
        while not are_enough():
            assert time.monotonic() < until, f"{self.answers[-3:]}, {self.errors[-3:]}"
            time.sleep(0.05)


def test_readers_meet_errors_while_the_store_is_away_only_and_see_what_comes_after(anna: Publisher, store: FileStore) -> None:
    lake, sql = anna.lake, "select count(*), count(distinct number) from dim_whole"
    long_lived = connect_published(lake)
    with Reader(lambda: rows(lake, sql)) as new, Reader(lambda: long_lived.execute(sql).fetchall()) as old:
        for reader in (new, old):
            reader.wait_for(lambda reader=reader: len(reader.answers) > 2)
        away = time.monotonic()
        store.kill()
        new.wait_for(lambda: new.errors)
        store.start()
        back = time.monotonic()
        anna.load("insert into marts.dim_whole select 100 + range from range(5000)")
        anna.publish()
        published = time.monotonic()
        for reader in (new, old):
            reader.wait_for(lambda reader=reader: reader.answers and reader.answers[-1][0] > published)
    for reader in (new, old):
        assert all(isinstance(error, (LakeError, duckdb.Error)) for *_, error in reader.errors)
        assert [told for told in reader.errors if told[1] < away or told[0] > back] == []
        for begun, ended, answer in reader.answers:
            states = [[(20, 20)]] * (begun < published) + [[(5020, 5020)]] * (ended > back)
            assert answer in states
    long_lived.close()


def test_raw_rows_go_on_where_the_store_was_killed_and_nothing_is_there_twice(
    lake: Lake, store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_sending, "STEP_PAYLOADS", 2)
    anna, carl = Machine(tmp_path, ANNA, lake), Machine(tmp_path, CARL, lake)
    for minute in range(PAYLOADS):
        anna.load(f"p{minute:02}", minute, rows=PAYLOAD_ROWS)
    for deadly_put, sent in ((3, 4), (2, 6)):
        begin_anew(store, deadly_put)
        with pytest.raises(LakeError, match=f"the lake at {lake.catalog} .*{store.endpoint}"):
            anna.send()
        with pytest.raises(LakeError):
            carl.take()
        begin_anew(store)
        carl.take()
        assert carl.content() == anna.content()[:sent]
    rest = PAYLOADS - sent
    assert anna.send() == Sent(rest, rest * PAYLOAD_ROWS)
    assert carl.take().payload_count == rest
    assert carl.content() == anna.content()
    with attached(anna.connection, lake, read_only=True):
        stand = f"select count(*), count(distinct (_payload_id, _part)) from {NAME}.raw.coins"
        assert anna.connection.execute(stand).fetchone() == (PAYLOADS * PAYLOAD_ROWS,) * 2
    for machine in (anna, carl):
        machine.connection.close()


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """The first of it are packed."""
    vault = new_vault(tmp_path / "first")
    for number in range(24):
        keep(vault, f"[{number}]".encode(), 5 * number)
        if number == 3:
            pack(vault)
    return vault


def test_a_copy_of_the_vault_goes_on_where_the_store_was_killed(vault: Vault, store: FileStore, tmp_path: Path) -> None:
    bucket = Bucket(f"s3://{BUCKET}/vault", store.endpoint, key_id=KEY_ID, secret=SECRET)
    (tmp_path / "secret").write_text(SECRET)
    keys = {"lake_s3_endpoint": store.endpoint, "lake_s3_key_id": KEY_ID, "lake_s3_secret_file": str(tmp_path / "secret")}
    htw = Htw("https://api.example", "any", vault.root.parent)
    begin_anew(store, deadly_put=9)
    cut_off = htw("migrate", "vault", bucket.address, **keys)
    assert (cut_off.returncode, f"the store of {bucket} cannot be used" in cut_off.stderr) == (1, True), cut_off.stderr
    assert store.is_dead()
    for file in store.torn():
        file.unlink()
    begin_anew(store)
    there = htw("migrate", "vault", bucket.address, "--json", **keys)
    assert there.returncode == 0, there.stderr
    held = files(vault)
    assert 0 < int(there.stdout.partition('"written_files":')[2].partition(",")[0]) < len(held)
    other = new_vault(tmp_path / "other")

    def kill_after_some(count: int, _: int) -> None:
        # Behind the packs, of which there are two, and the name of the publisher.
        if count == 5:
            store.kill()

    with pytest.raises(StoreError, match=f"the store of {bucket} cannot be used"):
        fetch(bucket, other, kill_after_some)
    store.start()
    assert 0 < fetched(bucket, other).written_files < len(held)
    assert files(other) == held
    shutil.rmtree(vault.root)
    back = htw("migrate", bucket.address, "vault", **keys)
    assert (back.returncode, files(vault)) == (0, held), back.stderr
