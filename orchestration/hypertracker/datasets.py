"""The registry: every API endpoint we collect, one declarative record each.

Belongs here: what an endpoint is called, how it is asked, how often it is due, what its payload must contain. Does not:
how a request is made (`client`), what becomes of the payload (`orchestration.landing`, dbt). To add an endpoint: one
record here, one staging model and its yml in `dbt_project`. Numbers and quirks: the contract of the API, by `number`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import quote

from orchestration.hypertracker.shapes import Columnar, Records, Shape, Single
from orchestration.planning.slots import Cadence

MEBIBYTE = 1 << 20
PAGE_LIMIT = 1000


class Delivery(StrEnum):
    """How an endpoint is documented to hand over its payload; the client takes any of them from any endpoint."""

    INLINE = "inline"
    REDIRECT = "redirect"
    LINK = "link"


class Dating(StrEnum):
    """Where a payload's snapshot time comes from."""

    PAYLOAD = "payload"
    STATE = "state"
    SLOT = "slot"
    SERIES = "series"


@dataclass(frozen=True)
class Dataset:
    """One endpoint as something we collect.

    `path` may hold `{coin}`; then the dataset has one scope a coin, else one scope, the whole market (`''`). Exactly one of
    `shape` (the payload is kept as a JSON document) and `columns` (it becomes rows under the source's names) is set.
    `lookback` is how far before its slot a series asks; `settle_s` how long after the slot its payload is published.
    """

    name: str
    number: int
    path: str
    cadence: Cadence
    delivery: Delivery
    dating: Dating
    description: str
    feeds: tuple[str, ...] = ()
    shape: Shape | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    scope_column: str | None = None
    time_column: str | None = None
    accept: str = "application/json"
    paged: bool = False
    lookback: timedelta | None = None
    settle_s: float = 0.0
    is_current_state: bool = True
    cap_bytes: int = 256 * MEBIBYTE

    @property
    def is_per_coin(self) -> bool:
        return "{coin}" in self.path

    @property
    def suffix(self) -> str:
        """The kind of text inside the payload, as a file name ends."""
        return ".csv" if self.accept == "text/csv" else ".json"

    def url_path(self, scope: str) -> str:
        """The path for one scope; coin names are percent-encoded as one segment, otherwise unchanged."""
        return self.path.format(coin=quote(scope, safe=""))

    def params(self, slot: datetime) -> dict[str, str]:
        """Query parameters of the first request for a slot (UTC)."""
        values = {"limit": str(PAGE_LIMIT)} if self.paged else {}
        if self.lookback is not None:
            values |= {"start": iso_utc(slot - self.lookback)}
        return values


def iso_utc(moment: datetime) -> str:
    """`2026-02-25T00:00:00.000Z`, the only form the API takes."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


POSITION_COLUMNS = {
    **dict.fromkeys(("id", "address", "coin", "side", "dex"), "varchar"),
    **dict.fromkeys(("size", "value", "entryPrice", "unrealizedPnl", "funding"), "double"),
    **dict.fromkeys(("liquidationPrice", "liquidationProgress", "crossLeverage", "isolatedLeverage"), "double"),
    "openTime": "timestamp",
    **dict.fromkeys(("profile_totalEquity", "profile_perpEquity"), "double"),
    "profile_countOpenPositions": "bigint",
    **dict.fromkeys(("profile_pnl", "profile_balance"), "double"),
    **dict.fromkeys(("profile_perpPnlSegmentId", "profile_sizeSegmentId"), "bigint"),
}

ORDER_COLUMNS = {
    "height": "bigint", "address": "varchar", "oid": "bigint", "coin": "varchar", "side": "varchar",
    "limitPx": "double", "sz": "double", "timestamp": "timestamp", "triggerCondition": "varchar",
    "isTrigger": "boolean", "triggerPx": "double", "children": "json", "isPositionTpsl": "boolean",
    "reduceOnly": "boolean", "orderType": "varchar", "origSz": "double", "tif": "varchar", "cloid": "varchar",
    "status": "varchar", "builder": "varchar", "builderFee": "double", "untriggered": "boolean",
    "snapshotTs": "timestamp",
}  # fmt: skip

COUNTS_AND_VALUES = ("positionCount", "totalPositionValue", "totalPositionValueLong", "valueCloseToLiquidation")

DATASETS: tuple[Dataset, ...] = (
    Dataset(
        name="state_status", number=29, path="/hypertracker/state/status", cadence=Cadence.QUARTER_HOUR,
        delivery=Delivery.INLINE, dating=Dating.PAYLOAD, cap_bytes=MEBIBYTE,
        description="When the provider last updated its state; dates the payloads that carry no time of their own.",
        shape=Single(required=("lastUpdate",), snapshot="lastUpdate"),
    ),
    Dataset(
        name="segments", number=25, path="/segments", cadence=Cadence.DAY,
        delivery=Delivery.INLINE, dating=Dating.SLOT, cap_bytes=MEBIBYTE,
        description="The 16 wallet cohorts on their two axes, with bounds.", feeds=("dim_cohort",),
        shape=Records(required=("id", "name", "category", "criteria")),
    ),
    Dataset(
        name="coins", number=17, path="/positions/coins", cadence=Cadence.QUARTER_HOUR,
        delivery=Delivery.INLINE, dating=Dating.STATE,
        description="Open positions of every coin: value and count, long and short.",
        feeds=("dim_coin", "fct_coin_metrics"),
        shape=Records(required=("coin", "totalValue", "totalValueLong", "totalValueShort", "count", "countLong", "countShort")),
    ),
    Dataset(
        name="heatmap", number=20, path="/positions/heatmap", cadence=Cadence.QUARTER_HOUR,
        delivery=Delivery.INLINE, dating=Dating.STATE,
        description="Open positions of every coin by cohort, both axes.", feeds=("fct_cohort_metrics",),
        shape=Records(
            at="heatmap", required=("coin", "segments"), within="segments",
            inner=("segmentId", "totalValue", "totalLongValue", "totalShortValue", "count", "countLong", "countShort"),
        ),
    ),
    Dataset(
        name="open_positions", number=16, path="/positions/open/coin/{coin}", cadence=Cadence.QUARTER_HOUR,
        delivery=Delivery.REDIRECT, dating=Dating.STATE, accept="text/csv", columns=POSITION_COLUMNS, scope_column="coin",
        description="Every open position of a coin.", feeds=("fct_open_positions",),
    ),
    Dataset(
        name="order_snapshots", number=12, path="/orders/5m-snapshots/coins/{coin}/download", cadence=Cadence.FIVE_MINUTES,
        delivery=Delivery.LINK, dating=Dating.PAYLOAD, columns=ORDER_COLUMNS, scope_column="coin", time_column="snapshotTs",
        settle_s=40.0, description="Every open order of a coin on a five-minute mark.",
        feeds=("fct_order_versions", "fct_order_liquidity"),
    ),
    Dataset(
        name="position_metrics_export", number=7, path="/exports/coins/{coin}/position-metrics", cadence=Cadence.TWO_HOURS,
        delivery=Delivery.REDIRECT, dating=Dating.SERIES,
        description="A coin's position counts and values over 14 days.", feeds=("fct_coin_metrics",),
        shape=Columnar(
            at="metrics", coin="coin",
            required=("timestamp", "positionCount", "positionCountLong", "totalPositionValue", "totalPositionValueLong"),
        ),
    ),
    Dataset(
        name="segment_metrics_export", number=8, path="/exports/coins/{coin}/segment-metrics", cadence=Cadence.TWO_HOURS,
        delivery=Delivery.REDIRECT, dating=Dating.SERIES,
        description="A coin's position counts and values by cohort over 7 days.", feeds=("fct_cohort_metrics",),
        shape=Columnar(
            at="metrics", groups="data", coin="coin",
            required=("timestamp", "positionCount", "positionCountLong", "totalPositionValue", "totalPositionValueLong"),
        ),
    ),
    Dataset(
        name="breakdown_by_size_export", number=6, path="/exports/coins/{coin}/position-breakdown-by-size",
        cadence=Cadence.TWO_HOURS, delivery=Delivery.REDIRECT, dating=Dating.PAYLOAD,
        description="A coin's open positions by the ten ranges of position value.",
        feeds=("dim_size_bucket", "fct_size_bucket_metrics"),
        shape=Records(
            at="breakdownBySize", required=("sizeSegmentId", *COUNTS_AND_VALUES), snapshot="createdAt", coin="coin",
        ),
    ),
    Dataset(
        name="breakdown_by_cohort_export", number=5, path="/exports/coins/{coin}/position-breakdown-by-cohort",
        cadence=Cadence.TWO_HOURS, delivery=Delivery.REDIRECT, dating=Dating.PAYLOAD,
        description="A coin's open positions by cohort, both axes.", feeds=("fct_cohort_metrics",),
        shape=Records(
            at="breakdownByCohort", required=("segment", *COUNTS_AND_VALUES), snapshot="createdAt", coin="coin",
        ),
    ),
    Dataset(
        name="liquidation_heatmap_export", number=3, path="/exports/coins/{coin}/liquidation-heatmap",
        cadence=Cadence.TWO_HOURS, delivery=Delivery.REDIRECT, dating=Dating.STATE,
        description="Value that would be liquidated in each price range of a coin.", feeds=("fct_liquidation_heatmap",),
        shape=Records(
            at="heatmap", coin="coin",
            required=("priceBinIndex", "priceBinStart", "priceBinEnd", "liquidationValue", "positionsCount"),
        ),
    ),
    Dataset(
        name="market_metrics", number=18, path="/position-metrics/general", cadence=Cadence.QUARTER_HOUR,
        delivery=Delivery.INLINE, dating=Dating.SERIES, paged=True, lookback=timedelta(hours=6), is_current_state=False,
        description="Counts, open interest and equity of the whole market every ten minutes.",
        feeds=("fct_market_metrics",),
        shape=Records(
            at="metrics", time="createdAt",
            required=(
                "id", "createdAt", "count", "countLong", "countShort", "openInterest", "openInterestLong",
                "openInterestShort", "perpEquity", "countInProfit",
            ),
        ),
    ),
)  # fmt: skip

BY_NAME: Mapping[str, Dataset] = {dataset.name: dataset for dataset in DATASETS}
