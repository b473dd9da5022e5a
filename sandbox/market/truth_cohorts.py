"""The plain truth about cohorts over all coins and about the metrics of one coin, to compare answers with.

Like `truth`, computed with pandas from the rows of positions; names are those of the API. What the wallets are worth,
traded and held over time belongs to `truth_wallets`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from sandbox.market.cohorts import BUCKET_COUNT, COHORTS
from sandbox.market.series import BIAS_COLUMNS, bias_times, coin_rows, exposure
from sandbox.market.truth import MarketTruth
from sandbox.times import DAY_MS, MINUTE_MS, RECENCIES_MS, iso, to_ms

_AXIS_COLUMNS = {"size": "profile_sizeSegmentId", "pnl": "profile_perpPnlSegmentId"}
_NEAR_PCT = 75
_TOP_ASSETS = 10
_EXPORT_WINDOW_MS = 3 * DAY_MS
_EXPORT_STEP_MS = 30 * MINUTE_MS


class CohortTruth(MarketTruth):
    """Truth methods of `Market`. Each takes an aware time and answers for the state in force then; `recency` is `all`,
    `24h`, `7d` or `30d` and keeps the positions opened within that time before the state."""

    def truth_positions_of(
        self, t: datetime, coin: str | None = None, cohort: int | None = None, recency: str = "all"
    ) -> pd.DataFrame:
        """Give the rows of `positions_at` of one coin, cohort (of either axis) and recency, where these are named."""
        rows = self.positions_at(t, coin)
        if recency != "all":
            rows = rows[rows["openTime"] >= iso(to_ms(self.state_at(t)) - RECENCIES_MS[recency])]
        if cohort is not None:
            rows = rows[rows[_AXIS_COLUMNS[COHORTS[cohort].axis]] == cohort]
        return rows

    def truth_bias_row(self, t: datetime, cohort: int, recency: str = "all") -> dict[str, Any]:
        """Give a cohort's bias row (2 and 27) at a moment: the columns of `BIAS_COLUMNS`, USD, 2 decimals."""
        rows = self.truth_positions_of(t, cohort=cohort, recency=recency)
        value = round(float(rows["value"].sum()), 2)
        long = round(float(rows["value"][rows["side"] == "long"].sum()), 2)
        equity = round(_equity(rows), 2)
        figures = (*exposure(long, round(value - long, 2), equity), value, long, round(value - long, 2), equity)
        return dict(zip(BIAS_COLUMNS, (iso(to_ms(t)), *figures), strict=True))

    def truth_bias_history(self, cohort: int, start: datetime, end: datetime, recency: str = "all") -> pd.DataFrame:
        """Give the rows of 27 in [start, end], newest first."""
        times = bias_times(self.settings.seed, to_ms(start), to_ms(end), recency)
        return pd.DataFrame([self.truth_bias_row(_moment(time), cohort, recency) for time in times.tolist()])

    def truth_segments_bias(self, t: datetime, cohort: int) -> pd.DataFrame:
        """Give one cohort's group of 2 in the file of the state in force: 72 hours, newest first."""
        head = to_ms(self.state_at(t))
        times = range(head // _EXPORT_STEP_MS * _EXPORT_STEP_MS, head - _EXPORT_WINDOW_MS, -_EXPORT_STEP_MS)
        return pd.DataFrame([self.truth_bias_row(_moment(time), cohort, "24h") for time in times])

    def truth_segment_summary(self, t: datetime, cohort: int, recency: str = "all") -> dict[str, Any]:
        """Give what 26 says of a cohort, flat, by the names of `openPerpsSummary`; `countTraders`, `totalPerpEquity` and
        `countAssets` are of all ages, `topAssets` are (coin, USD) pairs."""
        rows = self.truth_positions_of(t, cohort=cohort, recency=recency)
        long, short = (float(rows["value"][rows["side"] == side].sum()) for side in ("long", "short"))
        bias, ratio = exposure(round(long, 6), round(short, 6), _equity(rows))
        tops = rows.groupby("coin")["value"].sum().sort_values(ascending=False).head(_TOP_ASSETS)
        members = self.truth_wallets(t)
        members = members[members["sizeSegmentId" if COHORTS[cohort].axis == "size" else "pnlSegmentId"] == cohort]
        return {
            "perpBias": bias,
            "exposureRatio": ratio,
            "countOpenPositions": len(rows),
            "countTradersInPosition": rows["address"].nunique(),
            "countTradersInProfit": int((rows.groupby("address")["unrealizedPnl"].sum() > 0).sum()),
            "totalValue": long + short,
            "totalLongValue": long,
            "totalActivePerpEquity": _equity(rows),
            "totalPerpEquity": float(members["perpEquity"].sum()),
            "countAssets": rows["coin"].nunique(),
            "countTraders": len(members),
            "topAssets": list(zip(tops.index.tolist(), tops.tolist(), strict=True)),
        }

    def truth_liquidation_risk(self, t: datetime, cohort: int) -> pd.DataFrame:
        """Give the rows of 24, indexed by coin: `totalValue`, `riskValue` (USD), `percentRisk` (by number)."""
        rows = self.truth_positions_of(t, cohort=cohort)
        near = rows["liquidationProgress"] >= _NEAR_PCT
        parts = pd.DataFrame({"coin": rows["coin"], "totalValue": rows["value"], "riskValue": rows["value"].where(near, 0.0)})
        risk = parts.groupby("coin").sum()
        return risk.assign(percentRisk=(100 * near.groupby(rows["coin"]).mean()).round(2))

    def truth_coin_metrics(self, t: datetime, coin: str) -> dict[str, float]:
        """Give the figures of a row of 21 by its names: counts, USD, coin units."""
        return _metrics(self.truth_positions_of(t, coin))

    def truth_coin_cohort_metrics(self, t: datetime, coin: str, cohort: int, recency: str = "all") -> dict[str, float]:
        """Give the figures of a row of 22, as `truth_coin_metrics`."""
        return _metrics(self.truth_positions_of(t, coin, cohort, recency))

    def truth_coin_bucket_metrics(self, t: datetime, coin: str, bucket: int) -> dict[str, float]:
        """Give the figures of a row of 23, as `truth_coin_metrics`; raises ValueError for a bucket that is none."""
        if not 1 <= bucket <= BUCKET_COUNT:
            raise ValueError(f"no size bucket {bucket}")
        rows = self.positions_at(t, coin)
        return _metrics(rows[rows["size_bucket_id"] == bucket])

    def truth_coin_row_times(self, coin: str, start: datetime, end: datetime) -> pd.DataFrame:
        """Give which rows 21 to 23 hold in [start, end], oldest first: `createdAt` (ISO) and the row's state time
        `stateAt` (aware), for which the figures are asked."""
        settings, code = self.settings, self.codes[coin]
        first_ms, last_ms = self.listings.clip(code, to_ms(start), to_ms(end))
        states, times = coin_rows(settings.seed, self.states, settings.metrics_jitter_ms, code, first_ms, last_ms)
        inside = (times >= first_ms) & (times <= last_ms)
        moments = [_moment(time) for time in self.states.times(states[inside]).tolist()]
        return pd.DataFrame({"createdAt": [iso(time) for time in times[inside].tolist()], "stateAt": moments})

    def truth_definitions(self, t: datetime) -> pd.DataFrame:
        """Give the rows of 25: `id`, `name`, `category`, `lower`, `upper` (USD, NaN is no bound)."""
        cohorts = self.cohorts.at(to_ms(self.state_at(t))).values()
        rows = [(one.id, one.name, one.axis, one.lower, one.upper) for one in cohorts]
        return pd.DataFrame(rows, columns=["id", "name", "category", "lower", "upper"])

    def truth_wallets(self, t: datetime) -> pd.DataFrame:
        """Give every wallet: `address`, `perpEquity`, `pnl` (USD), `sizeSegmentId`, `pnlSegmentId`."""
        figures = self.wallets.figures(to_ms(self.state_at(t)))
        return pd.DataFrame(
            {
                "address": self.wallets.addresses(np.arange(len(figures.equity))),
                "perpEquity": figures.equity,
                "pnl": figures.pnl,
                "sizeSegmentId": figures.size_cohort,
                "pnlSegmentId": figures.pnl_cohort,
            }
        )


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def _equity(rows: pd.DataFrame) -> float:
    return float(rows.drop_duplicates("address")["profile_perpEquity"].sum())


def _metrics(rows: pd.DataFrame) -> dict[str, float]:
    long = rows[rows["side"] == "long"]
    return {
        "positionCount": len(rows),
        "positionCountLong": len(long),
        "totalPositionValue": float(rows["value"].sum()),
        "totalPositionValueLong": float(long["value"].sum()),
        "totalFunding": float(rows["funding"].sum()),
        "totalUnrealizedPnl": float(rows["unrealizedPnl"].sum()),
        "totalPositionSize": float(rows["size"].sum()),
        "totalPositionSizeLong": float(long["size"].sum()),
    }
