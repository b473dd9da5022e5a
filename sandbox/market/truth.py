"""The plain truth about the market, computed with pandas straight from its rows, to compare answers with.

Cohorts, coin series and wallets follow in `truth_cohorts` and `truth_wallets`. Nothing of `aggregates` or of the
endpoints is used here: an error there must not hide itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sandbox.market.orders import OrderBook, OrderRows, published_mark
from sandbox.times import iso_column, to_ms

if TYPE_CHECKING:
    from sandbox.market.coins import CoinTable
    from sandbox.market.drift import CohortTable, Listings
    from sandbox.market.positions import PositionBook
    from sandbox.market.states import StateTimes
    from sandbox.market.wallets import Wallets
    from sandbox.settings import SandboxSettings

_BIN_COUNT = 100


class MarketTruth:
    """Truth methods of `Market`. Each takes an aware time and answers for the state in force then."""

    settings: SandboxSettings
    coins: CoinTable
    codes: dict[str, int]
    wallets: Wallets
    states: StateTimes
    listings: Listings
    cohorts: CohortTable
    book: PositionBook
    orders: OrderBook

    def state_at(self, t: datetime) -> datetime:
        """Give the time of the state in force at `t`."""
        state_ms = self.states.time(self.states.index_at(to_ms(t)))
        return datetime.fromtimestamp(state_ms / 1000, t.tzinfo)

    def positions_at(self, t: datetime, coin: str | None = None) -> pd.DataFrame:
        """Give the open positions, all or one coin's: one row a position, columns named like the open-positions file
        (`id` as the file prints it), and `size_bucket_id`. Money USD, sizes coin units, `openTime` ISO text."""
        snapshot = self.book.snapshot(self.states.index_at(to_ms(t)))
        rows = slice(None) if coin is None else snapshot.rows_of(self.codes[coin])
        wallet, code, is_cross = snapshot.wallet[rows], snapshot.coin[rows], snapshot.is_cross[rows]
        figures = snapshot.wallets
        names = np.array(self.coins.names, dtype=object)
        return pd.DataFrame(
            {
                "id": self.book.file_ids(snapshot.slot[rows], snapshot.life[rows]),
                "address": self.wallets.addresses(wallet),
                "coin": names[code],
                "side": np.where(snapshot.is_long[rows], "long", "short"),
                "dex": np.array([self.coins.dex(number) for number in range(len(names))], dtype=object)[code],
                "size": snapshot.size[rows],
                "value": snapshot.value_micro[rows] / 1e6,
                "entryPrice": snapshot.entry[rows],
                "unrealizedPnl": snapshot.unrealized[rows],
                "funding": snapshot.funding[rows],
                "liquidationPrice": snapshot.liquidation[rows],
                "liquidationProgress": snapshot.progress[rows],
                "crossLeverage": np.where(is_cross, snapshot.leverage[rows], 0),
                "isolatedLeverage": np.where(is_cross, 0, snapshot.leverage[rows]),
                "openTime": iso_column(snapshot.opened_ms[rows]),
                "profile_totalEquity": figures.equity[wallet],
                "profile_perpEquity": figures.equity[wallet],
                "profile_countOpenPositions": snapshot.open_count[wallet],
                "profile_pnl": figures.pnl[wallet],
                "profile_balance": figures.equity[wallet],
                "profile_perpPnlSegmentId": figures.pnl_cohort[wallet],
                "profile_sizeSegmentId": figures.size_cohort[wallet],
                "size_bucket_id": snapshot.bucket[rows],
            }
        )

    def orders_at(self, t: datetime, coin: str | None = None) -> pd.DataFrame:
        """Give the resting orders of the latest snapshot published at `t`: one row an order, columns and values as the
        order files, without `children`."""
        rows: OrderRows = self.orders.rows(published_mark(to_ms(t)), None if coin is None else self.codes[coin])
        return rows.frame()

    def truth_listed(self, t: datetime) -> list[str]:
        """Give the names of the coins that are listed."""
        listed = self.listings.listed(to_ms(self.state_at(t))).tolist()
        return [name for name, is_listed in zip(self.coins.names, listed, strict=True) if is_listed]

    def truth_coins(self, t: datetime) -> pd.DataFrame:
        """Give one row a coin: `count`, `count_long`, `value`, `value_long`, `near_value` (USD), indexed by coin."""
        return _sums(self.positions_at(t), "coin")

    def truth_cohorts(self, t: datetime, coin: str | None = None) -> pd.DataFrame:
        """Give one row a cohort id (both axes), columns as `truth_coins`; absent where a cohort has no position."""
        rows = self.positions_at(t, coin)
        axes = [_sums(rows, "profile_sizeSegmentId"), _sums(rows, "profile_perpPnlSegmentId")]
        return pd.concat(axes).rename_axis("cohort_id").sort_index()

    def truth_buckets(self, t: datetime, coin: str | None = None) -> pd.DataFrame:
        """Give one row a size bucket id, 1 to 10, columns as `truth_coins`; zeros where a bucket is empty."""
        return _sums(self.positions_at(t, coin), "size_bucket_id").reindex(range(1, 11), fill_value=0)

    def truth_liquidation_bins(self, t: datetime, coin: str) -> pd.DataFrame:
        """Give one row a non-empty liquidation price bin, indexed by bin: `count`, `value` (USD).

        Bins are 1 % of the coin's mark wide, 100 of them, centred on the mark; prices outside are left out.
        """
        rows = self.positions_at(t, coin)
        mark = self.mark_at(t, coin)
        bins = np.floor((rows["liquidationPrice"] - 0.5 * mark) / (0.01 * mark)).astype(int)
        inside = (rows["liquidationPrice"] > 0) & (bins >= 0) & (bins < _BIN_COUNT)
        return rows[inside].groupby(bins[inside].rename("bin")).agg(count=("id", "size"), value=("value", "sum"))

    def truth_market(self, t: datetime) -> dict[str, float]:
        """Give the whole market's sums: the columns of `truth_coins`, `in_profit_count` and `perp_equity` (USD)."""
        rows = self.positions_at(t)
        sums = {str(name): float(total) for name, total in _sums(rows.assign(one=1), "one").iloc[0].items()}
        wallets = rows.drop_duplicates("address")
        equity = float(wallets["profile_perpEquity"].sum())
        return {**sums, "in_profit_count": int((rows["unrealizedPnl"] > 0).sum()), "perp_equity": equity}

    def mark_at(self, t: datetime, coin: str) -> float:
        """Give a coin's mark price in USD."""
        snapshot = self.book.snapshot(self.states.index_at(to_ms(t)))
        return float(snapshot.mark[self.codes[coin]])


def _sums(rows: pd.DataFrame, key: str) -> pd.DataFrame:
    is_long = rows["side"] == "long"
    near = rows["liquidationProgress"] >= 75
    parts = pd.DataFrame(
        {
            key: rows[key],
            "count": 1,
            "count_long": is_long.astype(int),
            "value": rows["value"],
            "value_long": rows["value"].where(is_long, 0.0),
            "near_value": rows["value"].where(near, 0.0),
        }
    )
    return parts.groupby(key).sum()
