"""The coins of the market: names, decimals, prices at any time, and how positions and orders spread over them.

Positions and orders themselves belong to `positions` and `orders`.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from sandbox.market.hashing import Array, smooth_noise
from sandbox.times import DAY_MS, HOUR_MS

MONEY_DECIMALS = 6
MAX_SZ_DECIMALS = 5

# The names after SOL are traps: mixed case, a dex prefix, and base names that repeat.
KNOWN_COINS = {
    "BTC": 68_000.0,
    "ETH": 2_150.0,
    "HYPE": 38.0,
    "SOL": 90.0,
    "kPEPE": 0.0035,
    "xyz:GOLD": 4_600.0,
    "cash:GOLD": 4_600.0,
    "flx:GOLD": 4_600.0,
    "hyna:BTC": 68_000.0,
}
_MAJORS = 4
_TRAP_WEIGHT = 0.3
_GENERATED_DEXES = ("xyz", "flx", "vntl", "km", "para", "hyna", "cash")
_DEX_SHARE = 0.3
_OCTAVES_MS = (64 * DAY_MS, 16 * DAY_MS, 4 * DAY_MS, DAY_MS, 6 * HOUR_MS, 90 * 60_000, 20 * 60_000)
# So many turns of the noise are looked at one by one; over a longer time it is taken to have been everywhere.
_TURNS = 2


@dataclass(frozen=True)
class CoinTable:
    """One entry a coin in every array; the place in the arrays is the coin's code.

    `sz_decimals` are decimals of a size, prices carry 6 minus that many, so that a value is a whole number of
    millionths of a dollar.
    """

    names: tuple[str, ...]
    seed: int
    base_price: Array
    sz_decimals: Array
    max_leverage: Array
    volatility: Array
    weight: Array
    price_key: Array

    @property
    def lot(self) -> Array:
        """Give the smallest size, in coin units."""
        return 10.0 ** -self.sz_decimals.astype(float)

    def price_decimals(self) -> Array:
        """Give the decimals of a price."""
        return MONEY_DECIMALS - self.sz_decimals

    def dex(self, code: int) -> str:
        """Give the exchange part of a name, `main` where there is none."""
        name = self.names[code]
        return name.split(":", 1)[0] if ":" in name else "main"

    def price(self, codes: Array, moments_ms: int | Array) -> Array:
        """Give unrounded USD prices of coins at moments: a random walk made of noise at seven time scales."""
        log_move = np.zeros(np.broadcast_shapes(np.shape(codes), np.shape(moments_ms)))
        key = self.price_key[codes]
        for octave, period in enumerate(_OCTAVES_MS):
            log_move = log_move + (period / DAY_MS) ** 0.5 * smooth_noise(moments_ms, period, self.seed, 7, octave, key)
        return self.base_price[codes] * np.exp(log_move * self.volatility[codes])

    def price_bounds(self, codes: Array, since_ms: Array, until_ms: Array) -> tuple[Array, Array]:
        """Give USD prices that coins stay above and below from one moment to another, close ones for times that are short.

        Noise turns only where it takes a new value, so its ends and those few values bound it.
        """
        low, high = np.zeros((2, len(codes)))
        key = self.price_key[codes]
        for octave, period in enumerate(_OCTAVES_MS):
            moments = self._turns(period, since_ms, until_ms)
            noise = smooth_noise(moments, period, self.seed, 7, octave, key)
            is_long = until_ms // period - since_ms // period > _TURNS
            weight = (period / DAY_MS) ** 0.5
            low += weight * np.where(is_long, -1, noise.min(axis=0))
            high += weight * np.where(is_long, 1, noise.max(axis=0))
        base, volatility = self.base_price[codes], self.volatility[codes]
        return base * np.exp(low * volatility), base * np.exp(high * volatility)

    @staticmethod
    def _turns(period: int, since_ms: Array, until_ms: Array) -> Array:
        """Give both ends and the first moments between them at which the noise turns, one row each."""
        turns = [np.minimum((since_ms // period + turn) * period, until_ms) for turn in range(1, _TURNS + 1)]
        return np.array([since_ms, *turns, until_ms])

    def mark_ticks(self, moment_ms: int) -> Array:
        """Give every coin's mark at a moment in whole ticks (at least one)."""
        codes = np.arange(len(self.names))
        return np.maximum(1, np.rint(self.price(codes, moment_ms) * 10.0 ** self.price_decimals())).astype(np.int64)

    def share_out(self, total: int) -> Array:
        """Spread `total` things over the coins by weight, at least one each, the rest to the first."""
        count = len(self.names)
        shares = 1 + np.floor((total - count) * self.weight).astype(np.int64)
        shares[0] += total - int(shares.sum())
        return shares


def make_coins(count: int, seed: int, given: tuple[str, ...] = ()) -> CoinTable:
    """Make the first `count` coins: the known names, then generated ones, then those that are `given`."""
    random = np.random.default_rng([seed, 11])
    names = list(KNOWN_COINS)[: count - len(given)]
    names += [*_generated_names(count - len(names) - len(given), {*names, *given}, random), *given]
    prices = np.array([KNOWN_COINS.get(name) or float(10 ** random.uniform(-2.5, 2.5)) for name in names])
    weight = 1.0 / np.arange(1, count + 1) ** 0.95
    weight[_MAJORS : len(KNOWN_COINS)] *= _TRAP_WEIGHT
    leverage = random.choice([3, 5, 10, 20], size=count)
    leverage[: min(_MAJORS, count)] = [40, 25, 10, 20][:count]
    volatility = random.uniform(0.02, 0.05, size=count)
    volatility[:2] = 0.018
    return CoinTable(
        names=tuple(names),
        seed=seed,
        base_price=prices,
        sz_decimals=np.clip(np.floor(np.log10(prices)).astype(np.int64) + 1, 0, MAX_SZ_DECIMALS),
        max_leverage=leverage,
        volatility=volatility,
        weight=weight / weight.sum(),
        # Equal symbols on different exchanges move together, as gold does.
        price_key=np.array([zlib.crc32(name.rsplit(":", 1)[-1].encode()) for name in names], dtype=np.int64),
    )


def _generated_names(count: int, taken: set[str], random: np.random.Generator) -> list[str]:
    names: list[str] = []
    while len(names) < count:
        length = int(random.integers(3, 6))
        name = "".join(chr(65 + int(letter)) for letter in random.integers(0, 26, size=length))
        if random.random() < _DEX_SHARE:
            name = f"{random.choice(_GENERATED_DEXES)}:{name}"
        if name not in taken:
            taken.add(name)
            names.append(name)
    return names
