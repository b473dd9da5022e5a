"""What the requests of a sweep claim for their place in a full minute, and that waiting for it costs a fetch no time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestration.clock import SteppedClock
from orchestration.collecting import Ask, Sweep
from orchestration.hypertracker.client import ApiAccess, Client
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.hypertracker.errors import TransportError
from orchestration.hypertracker.transport import deadline
from orchestration.hypertracker.turns import Line, OwnTurns
from orchestration.planning.slots import Cadence, slot_at
from orchestration.planning.urgency import Claim, Urgency
from sandbox import Sandbox
from tests.integration.conftest import NOON, QUICK
from warehouse.fetches import Part
from warehouse.vault import Vault

SLOT = slot_at(Cadence.QUARTER_HOUR, NOON)
COINS = ("BTC", "ETH", "SOL", "HYPE")
QUARTER = timedelta(minutes=15)
SHORT_S = 0.02


class HeardTurns(OwnTurns):
    """Lets everything pass at once, and remembers what it claimed and how many asks followed it."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[Claim, int]] = []

    async def take(self, claim: Claim, behind: int = 0) -> int:
        self.heard.append((claim, behind))
        return await super().take(claim, behind)


class SlowTurns(OwnTurns):
    """A full minute, as short as can be."""

    async def take(self, claim: Claim, behind: int = 0) -> int:
        await asyncio.sleep(3 * SHORT_S)
        return await super().take(claim, behind)


def claimed(provider: Sandbox, folder: Path, slot_ago: timedelta, dataset: str) -> list[tuple[Claim, int]]:
    """What a sweep of four coins over one connection claims, its readings of the state left out."""
    vault, turns, clock = Vault(folder / "vault"), HeardTurns(), SteppedClock(provider.clock.now, provider.clock.set)
    vault.create()

    async def run() -> None:
        access = ApiAccess(provider.api_url, SecretStr(provider.token), connections=1)
        async with Client[Part](access, QUICK, turns) as client:
            asks = [Ask.of(BY_NAME[dataset], coin, SLOT - slot_ago) for coin in COINS]
            await Sweep(client, vault, clock).run(asks)

    asyncio.run(run())
    return turns.heard


def test_a_sweep_claims_the_end_of_its_slot_and_tells_how_many_follow(provider: Sandbox, tmp_path: Path) -> None:
    heard = claimed(provider, tmp_path, timedelta(), "open_positions")
    live = Claim(Urgency.PERISHABLE, SLOT + QUARTER)
    assert heard[1:-1] == [(live, 3), (live, 2), (live, 1), (live, 0)]


def test_a_slot_that_is_over_claims_no_end(provider: Sandbox, tmp_path: Path) -> None:
    heard = claimed(provider, tmp_path, timedelta(days=1), "open_positions")
    assert {claim.ends_at for claim, _ in heard} == {None}


# Whether the claim has an end, which bounds its waiting.
@pytest.mark.parametrize("ends", [True, False], ids=["of a slot", "of none"])
def test_only_waiting_that_has_an_end_of_its_own_takes_none_of_the_time_of_a_fetch(ends: bool) -> None:
    async def wait() -> None:
        async with deadline(SHORT_S) as end:
            claim = Claim(Urgency.PERISHABLE, NOON if ends else None)
            async with Line(SlowTurns(), claim, end=end).turn():
                assert end.when() is not None

    if ends:
        asyncio.run(wait())
    else:
        with pytest.raises(TransportError):
            asyncio.run(wait())
