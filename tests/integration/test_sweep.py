"""One sweep: chunks between readings of the state, what is asked again where it moved, what a closed quota leaves out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestration.clock import SteppedClock
from orchestration.collecting import Ask, Sweep
from orchestration.hypertracker.client import ApiAccess, Client
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.planning.slots import Cadence, slot_at
from orchestration.planning.urgency import Urgency
from sandbox import Fault, Sandbox
from tests.integration.conftest import NOON, QUICK
from warehouse.fetches import FetchRecord, Part
from warehouse.vault import Vault

SLOT = slot_at(Cadence.QUARTER_HOUR, NOON)
COINS = ("BTC", "ETH", "SOL", "HYPE")


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    made = Vault(tmp_path / "vault")
    made.create()
    return made


def sweep(provider: Sandbox, vault: Vault, asks: Sequence[Ask], chunk: int, urgency: Urgency | None = None) -> list[FetchRecord]:
    async def run() -> list[FetchRecord]:
        clock = SteppedClock(provider.clock.now, provider.clock.set)
        async with Client[Part](ApiAccess(provider.api_url, SecretStr(provider.token)), QUICK) as client:
            return await Sweep(client, vault, clock, urgency=urgency, chunk=chunk).run(asks)

    return asyncio.run(run())


def positions() -> list[Ask]:
    return [Ask.of(BY_NAME["open_positions"], coin, SLOT) for coin in COINS]


def asked(records: Sequence[FetchRecord], dataset: str) -> Counter[str]:
    return Counter(record.scope for record in records if record.dataset == dataset)


@pytest.mark.parametrize(("chunk", "readings"), [(1, 5), (2, 3), (4, 2), (100, 2)])
def test_the_reading_after_a_chunk_is_that_before_the_next(provider: Sandbox, vault: Vault, chunk: int, readings: int) -> None:
    records = sweep(provider, vault, positions(), chunk)
    assert asked(records, "state_status")[""] == readings
    assert asked(records, "open_positions") == dict.fromkeys(COINS, 1)
    assert len({record.state_before for record in records if record.dataset == "open_positions"}) == 1


def test_where_the_state_moves_one_chunk_is_asked_again(provider: Sandbox, vault: Vault) -> None:
    provider.faults.add(Fault("rollover", path=f"/positions/open/coin/{COINS[1]}", count=1))
    records = sweep(provider, vault, positions(), chunk=2)
    assert asked(records, "open_positions") == {COINS[0]: 2, COINS[1]: 2, COINS[2]: 1, COINS[3]: 1}
    # Before, after the first chunk, after it was asked again, after the second.
    assert asked(records, "state_status")[""] == 4
    last = {record.scope: record for record in records if record.dataset == "open_positions"}
    assert all(record.state_before == record.state_after for record in last.values())
    assert len({record.state_before for record in last.values()}) == 1


def test_what_carries_its_own_time_follows_what_does_not(provider: Sandbox, vault: Vault) -> None:
    series = Ask.of(BY_NAME["market_metrics"], "", SLOT)
    records = sweep(provider, vault, [series, *positions()], chunk=2)
    assert [record.dataset for record in records][-1] == "market_metrics"
    assert records[-1].state_before is None


def test_a_spent_quota_fails_live_slots_and_leaves_no_trace_of_backfill(provider: Sandbox, vault: Vault) -> None:
    provider.faults.add(Fault("status", status=402))
    live = sweep(provider, vault, positions(), chunk=4)
    failed = [record for record in live if record.dataset == "open_positions"]
    assert {record.outcome for record in failed} == {"failed"}
    assert len(failed) == len(COINS)
    past = [Ask.of(BY_NAME["order_snapshots"], coin, SLOT - timedelta(hours=1)) for coin in COINS]
    backfill = sweep(provider, vault, past, chunk=4, urgency=Urgency.BACKFILL)
    assert sum(record.requests_spent for record in backfill) == len(backfill)
    assert not [record for record in backfill if record.reason.startswith("not asked")]
