"""When the provider's series have a row, and the two figures that exist as a series alone: volume and equity by place.

All times are epoch milliseconds. What a row says of positions belongs to `aggregates`; how rows are paged to `sandbox.api`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sandbox.market.hashing import Array, integers, smooth_noise, unit
from sandbox.times import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, parse_iso

if TYPE_CHECKING:
    from sandbox.market.states import StateTimes
    from sandbox.market.wallets import Wallets

MARKET_STEP_MS = 10 * MINUTE_MS
MARKET_FLOOR_MS = parse_iso("2025-05-01")
VOLUME_FLOOR_MS = parse_iso("2025-11-08")
BIAS_FLOOR_MS = parse_iso("2025-07-09")
BIAS_COLUMNS = ("timestamp", "bias", "exposureRatio", "openValue", "openLongValue", "openShortValue", "activePerpEquity")
EQUITY_PLACES = ("total", "perp", "spot", "staking", "vault")
_MISSING_SHARE = 0.005
_LATE_SHARE = 0.1
_VOLUME_PER_POSITION_USD = 36_000
_BIAS_STEP_MS = 2 * HOUR_MS
_BIAS_AGED_STEP_MS = 30 * MINUTE_MS
_BIAS_OFFSET_MS = 10 * MINUTE_MS
_EQUITY_FROM_MS = parse_iso("2025-08-20T17:13:56.403Z")
_VAULT_FAULT_MS = parse_iso("2025-09-02")
_VAULT_FROM_MS = parse_iso("2025-09-03")
_EQUITY_MEAN_STEP_MS = int(2.9 * DAY_MS)
_EQUITY_STEP_SPREAD_MS = int(2.2 * DAY_MS)
_EQUITY_SHARES = {"spot": 0.82, "staking": 4.2, "vault": 0.205}


def market_rows(seed: int, start: int, end: int) -> tuple[Array, Array]:
    """Give the ten-minute marks of the market's rows about [start, end] and their times, 34 to 334 ms later; a few
    marks are missing."""
    marks = np.arange(max(start, MARKET_FLOOR_MS) // MARKET_STEP_MS, end // MARKET_STEP_MS + 1)
    marks = marks[unit(seed, 81, marks) >= _MISSING_SHARE]
    return marks, marks * MARKET_STEP_MS + 34 + integers(301, seed, 82, marks)


def volume_rows(seed: int, start: int, end: int) -> tuple[Array, Array]:
    """Give the hours of the volume's rows about [start, end] and their times: hh:58, one in ten a few minutes late, a
    few missing."""
    hours = np.arange(max(start, VOLUME_FLOOR_MS) // HOUR_MS - 1, end // HOUR_MS + 1)
    hours = hours[unit(seed, 83, hours) >= _MISSING_SHARE]
    late = np.where(unit(seed, 84, hours) < _LATE_SHARE, (5 + integers(7, seed, 85, hours)) * MINUTE_MS, 0)
    return hours, hours * HOUR_MS + 58 * MINUTE_MS + 600 + integers(300, seed, 86, hours) + late


def rolling_volume(seed: int, positions: int, hour: int) -> float:
    """Give the volume (USD) of the 24 hours that end with an hour, counted since 1970."""
    moment_ms = hour * HOUR_MS
    swing = sum(smooth_noise(moment_ms, period, seed, 87, period // SECOND_MS) for period in (7 * DAY_MS, DAY_MS))
    return round(positions * _VOLUME_PER_POSITION_USD * float(np.exp(0.6 * swing)), 6)


def coin_rows(seed: int, states: StateTimes, jitter_ms: int, code: int, start: int, end: int) -> tuple[Array, Array]:
    """Give the states of a coin's rows about [start, end] and their times, up to `jitter_ms` after the state."""
    indexes = states.between(start - jitter_ms, end)
    late = integers(jitter_ms, seed, 88, indexes, code) if jitter_ms else 0
    return indexes, states.times(indexes) + late if len(indexes) else indexes


def bias_times(seed: int, start: int, end: int, recency: str) -> Array:
    """Give the times of a cohort's bias rows in [start, end], newest first: every 2 hours at ten past, every 30
    minutes for `24h`."""
    step = _BIAS_AGED_STEP_MS if recency == "24h" else _BIAS_STEP_MS
    start = max(start, BIAS_FLOOR_MS)
    marks = np.arange((end - _BIAS_OFFSET_MS) // step, (start - _BIAS_OFFSET_MS) // step - 1, -1)
    times = marks * step + _BIAS_OFFSET_MS + integers(400, seed, 92, marks)
    return times[(times >= start) & (times <= end)]


def exposure(long: float, short: float, equity: float) -> tuple[float, float]:
    """Give signed bias and exposure ratio over the active equity, 2 decimals; 0 where there is no equity."""
    if not equity:
        return 0.0, 0.0
    return round((long - short) / equity, 2), round((long + short) / equity, 2)


def equity_times(seed: int, now_ms: int) -> Array:
    """Give the times of the equity history as of a day, oldest first: off any grid, and others in each day's file."""
    steps = np.arange(max(0, (now_ms - _EQUITY_FROM_MS) // _EQUITY_MEAN_STEP_MS) + 1)
    moved = integers(_EQUITY_STEP_SPREAD_MS, seed, 93, steps, now_ms // DAY_MS) - _EQUITY_STEP_SPREAD_MS // 2
    times = _EQUITY_FROM_MS + steps * _EQUITY_MEAN_STEP_MS + np.where(steps == 0, 0, moved)
    return times[times <= now_ms]


def equity_parts(seed: int, wallets: Wallets, moment_ms: int) -> list[float | None]:
    """Give equity (USD) by `EQUITY_PLACES`. Vaults are null before September 2025 and once 0."""
    perp = round(float(wallets.figures(moment_ms).equity.sum()), 6)
    parts: list[float | None] = [perp]
    for salt, share in enumerate(_EQUITY_SHARES.values()):
        swing = smooth_noise(moment_ms, 10 * DAY_MS, seed, 94, salt)
        parts.append(round(perp * share * float(1 + 0.2 * swing), 6))
    if moment_ms < _VAULT_FROM_MS:
        parts[3] = None if moment_ms < _VAULT_FAULT_MS else 0.0
    return [round(sum(part for part in parts if part is not None), 6), *parts]
