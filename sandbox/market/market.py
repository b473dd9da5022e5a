"""The market as one object: coins, wallets, states, positions, orders, their sums, and the plain truth for tests.

It is a pure function of coins, positions, orders, seed and drift of the settings; nothing here remembers requests.
"""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta

from sandbox.market.aggregates import Aggregates
from sandbox.market.coins import make_coins
from sandbox.market.drift import CohortTable, Listings
from sandbox.market.hashing import Cache
from sandbox.market.orders import OrderBook
from sandbox.market.planting import ShortBook
from sandbox.market.positions import PositionBook, slots_per_coin
from sandbox.market.restating import Restatements
from sandbox.market.states import StateTimes
from sandbox.market.truth_wallets import WalletTruth
from sandbox.market.wallets import Wallets
from sandbox.settings import SandboxSettings
from sandbox.times import to_ms

EPOCH = datetime(2025, 4, 1, tzinfo=UTC)
_HISTORY = timedelta(days=40)


class Market(WalletTruth):
    """Everything that exists on the generated exchange."""

    def __init__(self, settings: SandboxSettings) -> None:
        """Generate the market; history reaches back to 2025-04-01 and at least 40 days before `start`."""
        seed = settings.seed
        self.settings = settings
        self.coins = make_coins(settings.coins, seed, settings.coin_names)
        self.codes = {name: code for code, name in enumerate(self.coins.names)}
        self.states = StateTimes(seed, to_ms(min(EPOCH, settings.start - _HISTORY)))
        self.listings = Listings(settings.drift, self.codes, self.states)
        self.cohorts = CohortTable(settings.drift, self.states)
        self.restatements = Restatements(settings.drift, self.codes, self.states)
        most = int(slots_per_coin(settings.positions, self.coins).max())
        self.wallets = Wallets(settings.positions, most, seed, self.cohorts)
        self.book = PositionBook(settings.positions, seed, self.coins, self.wallets, self.states, self.listings)
        self.orders = OrderBook(settings.orders, seed, self.coins, self.wallets, self.listings)
        self.sums = Aggregates(self.book)
        self._short = Cache(settings.coins)

    def without_one(self, coin: str) -> Market:
        """Give the same market with one position of a coin missing in every state; an unknown coin lacks nothing."""
        if coin not in self.codes:
            return self

        def make() -> Market:
            short = copy.copy(self)
            short.book = ShortBook(self.book, self.codes[coin])
            short.sums = Aggregates(short.book)
            return short

        return self._short.get(coin, make)
