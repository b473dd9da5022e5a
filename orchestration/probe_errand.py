"""What a probe asks, and what that costs: each endpoint once, two of them for one coin of each dex.

Belongs here: choosing the requests, as values. Does not: making them (`probe`), what is due when (`planning`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestration.collecting import Ask
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.hypertracker.endpoint import Dataset
from orchestration.planning.plans import Plan
from orchestration.planning.slots import slot_at

# The two that the pages call doubtful for coins of other dexes (contract 3.3, 6.16); more would cost a request a dex each.
ASKED_PER_DEX = ("open_positions", "liquidation_heatmap_export")
MOST_DEXES = 7
MAIN_DEX = ""
PAST_DISTANCE = timedelta(days=1)


@dataclass(frozen=True)
class Errand:
    """What a probe will ask: `sources` are registry records, of the datasets and of what serves their past."""

    sources: tuple[tuple[Dataset, Dataset], ...]
    asked_at: datetime

    @classmethod
    def of(cls, datasets: Sequence[Dataset], now: datetime) -> Errand:
        """Each dataset, and each way to its past that reaches back to yesterday."""
        yesterday = now - PAST_DISTANCE
        pairs = [
            (dataset, source)
            for dataset in datasets
            for source in (dataset, *(past for past in dataset.past if past.covers(yesterday, now)))
        ]
        return cls(tuple(pairs), now)

    @property
    def needs_coins(self) -> bool:
        return any(source.is_per_coin for _, source in self.sources)

    @property
    def most_requests(self) -> int:
        """What it may cost before the coins are known; repeats after failures come on top."""
        most = sum(MOST_DEXES if source.name in ASKED_PER_DEX else 1 for _, source in self.sources)
        respelled = sum(bool(source.spellings) for _, source in self.sources)
        return most + respelled + (self.needs_coins and not self._names("coins"))

    def asks(self, coins: Sequence[str]) -> list[Ask]:
        """Every request, given the listed coins, largest first; the list of coins itself is not among them."""
        per_dex = largest_of_each_dex(coins)
        return [
            Ask(dataset, scope, self._slot(dataset, source), source)
            for dataset, source in self.sources
            if dataset.name != "coins"
            for scope in (per_dex if source.name in ASKED_PER_DEX else source.scopes(per_dex[:1])[:1])
        ]

    def coins_ask(self) -> Ask | None:
        """The list of coins comes first: what else is asked follows from it."""
        if not self.needs_coins and not self._names("coins"):
            return None
        return Ask.of(BY_NAME["coins"], "", slot_at(BY_NAME["coins"].cadence, self.asked_at))

    def _names(self, name: str) -> bool:
        return any(source.name == name for _, source in self.sources)

    def _slot(self, dataset: Dataset, source: Dataset) -> datetime:
        return slot_at(dataset.cadence, self.asked_at if source is dataset else self.asked_at - PAST_DISTANCE)


def largest_of_each_dex(coins: Sequence[str]) -> list[str]:
    """Of coins from the largest to the smallest, the first of the main dex, then the first of each other one."""
    first: dict[str, str] = {}
    for coin in coins:
        first.setdefault(coin.rpartition(":")[0], coin)
    main = [first.pop(MAIN_DEX)] if MAIN_DEX in first else []
    return [*main, *first.values()][:MOST_DEXES]


def cost_words(errand: Errand, plan: Plan) -> str:
    """What is about to be spent, before it is."""
    per_dex = [source.name for _, source in errand.sources if source.name in ASKED_PER_DEX]
    each = f", {' and '.join(per_dex)} for one coin of each dex (at most {MOST_DEXES})" if per_dex else ""
    return (
        f"this asks at most {counted(errand.most_requests, 'request')} of plan {plan.name}'s {plan.per_day:,} a day: "
        f"{counted(len(errand.sources), 'endpoint')} once{each}"
    )


def counted(count: int, thing: str) -> str:
    """`1 request`, `1,200 requests`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
