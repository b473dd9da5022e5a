"""From bytes in the vault to raw rows and one verdict, together or not at all."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import lz4.frame
import pytest

from orchestration.hypertracker.datasets import BY_NAME
from orchestration.landing import land
from orchestration.registering import prepare
from warehouse import readable_files
from warehouse.fetches import FetchRecord, new_fetch_id
from warehouse.ledger import Judgement, Verdict
from warehouse.vault import Vault

SLOT = datetime(2026, 3, 24, 10, 0, tzinfo=UTC)
STATE = datetime(2026, 3, 24, 9, 54, 30, 589000, tzinfo=UTC)
Land = Callable[..., Judgement]


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    vault = Vault(tmp_path / "vault")
    vault.create()
    return vault


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        prepare(connection)
        yield connection


def fetched(vault: Vault, dataset: str, scope: str, *bodies: bytes, slot: datetime = SLOT) -> FetchRecord:
    parts = []
    for body in bodies:
        with vault.new_body(dataset, slot, BY_NAME[dataset].suffix) as writer:
            writer.write(body)
            parts.append(writer.finish())
    now = slot + timedelta(seconds=9)
    return FetchRecord(
        new_fetch_id(), dataset, scope, slot, now, now, "received", tuple(parts), state_before=STATE, state_after=STATE
    )


def count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"select count(*) from {table}").fetchone()
    assert row is not None
    return int(row[0])


def positions(samples: Path) -> bytes:
    return (samples / "positions_open_coin_BTC.csv").read_bytes()


def test_the_sample_csv_is_kept_whole_and_its_foreign_rows_counted(
    connection: duckdb.DuckDBPyConnection, vault: Vault, samples: Path
) -> None:
    judgement = land(connection, vault, fetched(vault, "open_positions", "BTC", positions(samples)))
    assert judgement.verdict is Verdict.LOADED
    assert (judgement.row_count, judgement.foreign_row_count) == (18, 5)
    assert (judgement.snapshot_at, judgement.snapshot_at_basis) == (STATE, "state")
    assert count(connection, "raw.open_positions") == 18


@pytest.mark.parametrize("pack", [gzip.compress, lz4.frame.compress])
@pytest.mark.parametrize("unpacked_from", [0, 1 << 30])
def test_csv_is_read_in_whatever_packing_it_came(
    connection: duckdb.DuckDBPyConnection, vault: Vault, samples: Path, monkeypatch: pytest.MonkeyPatch,
    pack: Callable[[bytes], bytes], unpacked_from: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(readable_files, "UNPACKED_FROM_BYTES", unpacked_from)
    judgement = land(connection, vault, fetched(vault, "open_positions", "BTC", pack(positions(samples))))
    assert (judgement.verdict, judgement.row_count) == (Verdict.LOADED, 18)


def test_a_csv_endpoint_that_sends_json_is_read_all_the_same(
    connection: duckdb.DuckDBPyConnection, vault: Vault, samples: Path
) -> None:
    body = (samples / "positions_open_coin_BTC.preview.json").read_bytes()
    land(connection, vault, fetched(vault, "open_positions", "BTC", positions(samples)))
    land(connection, vault, fetched(vault, "open_positions", "BTC", body, slot=SLOT + timedelta(minutes=15)))
    columns = ", ".join(f'"{name}"' for name in BY_NAME["open_positions"].columns)
    by_payload = [
        connection.execute(f"select {columns} from raw.open_positions where _slot = ? order by _row_number", [slot]).fetchall()
        for slot in (SLOT.replace(tzinfo=None), (SLOT + timedelta(minutes=15)).replace(tzinfo=None))
    ]
    assert by_payload[0] == by_payload[1]


def test_landing_twice_changes_nothing(connection: duckdb.DuckDBPyConnection, vault: Vault, samples: Path) -> None:
    record = fetched(vault, "open_positions", "BTC", positions(samples))
    land(connection, vault, record)
    land(connection, vault, record)
    assert land(connection, vault, replace(record, fetch_id=new_fetch_id())).verdict is Verdict.LOADED
    assert count(connection, "raw.open_positions") == 18
    assert count(connection, "ops.payloads") == 1
    assert count(connection, "ops.fetches") == 2


@pytest.mark.parametrize("first", [0, 1])
def test_rows_were_known_when_they_came_first_in_whatever_order_fetches_land(
    connection: duckdb.DuckDBPyConnection, vault: Vault, samples: Path, first: int
) -> None:
    early = fetched(vault, "open_positions", "BTC", positions(samples))
    late = replace(early, fetch_id=new_fetch_id(), finished_at=early.finished_at + timedelta(milliseconds=12))
    for record in ((early, late), (late, early))[first]:
        assert land(connection, vault, record).verdict is Verdict.LOADED
    known = connection.execute("select fetched_at from ops.payloads union select _fetched_at from raw.open_positions").fetchall()
    assert known == [(early.finished_at.replace(tzinfo=None),)]
    assert count(connection, "raw.open_positions") == 18


def test_a_sweep_in_doubt_takes_nothing_from_a_later_one_with_the_same_bytes(
    connection: duckdb.DuckDBPyConnection, vault: Vault, samples: Path
) -> None:
    sound = fetched(vault, "open_positions", "BTC", positions(samples))
    early = sound.finished_at - timedelta(seconds=3)
    doubted = replace(sound, fetch_id=new_fetch_id(), finished_at=early, state_after=STATE + timedelta(minutes=9))
    for record in (sound, doubted):
        land(connection, vault, record)
    assert land(connection, vault, doubted, again=True).verdict is Verdict.INCOMPLETE
    assert count(connection, "raw.open_positions") == 18


@pytest.mark.proves("same-bytes", sees="three of the four polls are `unchanged` and counted as waste; no row twice")
def test_the_same_bytes_in_the_next_slot_are_unchanged(
    connection: duckdb.DuckDBPyConnection, vault: Vault, samples: Path
) -> None:
    body = (samples / "positions_coins.json").read_bytes()
    verdicts = [
        land(connection, vault, fetched(vault, "coins", "", body, slot=SLOT + step * timedelta(minutes=15))).verdict
        for step in range(4)
    ]
    assert verdicts == [Verdict.LOADED, *3 * [Verdict.UNCHANGED]]
    assert count(connection, "raw.coins") == 1


def test_a_state_that_moved_during_the_sweep_is_a_verdict(
    connection: duckdb.DuckDBPyConnection, vault: Vault, samples: Path
) -> None:
    record = fetched(vault, "open_positions", "BTC", positions(samples))
    judgement = land(connection, vault, replace(record, state_after=STATE + timedelta(minutes=16)))
    assert judgement.verdict is Verdict.INCOMPLETE
    assert "09:54:30" in judgement.reason
    assert count(connection, "raw.open_positions") == 0


def test_without_any_state_the_slot_dates_the_payload(connection: duckdb.DuckDBPyConnection, vault: Vault, samples: Path) -> None:
    record = fetched(vault, "open_positions", "BTC", positions(samples))
    judgement = land(connection, vault, replace(record, state_before=None, state_after=None))
    assert (judgement.snapshot_at, judgement.snapshot_at_basis) == (SLOT, "slot")


@pytest.mark.parametrize(
    ("dataset", "scope", "body", "says"),
    [
        pytest.param("coins", "", b"<html><body>Just a moment</body></html>", "HTML", id="a page"),
        pytest.param("open_positions", "BTC", b"<?xml version='1.0'?><Error/>", "HTML or XML", id="an S3 error"),
        pytest.param("coins", "", b"", "0 bytes", id="nothing"),
        pytest.param("open_positions", "BTC", b"", "0 bytes", id="nothing as CSV"),
        pytest.param("coins", "", b'[{"coin": "BTC"', "no JSON", id="cut off"),
        pytest.param("coins", "", b'[{"coin": "BTC"}]', "totalValue", id="columns missing"),
        pytest.param("coins", "", b"[NaN]", "NaN is not a number", id="NaN"),
        pytest.param("coins", "", b"\xff\xfe", "not UTF-8", id="no text"),
        pytest.param("open_positions", "BTC", b"id,address\n1,2\n", "columns missing: coin", id="CSV columns missing"),
    ],
)
def test_a_payload_that_is_no_data_is_quarantined(
    connection: duckdb.DuckDBPyConnection, vault: Vault, dataset: str, scope: str, body: bytes, says: str
) -> None:
    judgement = land(connection, vault, fetched(vault, dataset, scope, body))
    assert judgement.verdict is Verdict.QUARANTINED
    assert says in judgement.reason
    assert "htw rebuild" in judgement.mend
    assert count(connection, f"raw.{dataset}") == 0
    assert count(connection, "ops.payloads") == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b"47473300.0", b"lots", id="text in a number"),
        pytest.param(b"47473300.0", b"nan", id="NaN"),
        pytest.param(b"47473300.0", b"1e309", id="too large for a double"),
        pytest.param(b",700.0,47473300.0,", b",700.0,", id="a ragged row"),
        pytest.param(b"2026-03-02T20:27:24.000Z", b"yesterday", id="no time"),
        pytest.param(b"id,address", b"id,id", id="a column twice"),
    ],
)
def test_one_bad_row_quarantines_the_snapshot(
    connection: duckdb.DuckDBPyConnection, vault: Vault, samples: Path, old: bytes, new: bytes
) -> None:
    body = positions(samples).replace(old, new, 1)
    assert land(connection, vault, fetched(vault, "open_positions", "BTC", body)).verdict is Verdict.QUARANTINED
    assert count(connection, "raw.open_positions") == 0


def test_a_new_column_is_kept_and_a_new_order_does_not_matter(
    connection: duckdb.DuckDBPyConnection, vault: Vault, samples: Path
) -> None:
    header, *rows = positions(samples).decode().splitlines()
    body = "\n".join([f"mood,{header}", *(f"fine,{row}" for row in rows)]).encode()
    assert land(connection, vault, fetched(vault, "open_positions", "BTC", body)).verdict is Verdict.LOADED
    row = connection.execute("select id, size, _extra from raw.open_positions order by _row_number limit 1").fetchone()
    assert row is not None
    assert row[0].startswith("4c16b579")
    assert row[1] == 700.0
    assert json.loads(row[2]) == {"mood": "fine"}


@pytest.mark.parametrize("body", [b"[]", b'{"metrics": [], "nextCursor": null}'], ids=["bare", "wrapped"])
def test_an_empty_answer_is_a_verdict_and_no_rows(connection: duckdb.DuckDBPyConnection, vault: Vault, body: bytes) -> None:
    dataset = "coins" if body == b"[]" else "market_metrics"
    assert land(connection, vault, fetched(vault, dataset, "", body)).verdict is Verdict.EMPTY
    assert count(connection, f"raw.{dataset}") == 0


def test_a_file_of_foreign_rows_only_is_quarantined(connection: duckdb.DuckDBPyConnection, vault: Vault, samples: Path) -> None:
    judgement = land(connection, vault, fetched(vault, "open_positions", "DOGE", positions(samples)))
    assert judgement.verdict is Verdict.QUARANTINED
    assert "none of the 18 rows is of 'DOGE'" in judgement.reason


def order(**changes: Any) -> dict[str, Any]:
    values = dict.fromkeys(BY_NAME["order_snapshots"].columns)
    return values | {"oid": 2**62, "coin": "BTC", "sz": 1, "snapshotTs": "2026-03-24T10:00:00.000Z", "children": []} | changes


def test_orders_of_two_snapshots_in_one_file_are_quarantined(connection: duckdb.DuckDBPyConnection, vault: Vault) -> None:
    body = json.dumps([order(), order(snapshotTs="2026-03-24T10:05:00.000Z")]).encode()
    judgement = land(connection, vault, fetched(vault, "order_snapshots", "BTC", body))
    assert judgement.verdict is Verdict.QUARANTINED
    assert "two snapshots" in judgement.reason


def test_orders_are_dated_by_their_rows_and_keep_large_ids(connection: duckdb.DuckDBPyConnection, vault: Vault) -> None:
    judgement = land(connection, vault, fetched(vault, "order_snapshots", "BTC", json.dumps([order()]).encode()))
    assert (judgement.verdict, judgement.snapshot_at) == (Verdict.LOADED, SLOT)
    assert connection.execute("select oid from raw.order_snapshots").fetchall() == [(2**62,)]
    assert connection.execute("select _snapshot_at from raw.order_snapshots").fetchall() == [(SLOT.replace(tzinfo=None),)]


def test_pages_land_as_one_payload(connection: duckdb.DuckDBPyConnection, vault: Vault, samples: Path) -> None:
    page = json.loads((samples / "position_metrics_general.json").read_text())
    second = {"metrics": page["metrics"][:1], "nextCursor": None}
    record = fetched(vault, "market_metrics", "", json.dumps(page).encode(), json.dumps(second).encode())
    judgement = land(connection, vault, record)
    assert judgement.row_count == 22
    assert connection.execute("select _part from raw.market_metrics order by _part").fetchall() == [(0,), (1,)]
    assert count(connection, "ops.payloads") == 1
