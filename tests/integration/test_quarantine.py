"""What cannot be read is held with its reason and its rows, and a replay after a fix is as good as having had the fix."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import Result
from typer.testing import CliRunner

from orchestration.cli import app
from orchestration.hypertracker import datasets
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.landing import land, land_all
from orchestration.pipeline import Pipeline
from orchestration.registering import prepare
from orchestration.replaying import Replay, chosen_rows, release, replay
from orchestration.settings import load_settings
from tests.integration.processes import Htw
from warehouse.concerns import quarantined
from warehouse.connection import WarehouseError, open_writer
from warehouse.fetches import FetchRecord, new_fetch_id
from warehouse.ledger import Judgement, Verdict
from warehouse.quarantine import DecisionBook, Quarantined, quarantine_rows, rejects_of, row_of
from warehouse.vault import Vault

SLOT = datetime(2026, 3, 24, 10, 0, tzinfo=UTC)
STATE = datetime(2026, 3, 24, 9, 54, 30, 589000, tzinfo=UTC)
NOW = datetime(2026, 3, 25, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
# Without the numbers that every load counts up.
SEEN = (
    "select * exclude (fetch_seq) from ops.fetches",
    "select * exclude (load_seq) from ops.payloads",
    "select * from ops.definitions",
    "select * from ops.definition_changes",
    "select * exclude (known_at) from ops.slot_coverage(timestamp '2026-03-24', timestamp '2026-03-25')",
    *(f"select * exclude (_load_seq) from raw.{name}" for name in ("open_positions", "order_snapshots", "perp_volume", "coins")),
)
DECIDED = ("select * from ops.quarantine", "select * from ops.rejected_rows")


class Bench:
    """A vault, a working file in memory, and payloads that come a quarter of an hour apart."""

    def __init__(self, vault: Vault, connection: duckdb.DuckDBPyConnection) -> None:
        self.vault, self.connection, self.at = vault, connection, SLOT

    def fetch(self, dataset: str, scope: str, body: bytes, slot: datetime | None = None) -> FetchRecord:
        self.at += QUARTER
        slot = slot or self.at
        with self.vault.new_body(dataset, slot, BY_NAME[dataset].suffix) as writer:
            writer.write(body)
            part = writer.finish()
        record = FetchRecord(
            new_fetch_id(), dataset, scope, slot, self.at, self.at + timedelta(seconds=9), "received", (part,),
            state_before=STATE, state_after=STATE,
        )  # fmt: skip
        self.vault.keep(record)
        return record

    def land(self, dataset: str, scope: str, body: bytes, slot: datetime | None = None) -> Judgement:
        return land(self.connection, self.vault, self.fetch(dataset, scope, body, slot))

    def volumes(self, **changes: Any) -> Judgement:
        record = {"id": 1, "createdAt": f"{self.at:%Y-%m-%dT%H:%M:%S.000Z}", "volume": 7.5} | changes
        return self.land("perp_volume", "", json.dumps({"metrics": [record], "nextCursor": None}).encode())

    def held(self) -> list[Quarantined]:
        return quarantine_rows(self.connection)

    def replay(self, *prefixes: str) -> list[Replay]:
        return [replay(self.connection, self.vault, row, NOW) for row in chosen_rows(self.connection, prefixes)]

    def look(self, *more: str) -> list[list[tuple[Any, ...]]]:
        return seen(self.connection, *more)

    @contextmanager
    def rebuilt(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Another working file that the whole vault was landed in, by the code of this moment."""
        with duckdb.connect() as connection:
            connection.execute("set timezone = 'UTC'")
            prepare(connection)
            list(land_all(connection, self.vault, self.vault.records()))
            yield connection


def seen(connection: duckdb.DuckDBPyConnection, *more: str) -> list[list[tuple[Any, ...]]]:
    return [connection.execute(f"{sql} order by all").fetchall() for sql in (*SEEN, *more)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    vault = Vault(tmp_path / "vault")
    vault.create()
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        prepare(connection)
        yield Bench(vault, connection)


@pytest.fixture
def positions(samples: Path) -> bytes:
    return (samples / "positions_open_coin_BTC.csv").read_bytes()


def strangers(positions: bytes) -> bytes:
    """The same file without any row of BTC: refused as long as rows of other coins are foreign."""
    return rows_where(positions, False)


def rows_where(positions: bytes, is_of_btc: bool) -> bytes:
    header, *rows = positions.splitlines()
    return b"\n".join([header, *(row for row in rows if (b",BTC," in row) is is_of_btc)])


def accept_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(datasets.SOURCES, "open_positions", replace(BY_NAME["open_positions"], scope_column=None))


def order(**changes: Any) -> dict[str, Any]:
    values = dict.fromkeys(BY_NAME["order_snapshots"].columns)
    return values | {"oid": 2**62, "coin": "BTC", "sz": 1, "snapshotTs": "2026-03-24T10:00:00.000Z", "children": []} | changes


def test_a_payload_of_no_known_shape_is_held_with_its_reason_and_its_beginning(bench: Bench) -> None:
    judgement = bench.land("coins", "", b"<html><body>Just a moment</body></html>")
    (row,) = bench.held()
    assert (row.dataset, row.slot, row.reason, row.mend) == ("coins", SLOT + QUARTER, judgement.reason, judgement.mend)
    assert (row.status, row.byte_count, row.rejected_row_count) == ("held", 39, 0)
    assert row.trouble.startswith("<html>")
    assert [(bench.vault.root / file).exists() for file in row.files] == [True]


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "cause"),
    [
        pytest.param(b"47473300.0", b"lots", 2, "value", "lots", id="text in a number"),
        pytest.param(b"47473300.0", b"nan", 2, "value", "not a number up to 1e+30: nan", id="NaN"),
        pytest.param(b",700.0,47473300.0,", b",700.0,", 2, "", "Expected Number of Columns", id="a ragged row"),
    ],
)
def test_a_row_that_cannot_be_read_is_named_and_nothing_of_its_snapshot_is_shown(
    bench: Bench, positions: bytes, old: bytes, new: bytes, line: int, column: str, cause: str
) -> None:
    bench.land("open_positions", "BTC", positions.replace(old, new, 1))
    (row,) = bench.held()
    rejects = rejects_of(bench.connection, row.fetch_id)
    assert row.rejected_row_count == 1
    assert {reject.line for reject in rejects} == {line}
    assert any(cause in reject.cause and column in ("", reject.column) for reject in rejects)
    assert rejects[0].raw_text.startswith("4c16b579")
    assert row.trouble == rejects[0].raw_text[:200]
    assert bench.connection.execute("select count(*) from raw.open_positions").fetchone() == (0,)


def test_orders_that_cannot_be_read_are_named_by_their_place_in_the_list(bench: Bench) -> None:
    rows = [order(), order(sz="lots"), order(oid="x", isTrigger="perhaps"), order(sz=None)]
    bench.land("order_snapshots", "BTC", json.dumps(rows).encode())
    (row,) = bench.held()
    found = [(reject.line, reject.column) for reject in rejects_of(bench.connection, row.fetch_id)]
    assert found == [(2, "sz"), (3, "isTrigger"), (3, "oid")]
    assert row.rejected_row_count == 2
    assert '"sz":"lots"' in row.trouble


def test_rejects_of_one_payload_are_not_said_of_the_next(bench: Bench, positions: bytes) -> None:
    bench.land("open_positions", "BTC", positions.replace(b"47473300.0", b"lots", 1))
    bench.land("open_positions", "BTC", strangers(positions))
    assert [row.rejected_row_count for row in bench.held()] == [1, 0]


def test_a_replay_after_a_fix_leaves_what_the_fix_would_have_made_at_the_time(
    bench: Bench, positions: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third payload repeats the first, as long as nothing is between them; the fifth brings again what the fourth did."""
    own, other_coins = rows_where(positions, True), strangers(positions)
    bodies = [own, other_coins, own, other_coins, other_coins]
    verdicts = [bench.land("open_positions", "BTC", body).verdict.value for body in bodies]
    bench.land("open_positions", "BTC", other_coins, slot=bench.at)
    assert verdicts == ["loaded", "quarantined", "unchanged", "quarantined", "quarantined"]
    accept_strangers(monkeypatch)
    replays = bench.replay()
    assert [one.judgement.verdict.value for one in replays] == ["loaded", "loaded", "unchanged", "unchanged"]
    assert [one.touched for one in replays] == [1, 2, 0, 0]
    with bench.rebuilt() as other:
        assert bench.look(*DECIDED) == seen(other, *DECIDED)
        assert other.execute("select count(*) from ops.payloads").fetchone() == (4,)
    assert bench.held() == []


def test_a_replay_of_one_of_several_leaves_the_others_held(
    bench: Bench, positions: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.land("open_positions", "BTC", strangers(positions))
    bench.land("coins", "", b"")
    first, second = bench.held()
    accept_strangers(monkeypatch)
    assert [one.is_accepted for one in bench.replay(first.fetch_id[:12])] == [True]
    assert [row.fetch_id for row in bench.held()] == [second.fetch_id]
    assert row_of(bench.connection, first.fetch_id).status == "replayed"


def test_bytes_that_were_accepted_later_are_of_the_fetch_that_brought_them_first(
    bench: Bench, positions: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.land("open_positions", "BTC", strangers(positions))
    slot = bench.at
    accept_strangers(monkeypatch)
    assert bench.land("open_positions", "BTC", strangers(positions), slot=slot).verdict is Verdict.LOADED
    bench.replay()
    with bench.rebuilt() as other:
        assert bench.look() == seen(other)


def test_a_replay_of_what_the_provider_redefined_reads_later_payloads_against_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.volumes(trades=9)
    begins = bench.at + QUARTER
    assert [bench.volumes().verdict for _ in range(2)] == [Verdict.QUARANTINED] * 2
    monkeypatch.setitem(datasets.SOURCES, "perp_volume", replace(BY_NAME["perp_volume"], redefined_at=begins))
    assert bench.volumes(fees=1).verdict is Verdict.LOADED
    assert [one.is_accepted for one in bench.replay()] == [True, True]
    changes = bench.connection.execute("select name, change from ops.definition_changes").fetchall()
    assert changes == [("$.metrics[].fees", "added")]
    with bench.rebuilt() as other:
        assert bench.look(*DECIDED) == seen(other, *DECIDED)


def test_a_replay_of_what_is_as_bad_as_before_changes_nothing(bench: Bench, positions: bytes) -> None:
    bench.land("open_positions", "BTC", positions)
    bench.land("open_positions", "BTC", positions.replace(b"47473300.0", b"lots", 1))
    bench.volumes(trades=9)
    bench.volumes()
    everything = (*DECIDED, "select * from ops.fetches")
    before = bench.look(*everything)
    assert [one.is_accepted for one in bench.replay()] == [False, False]
    assert bench.look(*everything) == before
    assert not list(bench.vault.root.glob("decisions/*"))


def test_what_is_released_is_missing_for_good_and_nobody_is_told_of_it_again(
    bench: Bench, positions: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.land("open_positions", "BTC", strangers(positions))
    bench.land("open_positions", "BTC", positions.replace(b"47473300.0", b"lots", 1))
    assert [found.count for found in quarantined(bench.connection, bench.at, ["open_positions"])] == [2]
    for row in bench.held():
        release(bench.connection, bench.vault, row, "a test of theirs", NOW)
    assert quarantined(bench.connection, bench.at, ["open_positions"]) == []
    assert bench.held() == []
    missing = bench.connection.execute(
        "select verdict, reason from ops.slot_coverage(timestamp '2026-03-24', timestamp '2026-03-25') where is_missing"
    ).fetchall()
    assert [verdict for verdict, _ in missing] == ["quarantined"] * 2
    assert all("left out for good by a person: a test of theirs" in reason for _, reason in missing)
    accept_strangers(monkeypatch)
    with bench.rebuilt() as other:
        assert bench.look(*DECIDED) == seen(other, *DECIDED)
        assert [row.rejected_row_count for row in quarantine_rows(other, held_only=False)] == [0, 1]
    with pytest.raises(WarehouseError, match=r"was released at 2026-03-25 00:00: a test of theirs"):
        bench.replay(row.fetch_id)


def test_an_id_that_is_nobodys_and_one_that_is_several_are_named(bench: Bench) -> None:
    with pytest.raises(WarehouseError, match=r"begins with abc.*quarantine list --all"):
        bench.replay("abc")
    for _ in range(17):
        bench.land("coins", "", b"")
    ids = sorted(row.fetch_id for row in bench.held())
    first, second = next((a, b) for a, b in pairwise(ids) if a[0] == b[0])
    with pytest.raises(WarehouseError, match=rf"{first[0]} begins .* fetches: .*{first}, {second}"):
        bench.replay(first[0])


def test_quarantined_fetches_of_an_older_working_file_are_taken_over(bench: Bench) -> None:
    bench.land("coins", "", b"")
    bench.connection.execute("drop table ops.quarantine")
    prepare(bench.connection)
    (row,) = bench.held()
    assert (row.dataset, row.reason) == ("coins", "0 bytes")


@pytest.fixture
def folder(tmp_path: Path, positions: bytes, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """A data folder with two held fetches: one that today's code reads, and one that nobody can read."""
    settings = load_settings(api_url="http://127.0.0.1:1", api_token="x", data_dir=tmp_path / "data", coins="BTC")
    pipeline = Pipeline(settings)
    pipeline.vault.create()
    with open_writer(settings.warehouse_file) as connection, monkeypatch.context() as before:
        prepare(connection)
        bench = Bench(pipeline.vault, connection)
        before.setitem(datasets.SOURCES, "open_positions", replace(BY_NAME["open_positions"], rows_at="rows"))
        bench.land("open_positions", "BTC", positions)
        bench.land("open_positions", "ETH", positions.replace(b"47473300.0", b"lots", 1))
    pipeline.vault.forget_pending(record.fetch_id for record in pipeline.vault.records())
    return pipeline


def called(data_dir: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """`htw quarantine` in this process; no `.env` is seen."""
    monkeypatch.chdir(data_dir.parent)
    monkeypatch.setenv("HTW_DATA_DIR", str(data_dir))
    return CliRunner().invoke(app, ["quarantine", *arguments])


def test_what_a_replay_accepts_is_built_and_published(folder: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """dbt itself takes half a minute here and is left out: `tests/pipeline` builds."""
    done: list[str] = []
    monkeypatch.setattr(Pipeline, "build", lambda *_, **given: done.append(f"build {given}") or [])
    monkeypatch.setattr(Pipeline, "publish", lambda _: done.append("publish"))
    first = called(folder.settings.data_dir, monkeypatch, "replay", "--all", "--json")
    assert first.exit_code == 3
    verdicts = {one["scope"]: (one["verdict"], one["row_count"]) for one in json.loads(first.stdout)}
    assert verdicts == {"BTC": ("loaded", 18), "ETH": ("quarantined", 0)}
    assert done == ["build {'full_refresh': False}", "publish"]
    second = called(folder.settings.data_dir, monkeypatch, "replay", "--all")
    assert (second.exit_code, len(done)) == (3, 2)
    assert "held still" in second.stdout


def test_the_commands_list_show_replay_and_release(folder: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    htw = Htw("http://127.0.0.1:1", "x", folder.settings.data_dir)
    bad = next(record.fetch_id for record in folder.vault.records() if record.scope == "ETH")
    assert f"{bad[:8]}  2026-03-24 10:30  held" in called(htw.data_dir, monkeypatch, "list").stdout
    replayed = htw("quarantine", "replay", bad)
    assert replayed.returncode == 3, replayed.stderr
    assert f"{bad[:8]}  held still" in replayed.stdout
    shown = htw("quarantine", "show", bad[:10]).stdout
    for words in ("open_positions ETH", "line 2", "lots", "it begins:", "htw quarantine replay --all", f"release {bad[:8]}"):
        assert words in shown
    released = htw("quarantine", "release", bad, "--why", "a test of theirs")
    assert released.returncode == 0, released.stderr
    everything = called(htw.data_dir, monkeypatch, "list", "--all", "--json")
    listed = {row["scope"]: row["status"] for row in json.loads(everything.stdout)}
    assert listed == {"BTC": "held", "ETH": "released"}
    assert DecisionBook(folder.vault.root).about(bad)


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        pytest.param(("show", "abc"), 1, "no fetch in quarantine begins with abc", id="no such id"),
        pytest.param(("replay",), 2, "name fetch ids, or --all", id="nothing named"),
        pytest.param(("release", "abc", "--why", " "), 2, "--why is empty", id="no reason"),
    ],
)
def test_what_a_command_cannot_do_is_said_in_a_line(
    folder: Pipeline, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], status: int, says: str
) -> None:
    ended = called(folder.settings.data_dir, monkeypatch, *arguments)
    assert (ended.exit_code, ended.stderr.count("\n")) == (status, 1)
    assert says in ended.stderr


def test_a_command_says_so_where_there_is_no_working_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = called(tmp_path / "data", monkeypatch, "replay", "--all")
    assert ended.exit_code == 1
    assert "`htw poll`" in ended.stderr
