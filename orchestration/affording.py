"""What the settings wish for, held against a plan: registry, settings and vault brought to the quota plan, and its results.

Belongs here: turning records of the registry and the list of coins into the plan's inputs. Does not: the planning itself
(`planning.quota`), the words for it (`affording_report`). Offline.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from orchestration.collecting import listed_coins
from orchestration.hypertracker.datasets import DATASETS
from orchestration.hypertracker.endpoint import Dataset, Dating
from orchestration.planning.plans import PLANS, Plan, next_plan
from orchestration.planning.pollable import Breadth, Perishability, Pollable, Wishes
from orchestration.planning.quota import QuotaPlan, everything, plan_quota
from orchestration.planning.spending import Spending
from orchestration.settings import Settings
from warehouse.vault import Vault

ASSUMED_COIN_COUNT = 330
RESERVE_FRACTION = 0.1


@dataclass(frozen=True)
class Affordable:
    """What one plan affords of the wishes, what the next one up does (None above the largest), and what all of it would
    cost. `is_assumed`: the coins are numbers, because no list of coins was polled yet."""

    wishes: Wishes
    quota: QuotaPlan
    larger: QuotaPlan | None
    full: Spending
    is_assumed: bool = False


def affordable(settings: Settings) -> Affordable:
    """The settings' wishes under the settings' plan, with the newest list of coins in the vault. Reads only."""
    universe = listed_coins(Vault(settings.vault_dir)) if settings.vault_dir.exists() else []
    is_assumed = not universe
    coins = settings.wanted_coins(universe or assumed_coins())
    return afford(settings.plan_limits(), wishes_of(settings, coins, universe), is_assumed)


def wishes_of(settings: Settings, coins: Sequence[str], universe: Sequence[str]) -> Wishes:
    """The settings' wishes for these coins; `universe` is every listed coin, largest open value first."""
    pollables = (pollable_of(dataset, settings.wanted_every(dataset.name)) for dataset in settings.wanted_datasets())
    return Wishes(_open_values(_ranked(coins, universe)), frozenset(pollables), settings.reserve)


def afford(plan: Plan, wishes: Wishes, is_assumed: bool = False) -> Affordable:
    """The same for any plan and wishes."""
    larger = next_plan(plan)
    return Affordable(
        wishes, plan_quota(plan, wishes), plan_quota(larger, wishes) if larger else None, everything(wishes), is_assumed
    )


def assumed_coins() -> list[str]:
    """As many coins as the exchange has, by their rank."""
    return [f"coin {rank}" for rank in range(1, ASSUMED_COIN_COUNT + 1)]


def wishes_for(ranked: Sequence[str], datasets: Collection[Dataset] = DATASETS) -> Wishes:
    """Coins, largest open value first, and datasets; with the usual reserve."""
    return Wishes(_open_values(ranked), frozenset(map(pollable_of, datasets)), RESERVE_FRACTION)


def _open_values(ranked: Sequence[str]) -> dict[str, float]:
    """The order is all that open values are needed for."""
    return {coin: float(-rank) for rank, coin in reversed(list(enumerate(ranked)))}


def vendor_plans(coin_count: int) -> list[QuotaPlan]:
    """What each of the vendor's plans affords of all datasets for the largest coins."""
    wishes = wishes_for(assumed_coins()[:coin_count])
    return [plan_quota(plan, wishes) for plan in PLANS.values()]


def pollable_of(dataset: Dataset, wanted_every: timedelta = timedelta()) -> Pollable:
    """A record of the registry as the quota sees it, wished for at most once an interval."""
    narrow = Breadth.COIN if dataset.is_per_coin else Breadth.PART
    parts = ("",) if dataset.is_per_coin else tuple(dataset.units([]))
    return Pollable(
        dataset.name, dataset.cadence.step, _perishability(dataset), narrow if dataset.scoped_by else Breadth.MARKET,
        requests=len(dataset.scopes(["?"])) // len(parts) * dataset.requests_a_poll, parts=parts, priority=dataset.priority,
        reaches_back=dataset.window or dataset.lookback, settle=timedelta(seconds=dataset.settle_s),
        is_dated_by_state=dataset.dating is Dating.STATE, is_state=dataset.name == "state_status",
        if_missed=_if_missed(dataset), wanted_every=wanted_every,
    )  # fmt: skip


def _perishability(dataset: Dataset) -> Perishability:
    if dataset.window:
        return Perishability.WINDOW
    return Perishability.PERISHABLE if dataset.is_current_state else Perishability.HISTORY


def _if_missed(dataset: Dataset) -> str:
    if dataset.window:
        return f"lost after {dataset.window / timedelta(days=1):g} days"
    past = next((source for source in dataset.past if source.ceiling is None), None)
    if past and past.reach:
        return f"can be had for {past.reach.days} days"
    return "lost" if dataset.is_current_state and not past else "can be had later"


def _ranked(coins: Sequence[str], universe: Sequence[str]) -> list[str]:
    """Wished coins by open value; those not on the list last, in the order of the wish."""
    rank = {coin: position for position, coin in enumerate(universe)}
    return sorted(dict.fromkeys(coins), key=lambda coin: rank.get(coin, len(rank)))
