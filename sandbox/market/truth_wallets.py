"""The plain truth about wallets and the market over time: equity, volume, the leaderboard, the lives of positions.

Equity by place, volume and lives exist only as generated, so here stands the generator's own figure; the leaderboard is
computed with pandas from wallets and positions.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from sandbox.market.lives import CREATED_AFTER_MS, begun_between, describe
from sandbox.market.series import EQUITY_PLACES, equity_parts, equity_times, rolling_volume, volume_rows
from sandbox.market.truth_cohorts import CohortTruth
from sandbox.times import iso, iso_column, to_ms

PERIODS = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=30), "all": None}
"""The leaderboard's periods and their lengths; `all` has none."""
_LEADERBOARD_MAX = 25_000


class WalletTruth(CohortTruth):
    """Truth methods of `Market`; each takes aware times."""

    def truth_equity(self, t: datetime) -> dict[str, float | None]:
        """Give the wallets' equity (USD) at any moment by place: total, perp, spot, staking, vault (None: not tracked)."""
        return dict(zip(EQUITY_PLACES, equity_parts(self.settings.seed, self.wallets, to_ms(t)), strict=True))

    def truth_equity_history(self, t: datetime) -> pd.DataFrame:
        """Give the history of 1 in the file of the state in force, oldest first: `timestamp` (ISO) and the places."""
        times = equity_times(self.settings.seed, to_ms(self.state_at(t))).tolist()
        rows = [{"timestamp": iso(time), **self.truth_equity(datetime.fromtimestamp(time / 1000, UTC))} for time in times]
        return pd.DataFrame(rows)

    def truth_equity_highs(self, t: datetime) -> dict[str, float]:
        """Give the all-time highs of 1: each place's own highest, so they do not add up."""
        history = self.truth_equity_history(t).fillna(0.0)
        return {place: float(history[place].max()) for place in EQUITY_PLACES}

    def truth_perp_volume(self, start: datetime, end: datetime) -> pd.DataFrame:
        """Give the rows of 19 in [start, end], oldest first: `createdAt` (ISO), `volume` (USD of the past 24 hours)."""
        settings = self.settings
        hours, times = volume_rows(settings.seed, to_ms(start), to_ms(end))
        inside = (times >= to_ms(start)) & (times <= to_ms(end))
        volumes = [rolling_volume(settings.seed, settings.positions, hour) for hour in hours[inside].tolist()]
        return pd.DataFrame({"createdAt": iso_column(times[inside]), "volume": volumes})

    def truth_leaderboard(self, t: datetime, period: str) -> pd.DataFrame:
        """Give the rows of 14 of a period (`day`, `week`, `month`, `all`) by rank: `rank`, `address`, `perpEquity`,
        `openValue`, `openValueLong` and `pnl` of the period (USD)."""
        now = self.state_at(t)
        rows = self.truth_wallets(now)
        length = PERIODS[period]
        before = 0.0 if length is None else self.wallets.figures(to_ms(now - length)).pnl
        open_rows = self.positions_at(now)
        is_long = open_rows["side"] == "long"
        held = {"openValue": open_rows["value"], "openValueLong": open_rows["value"].where(is_long, 0.0)}
        for name, values in held.items():
            rows[name] = rows["address"].map(values.groupby(open_rows["address"]).sum()).fillna(0.0)
        rows["pnl"] = np.round(rows["pnl"] - before, 6)
        ranked = rows.iloc[np.argsort(-rows["pnl"].to_numpy(), kind="stable")[:_LEADERBOARD_MAX]].reset_index(drop=True)
        ranked.insert(0, "rank", ranked.index + 1)
        return ranked.drop(columns=["sizeSegmentId", "pnlSegmentId"])

    def truth_position_lives(
        self, t: datetime, opened_from: datetime, opened_until: datetime | None = None, coin: str | None = None
    ) -> pd.DataFrame:
        """Give the rows of 15 as known at `t`, oldest first: every position opened in [from, until], open or closed
        (`closeTime` None while open); names of the API, `sizeSegmentId` and `pnlSegmentId` of the state in force."""
        book, now_ms = self.book, to_ms(t)
        slots = book.slot if coin is None else book.slot[book.coin == self.codes[coin]]
        slots, lives = begun_between(book, slots, to_ms(opened_from), to_ms(opened_until or t), now_ms)
        records = describe(book, slots, lives, now_ms)
        state_ms = to_ms(self.state_at(t))
        until = np.where(records.closed_ms > 0, records.closed_ms, state_ms)
        gain = np.where(records.is_long, 1, -1) * (records.mark - records.entry) * records.size
        figures, wallet = self.wallets.figures(state_ms), book.wallet[slots]
        columns: dict[str, Any] = {
            "id": book.ids(slots, lives),
            "address": self.wallets.addresses(wallet),
            "coin": np.array(self.coins.names, dtype=object)[book.coin[slots]],
            "side": np.where(records.is_long, "long", "short"),
            "size": records.size,
            "entryPrice": records.entry,
            "markPrice": records.mark,
            "positionValue": records.value,
            "liquidationPrice": records.liquidation,
            "unrealizedPnl": np.round(gain, 6),
            "funding": records.funding(until),
            "crossLeverage": np.where(records.is_cross, records.leverage, 0),
            "isolatedLeverage": np.where(records.is_cross, 0, records.leverage),
            "openTime": iso_column(records.opened_ms),
            "closeTime": pd.Series([iso(closed) if closed else None for closed in records.closed_ms.tolist()], dtype=object),
            "updatedAt": iso_column(until),
            "createdAt": iso_column(records.opened_ms + CREATED_AFTER_MS),
            "sizeSegmentId": figures.size_cohort[wallet],
            "pnlSegmentId": figures.pnl_cohort[wallet],
        }
        return pd.DataFrame(columns)
