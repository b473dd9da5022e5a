"""The wallets: addresses, perp equity and all-time PnL at any time, and the cohorts these put them in.

What wallets hold belongs to `positions`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sandbox.market.cohorts import classify
from sandbox.market.drift import CohortTable
from sandbox.market.hashing import Array, hash64, smooth_noise, unit
from sandbox.times import DAY_MS

_WALLETS_PER_POSITION = 0.45
_EQUITY_BANDS_USD = np.array([0.5, 250, 10_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000, 50_000_000])
_EQUITY_SHARES = np.array([0.40, 0.38, 0.12, 0.0358, 0.045, 0.012, 0.006, 0.0012])
_PNL_BANDS_USD = np.array([0.5, 10_000, 100_000, 1_000_000, 20_000_000])
_PNL_SHARES = np.array([0.80, 0.14, 0.05, 0.01])
_EQUITY_SWING = 0.12
_PNL_SWING = 0.05
_SWING_PERIOD_MS = 3 * DAY_MS
_HOUSE_EQUITY_USD = 60_000_000.0
_HOUSE_PNL_USD = 25_000_000.0


@dataclass(frozen=True)
class WalletFigures:
    """What the wallets are worth at one moment; one entry a wallet, money in USD."""

    equity: Array
    pnl: Array
    size_cohort: Array
    pnl_cohort: Array


class Wallets:
    """All wallets: `count` traders, then two house wallets that take the other side of every coin."""

    def __init__(self, positions: int, most_in_a_coin: int, seed: int, cohorts: CohortTable) -> None:
        """Make as many wallets as hold `positions` positions between them, none of them twice in the same coin."""
        self._seed, self._cohorts = seed, cohorts
        self.count = max(16, most_in_a_coin, int(positions * _WALLETS_PER_POSITION))
        self.house_long = self.count
        self.house_short = self.count + 1
        self._keys = np.arange(self.count + 2)
        self.base_equity = self._spread(_EQUITY_BANDS_USD, _EQUITY_SHARES, 21)
        magnitude = self._spread(_PNL_BANDS_USD, _PNL_SHARES, 22)
        self._base_pnl = np.where(unit(seed, 23, self._keys) < 0.55, -magnitude, magnitude)
        self.base_equity[self.count :] = _HOUSE_EQUITY_USD
        self._base_pnl[self.count :] = _HOUSE_PNL_USD

    def figures(self, moment_ms: int) -> WalletFigures:
        """Give equity, PnL and cohorts of all wallets at a moment; a few wallets change cohort from state to state."""
        swing = smooth_noise(moment_ms, _SWING_PERIOD_MS, self._seed, 24, self._keys)
        equity = np.round(self.base_equity * np.exp(_EQUITY_SWING * swing), 6)
        drift = smooth_noise(moment_ms, _SWING_PERIOD_MS, self._seed, 25, self._keys)
        pnl = np.round(self._base_pnl * (1 + _PNL_SWING * drift), 6)
        size_axis, pnl_axis = self._cohorts.axes(moment_ms)
        return WalletFigures(equity, pnl, classify(equity, size_axis), classify(pnl, pnl_axis))

    def addresses(self, wallets: Array) -> list[str]:
        """Give the addresses (0x and 40 hex digits) of wallets."""
        parts = [hash64(self._seed, 26 + part, wallets).tolist() for part in range(3)]
        return [f"0x{a:016x}{b:016x}{c >> 32:08x}" for a, b, c in zip(*parts, strict=True)]

    def find(self, address: str) -> int | None:
        """Give the wallet with an address, or None."""
        if len(address) != 42 or not address.startswith("0x"):
            return None
        try:
            head = int(address[2:18], 16)
        except ValueError:
            return None
        found = np.flatnonzero(hash64(self._seed, 26, self._keys) == np.uint64(head))
        matching = [int(wallet) for wallet in found if self.addresses(np.array([wallet])) == [address]]
        return matching[0] if matching else None

    def _spread(self, bands: Array, shares: Array, salt: int) -> Array:
        # Ranks, not independent draws: even a small market then has wallets in every band.
        rank = np.argsort(np.argsort(hash64(self._seed, salt, self._keys)))
        place = (rank + 0.5) / len(self._keys)
        band = np.minimum(np.searchsorted(np.cumsum(shares), place, side="right"), len(shares) - 1)
        low, high = bands[band], bands[band + 1]
        return low * np.exp(unit(self._seed, salt + 100, self._keys) * np.log(high / low))
