"""A change of what a payload declares is noticed: kept as a row, and where models could misread it, the payload waits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.hypertracker import datasets
from orchestration.landing import land
from orchestration.registering import prepare
from warehouse.fetches import FetchRecord, new_fetch_id
from warehouse.ledger import Judgement, Verdict
from warehouse.vault import Vault

SLOT = datetime(2026, 3, 24, 10, 0, tzinfo=UTC)
VOLUME = {"id": 1, "createdAt": "2026-03-24T09:58:00.500Z", "volume": 7.5}
COHORT = {"id": 3, "name": "Apex Predator", "category": "size", "criteria": {"minSize": 50000, "maxSize": 100000}}


class Bench:
    """A vault and a ledger that payloads are handed to, one slot later each."""

    def __init__(self, vault: Vault, connection: duckdb.DuckDBPyConnection) -> None:
        self.vault, self.connection, self.slot = vault, connection, SLOT

    def land(self, dataset: str, value: Any, scope: str = "") -> Judgement:
        self.slot += timedelta(hours=2)
        with self.vault.new_body(dataset, self.slot, ".json") as writer:
            writer.write(json.dumps(value).encode())
            part = writer.finish()
        record = FetchRecord(new_fetch_id(), dataset, scope, self.slot, self.slot, self.slot, "received", (part,))
        return land(self.connection, self.vault, record)

    def changes(self) -> list[tuple[Any, ...]]:
        return self.connection.execute("select name, change, before, after from ops.definition_changes order by all").fetchall()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    vault = Vault(tmp_path / "vault")
    vault.create()
    with duckdb.connect() as connection:
        prepare(connection)
        yield Bench(vault, connection)


def volumes(**changes: Any) -> dict[str, Any]:
    record = {name: value for name, value in {**VOLUME, **changes}.items() if value is not ...}
    return {"metrics": [record], "nextCursor": None}


def test_the_first_payload_and_its_like_are_no_change(bench: Bench) -> None:
    verdicts = [bench.land("perp_volume", volumes(volume=volume)).verdict for volume in (1, 2.5, 3)]
    assert verdicts == [Verdict.LOADED] * 3
    assert bench.changes() == []


def test_a_new_key_is_kept_as_a_change_and_the_payload_is_loaded(bench: Bench) -> None:
    bench.land("perp_volume", volumes())
    assert bench.land("perp_volume", volumes(trades=9)).verdict is Verdict.LOADED
    assert bench.changes() == [("$.metrics[].trades", "added", None, "number")]


def test_a_key_that_goes_away_quarantines_that_dataset_only(bench: Bench) -> None:
    bench.land("perp_volume", volumes(trades=9))
    bench.land("segments", [COHORT])
    judgement = bench.land("perp_volume", volumes())
    assert judgement.verdict is Verdict.QUARANTINED
    assert "$.metrics[].trades removed" in judgement.reason
    assert "redefined_at" in judgement.mend
    assert bench.changes() == [("$.metrics[].trades", "removed", "number", None)]
    assert bench.land("segments", [COHORT]).verdict is Verdict.LOADED
    assert bench.connection.execute("select count(*) from raw.perp_volume").fetchone() == (1,)


def test_a_key_of_another_kind_quarantines(bench: Bench) -> None:
    bench.land("perp_volume", volumes())
    judgement = bench.land("perp_volume", volumes(volume="1,234.5"))
    assert judgement.verdict is Verdict.QUARANTINED
    assert bench.changes() == [("$.metrics[].volume", "retyped", "number", "text")]


def test_null_is_no_other_kind_and_an_empty_list_has_no_keys_to_miss(bench: Bench) -> None:
    bench.land("perp_volume", volumes(trades=9))
    assert bench.land("perp_volume", volumes(trades=None)).verdict is Verdict.LOADED
    assert bench.land("perp_volume", {"metrics": [], "nextCursor": None}).verdict is Verdict.EMPTY
    assert bench.changes() == []


def test_a_change_can_be_accepted_from_a_time_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.land("perp_volume", volumes(trades=9))
    accepted = replace(datasets.BY_NAME["perp_volume"], redefined_at=bench.slot + timedelta(minutes=1))
    monkeypatch.setitem(datasets.SOURCES, "perp_volume", accepted)
    assert bench.land("perp_volume", volumes()).verdict is Verdict.LOADED


@pytest.mark.proves("cohort-renamed", sees="payloads go on being loaded, the change is told with both names")
def test_a_renamed_cohort_is_a_change_and_no_reason_to_wait(bench: Bench) -> None:
    bench.land("segments", [COHORT])
    assert bench.land("segments", [{**COHORT, "name": "Lone Wolf"}]).verdict is Verdict.LOADED
    ((name, change, before, after),) = bench.changes()
    assert (name, change) == ("cohort 3", "redefined")
    assert "Apex Predator" in before
    assert "Lone Wolf" in after


def test_moved_bounds_of_a_bucket_are_a_change(bench: Bench) -> None:
    bucket = {
        "sizeSegmentId": 7, "size": "$250k-$500k", "minSize": 250000, "maxSize": 500000, "positionCount": 1,
        "totalPositionValue": 1, "totalPositionValueLong": 1, "valueCloseToLiquidation": 0,
    }  # fmt: skip
    for at, upper in (("2026-03-24T09:54:30.589Z", 500000), ("2026-03-24T11:54:30.589Z", 750000)):
        payload = {"coin": "BTC", "createdAt": at, "breakdownBySize": [{**bucket, "maxSize": upper}]}
        assert bench.land("breakdown_by_size_export", payload, "BTC").verdict is Verdict.LOADED
    assert [row[:2] for row in bench.changes()] == [("size bucket 7", "redefined")]
