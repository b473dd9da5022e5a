"""The registry: every API endpoint we collect, one declarative record each.

Belongs here: what an endpoint is called, how it is asked, how often it is due, what its payload must contain. Does not:
what a record can say (`endpoint`), how a request is made (`client`), what becomes of the payload (`orchestration.landing`,
dbt). To add an endpoint: one record here, one staging model and its yml in `dbt_project`. Numbers and quirks: the contract of
the API, by `number`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from orchestration.hypertracker import documented
from orchestration.hypertracker.endpoint import MEBIBYTE, Axis, Dataset, Dating, Defines, Delivery, LinkNote, Paging
from orchestration.hypertracker.forms import Form, of_columns, rooted, under
from orchestration.hypertracker.shapes import Anything, Columnar, Grouped, Moment, Records, Single, Table
from orchestration.planning.slots import Cadence

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

ORDER_IDENTITY = ("oid", "coin", "snapshotTs")

POSITION_FILE = Form(rooted(under("[]", of_columns(POSITION_COLUMNS))), file="csv")
ORDER_FILE = Form(
    rooted(under("[]", of_columns(ORDER_COLUMNS))), packed="gzip", time="$[].snapshotTs", updates=Cadence.FIVE_MINUTES.step
)
ORDER_PAGE = Form(
    rooted(under("orders[]", of_columns(ORDER_COLUMNS)) | documented.CURSOR), time="$.orders[].timestamp", newest_first=False
)

COUNTS_AND_VALUES = ("positionCount", "totalPositionValue", "totalPositionValueLong", "valueCloseToLiquidation")
COIN_SERIES = ("createdAt", "positionCount", "positionCountLong", "totalPositionValue", "totalPositionValueLong")

# Ways to ask for slots that the present endpoints no longer serve; what they bring is of the dataset that names them.

OPEN_POSITIONS_HISTORY = Dataset(
    name="open_positions_history", number=28, path="/coin/{coin}/open-positions/history", cadence=Cadence.QUARTER_HOUR,
    delivery=Delivery.LINK, form=POSITION_FILE,
    dating=Dating.PAYLOAD, columns=POSITION_COLUMNS, scope_column="coin", identity=("id", "coin"), accept="text/csv",
    scoped_by=(Axis.COIN,), query={"end": "{slot}"}, link_note=LinkNote("snapshot", "rowCount", "createdAt"),
    is_current_state=False, floor=datetime(2026, 3, 25, tzinfo=UTC),
    description="The open positions of a coin at a past state, with the number of rows they must have.",
)  # fmt: skip

ORDER_PAGES = Dataset(
    name="order_pages", number=10, path="/orders/5m-snapshots/{slot}", cadence=Cadence.FIVE_MINUTES,
    delivery=Delivery.INLINE, form=ORDER_PAGE,
    dating=Dating.PAYLOAD, columns=ORDER_COLUMNS, scope_column="coin", time_column="snapshotTs", identity=ORDER_IDENTITY,
    scoped_by=(Axis.COIN,), query={"coin": "{coin}"}, paging=Paging.CURSOR, rows_at="orders", is_current_state=False,
    reach=timedelta(days=30), description="Every open order of a coin on a past five-minute mark, page by page.",
)  # fmt: skip

ORDER_ARCHIVE = Dataset(
    name="order_archive", number=11, path="/orders/5m-snapshots/{slot}/download", cadence=Cadence.FIVE_MINUTES,
    delivery=Delivery.LINK, dating=Dating.PAYLOAD, columns=ORDER_COLUMNS, epoch_aliases={"snapshotTs": "snapshotTime"},
    time_column="snapshotTs", identity=ORDER_IDENTITY, is_current_state=False, cap_bytes=1024 * MEBIBYTE,
    floor=datetime(2026, 1, 19, 11, 5, tzinfo=UTC), ceiling=datetime(2026, 3, 13, tzinfo=UTC),
    description="Every open order of the exchange on a past five-minute mark, as one file.",
)  # fmt: skip

DATASETS: tuple[Dataset, ...] = (
    Dataset(
        name="state_status", number=29, path="/hypertracker/state/status", cadence=Cadence.QUARTER_HOUR,
        delivery=Delivery.INLINE, form=documented.STATE_STATUS, dating=Dating.PAYLOAD, cap_bytes=MEBIBYTE,
        priority=1, description="When the provider last updated its state; dates the payloads that carry no time of their own.",
        shape=Single(required=("lastUpdate",), snapshot="lastUpdate"),
    ),
    Dataset(
        name="segments", number=25, path="/segments", cadence=Cadence.DAY,
        delivery=Delivery.INLINE, form=documented.SEGMENTS, dating=Dating.SLOT, cap_bytes=MEBIBYTE,
        priority=1, description="The 16 wallet cohorts on their two axes, with bounds.", feeds=("dim_cohort",),
        identity=("id",), shape=Records(required=("id", "name", "category", "criteria")),
        defines=Defines("cohort", "id", ("name", "category", "criteria")),
    ),
    Dataset(
        name="coins", number=17, path="/positions/coins", cadence=Cadence.QUARTER_HOUR,
        delivery=Delivery.INLINE, form=documented.COINS, dating=Dating.STATE,
        priority=1, description="Open positions of every coin: value and count, long and short.",
        feeds=("dim_coin", "fct_coin_metrics"), identity=("coin",), adds_up=("totalValue", "totalValueLong", "totalValueShort"),
        shape=Records(required=("coin", "totalValue", "totalValueLong", "totalValueShort", "count", "countLong", "countShort")),
    ),
    Dataset(
        name="heatmap", number=20, path="/positions/heatmap", cadence=Cadence.QUARTER_HOUR,
        delivery=Delivery.INLINE, form=documented.HEATMAP, dating=Dating.STATE,
        priority=1, description="Open positions of every coin by cohort, both axes.", feeds=("fct_cohort_metrics",),
        identity=("coin", "segmentId"), shape=Records(
            at="heatmap", required=("coin", "segments"), within="segments",
            inner=("segmentId", "totalValue", "totalLongValue", "totalShortValue", "count", "countLong", "countShort"),
        ),
    ),
    Dataset(
        name="open_positions", number=16, path="/positions/open/coin/{coin}", cadence=Cadence.QUARTER_HOUR,
        delivery=Delivery.REDIRECT, form=POSITION_FILE,
        dating=Dating.STATE, accept="text/csv", columns=POSITION_COLUMNS, scope_column="coin", identity=("id", "coin"),
        scoped_by=(Axis.COIN,), past=(OPEN_POSITIONS_HISTORY,),
        priority=1, description="Every open position of a coin.", feeds=("fct_open_positions",),
        quirks="The file may hold rows of other coins; liquidation price 0 is none; wallet figures repeat on every position.",
    ),
    Dataset(
        name="order_snapshots", number=12, path="/orders/5m-snapshots/coins/{coin}/download", cadence=Cadence.FIVE_MINUTES,
        delivery=Delivery.LINK, form=ORDER_FILE,
        dating=Dating.PAYLOAD, columns=ORDER_COLUMNS, scope_column="coin", time_column="snapshotTs", identity=ORDER_IDENTITY,
        settle_s=40.0, scoped_by=(Axis.COIN,), past=(ORDER_PAGES, ORDER_ARCHIVE),
        priority=1, description="Every open order of a coin on a five-minute mark.",
        feeds=("fct_order_versions", "fct_order_liquidity"),
        quirks="Published some 40 s after its mark; gzip without Content-Encoding; orders may be years old.",
    ),
    Dataset(
        name="position_metrics_export", number=7, path="/exports/coins/{coin}/position-metrics", cadence=Cadence.TWO_HOURS,
        delivery=Delivery.REDIRECT, form=documented.POSITION_METRICS, dating=Dating.SERIES,
        scoped_by=(Axis.COIN,), window=timedelta(days=14), description="A coin's position counts and values over 14 days.",
        feeds=("fct_coin_metrics",), quirks="Six column names for rows of five values; first and last row lie off the grid.",
        shape=Columnar(
            at="metrics", coin="coin",
            required=("timestamp", "positionCount", "positionCountLong", "totalPositionValue", "totalPositionValueLong"),
        ),
    ),
    Dataset(
        name="segment_metrics_export", number=8, path="/exports/coins/{coin}/segment-metrics", cadence=Cadence.TWO_HOURS,
        delivery=Delivery.REDIRECT, form=documented.SEGMENT_METRICS, dating=Dating.SERIES,
        scoped_by=(Axis.COIN,), window=timedelta(days=7),
        description="A coin's position counts and values by cohort over 7 days.", feeds=("fct_cohort_metrics",),
        identity=("segment",), shape=Columnar(
            at="metrics", groups="data", coin="coin",
            required=("timestamp", "positionCount", "positionCountLong", "totalPositionValue", "totalPositionValueLong"),
        ),
    ),
    Dataset(
        name="breakdown_by_size_export", number=6, path="/exports/coins/{coin}/position-breakdown-by-size",
        cadence=Cadence.TWO_HOURS, delivery=Delivery.REDIRECT, form=documented.BREAKDOWN_BY_SIZE, dating=Dating.PAYLOAD,
        scoped_by=(Axis.COIN,), description="A coin's open positions by the ten ranges of position value.",
        feeds=("dim_size_bucket", "fct_size_bucket_metrics"),
        identity=("sizeSegmentId",), shape=Records(
            at="breakdownBySize", required=("sizeSegmentId", *COUNTS_AND_VALUES), snapshot="createdAt", coin="coin",
        ),
        defines=Defines("size bucket", "sizeSegmentId", ("size", "minSize", "maxSize"), at="breakdownBySize"),
    ),
    Dataset(
        name="breakdown_by_cohort_export", number=5, path="/exports/coins/{coin}/position-breakdown-by-cohort",
        cadence=Cadence.TWO_HOURS, delivery=Delivery.REDIRECT, form=documented.BREAKDOWN_BY_COHORT, dating=Dating.PAYLOAD,
        scoped_by=(Axis.COIN,), description="A coin's open positions by cohort, both axes.", feeds=("fct_cohort_metrics",),
        identity=("segment",), shape=Records(
            at="breakdownByCohort", required=("segment", *COUNTS_AND_VALUES), snapshot="createdAt", coin="coin",
        ),
    ),
    Dataset(
        name="liquidation_heatmap_export", number=3, path="/exports/coins/{coin}/liquidation-heatmap",
        cadence=Cadence.TWO_HOURS, delivery=Delivery.REDIRECT, form=documented.LIQUIDATION_HEATMAP, dating=Dating.STATE,
        scoped_by=(Axis.COIN,), description="Value that would be liquidated in each price range of a coin.",
        feeds=("fct_liquidation_heatmap",), quirks="Bins move with the price: an index names a bin within one snapshot only.",
        identity=("priceBinIndex",), shape=Records(
            at="heatmap", coin="coin",
            required=("priceBinIndex", "priceBinStart", "priceBinEnd", "liquidationValue", "positionsCount"),
        ),
    ),
    Dataset(
        name="market_metrics", number=18, path="/position-metrics/general", cadence=Cadence.QUARTER_HOUR,
        delivery=Delivery.INLINE, form=documented.MARKET_METRICS,
        dating=Dating.SERIES, paging=Paging.CURSOR, lookback=timedelta(hours=6), is_current_state=False,
        description="Counts, open interest and equity of the whole market every ten minutes.",
        feeds=("fct_market_metrics",),
        shape=Records(
            at="metrics", time="createdAt",
            required=(
                "id", "createdAt", "count", "countLong", "countShort", "openInterest", "openInterestLong",
                "openInterestShort", "perpEquity", "countInProfit",
            ),
        ),
        quirks="Rows come 34-334 ms after their ten-minute mark; marks may be missing; open interest counts both sides.",
    ),
    Dataset(
        name="latest_order_snapshot", number=13, path="/orders/5m-snapshots/latest-snapshot-timestamp",
        cadence=Cadence.FIVE_MINUTES, delivery=Delivery.INLINE, form=documented.LATEST_ORDER_SNAPSHOT,
        dating=Dating.PAYLOAD, cap_bytes=MEBIBYTE, settle_s=40.0,
        priority=3, description="The mark of the newest order snapshot.", feeds=("fct_reconciliations",), shape=Moment(),
        quirks="The body is one JSON string.",
    ),
    Dataset(
        name="positions_export", number=4, path="/exports/coins/{coin}/positions", cadence=Cadence.TWO_HOURS,
        delivery=Delivery.REDIRECT, dating=Dating.STATE, scoped_by=(Axis.COIN,), shape=Anything(), is_optional=True,
        priority=3, description="An export of a coin whose shape nobody has documented: kept, and described by its keys.",
        feeds=("fct_payload_keys",), quirks="Unknown shape; 404 is no failure.",
    ),
    Dataset(
        name="segments_bias_export", number=2, path="/exports/segments-bias-charts-data-24h", cadence=Cadence.TWO_HOURS,
        delivery=Delivery.REDIRECT, form=documented.SEGMENTS_BIAS,
        dating=Dating.SERIES, identity=("segmentId",), shape=Grouped(("timestamp", "bias"), group="segmentId"),
        window=timedelta(hours=72),
        description="Bias of each cohort over 72 hours, positions opened within 24 hours.", feeds=("fct_cohort_bias",),
        quirks="Wrapper and columns are undocumented; its bias is told apart from the other two.",
    ),
    Dataset(
        name="wallets_equity_export", number=1, path="/exports/total-wallets-equity-chart-data", cadence=Cadence.TWO_HOURS,
        delivery=Delivery.REDIRECT, form=documented.WALLETS_EQUITY, dating=Dating.SERIES, is_current_state=False,
        description="Equity of all wallets, whole and by part, since 2025-08-20.",
        feeds=("fct_wallet_equity", "fct_wallet_equity_highs"),
        shape=Columnar(at="history", required=("timestamp", "totalWalletsEquity", "perpWalletsEquity")),
        quirks="Down-sampled anew at every download; vault equity is null, then once 0, then real; highs are no single moment.",
    ),
    Dataset(
        name="perp_pnl_leaderboard", number=14, path="/leaderboards/perp-pnl/{period}/download", cadence=Cadence.DAY,
        delivery=Delivery.LINK, form=documented.LEADERBOARD, dating=Dating.SLOT, scoped_by=(Axis.PERIOD,),
        spellings={"day": "24h", "week": "7d", "month": "30d"}, identity=("address",), shape=Table(("address",)),
        description="Wallets by profit of a period, at most 25,000.", feeds=("fct_perp_pnl_leaderboard",),
        quirks="Periods have two spellings; format and columns of the file are undocumented.",
    ),
    Dataset(
        name="liquidation_risk", number=24, path="/{cohort}/assets/liquidation-risk", cadence=Cadence.TWO_HOURS,
        delivery=Delivery.INLINE, form=documented.LIQUIDATION_RISK,
        dating=Dating.STATE, scoped_by=(Axis.COHORT,), paging=Paging.OFFSET, page_limit=500,
        description="A cohort's open value by coin, and how much of it is near liquidation.", feeds=("fct_liquidation_risk",),
        identity=("coin",), shape=Records(at="items", required=("coin", "totalValue", "riskValue", "percentRisk")),
        quirks="The reported percentage does not follow from the values beside it.",
    ),
    Dataset(
        name="segment_summary", number=26, path="/segments/{cohort}/summary", cadence=Cadence.QUARTER_HOUR,
        delivery=Delivery.INLINE, form=documented.SEGMENT_SUMMARY,
        dating=Dating.STATE, scoped_by=(Axis.COHORT, Axis.AGE), query={"positionAge": "{age}"},
        description="A cohort's traders, positions and equity, by age of position.", feeds=("fct_cohort_summary",),
        shape=Single(required=("segment", "openPerpsSummary")),
        quirks="Inline or redirected; ages other than `all` lack some fields; an unknown age is storage's 404.",
    ),
    Dataset(
        name="segment_bias_history", number=27, path="/segments/{cohort}/bias-history", cadence=Cadence.DAY,
        delivery=Delivery.INLINE, form=documented.SEGMENT_BIAS_HISTORY, dating=Dating.SERIES, scoped_by=(Axis.COHORT, Axis.AGE),
        query={"positionRecencyTimeframe": "{age}"}, paging=Paging.CURSOR, lookback=timedelta(days=3),
        is_current_state=False, description="A cohort's signed exposure every two hours.", feeds=("fct_cohort_bias",),
        shape=Columnar(
            at=None, columns="historySnapshotStructure", rows="history",
            required=("timestamp", "bias", "openValue", "openLongValue", "openShortValue", "activePerpEquity"),
        ),
        quirks="`bias` is signed and may exceed 1; without `start` other parameters are refused.",
    ),
    Dataset(
        name="perp_volume", number=19, path="/metrics/perp-volume", cadence=Cadence.TWO_HOURS,
        delivery=Delivery.INLINE, form=documented.PERP_VOLUME,
        dating=Dating.SERIES, paging=Paging.CURSOR, lookback=timedelta(days=2),
        is_current_state=False, description="Rolling 24-hour volume of the exchange, hourly.",
        feeds=("fct_perp_volume", "fct_perp_volume_daily"),
        shape=Records(at="metrics", time="createdAt", required=("id", "createdAt", "volume")),
        quirks="A rolling total: rows are never summed.",
    ),
    Dataset(
        name="coin_metrics", number=21, path="/position-metrics/coin/{coin}", cadence=Cadence.QUARTER_HOUR,
        delivery=Delivery.INLINE, form=documented.COIN_METRICS,
        dating=Dating.SERIES, scoped_by=(Axis.COIN,), paging=Paging.CURSOR,
        lookback=timedelta(hours=6), is_current_state=False, feeds=("fct_coin_metrics",),
        description="A coin's position counts, values, sizes, funding and profit at every state.",
        shape=Records(at="metrics", time="createdAt", required=COIN_SERIES),
        quirks="Times differ by coin within a state; a coin in another case gives an empty list.",
    ),
    Dataset(
        name="coin_cohort_metrics", number=22, path="/position-metrics/coin/{coin}/segment/{cohort}", cadence=Cadence.DAY,
        delivery=Delivery.INLINE, form=documented.COIN_COHORT_METRICS,
        dating=Dating.SERIES, scoped_by=(Axis.COHORT, Axis.COIN), paging=Paging.CURSOR,
        lookback=timedelta(days=3), is_current_state=False, feeds=("fct_cohort_metrics",),
        priority=3, description="A coin's position counts and values in one cohort at every state.",
        shape=Records(at="metrics", time="createdAt", required=COIN_SERIES), floor=datetime(2026, 2, 19, tzinfo=UTC),
        quirks="One request a coin and cohort; a cohort's longs and shorts do not balance.",
    ),
    Dataset(
        name="coin_size_bucket_metrics", number=23, path="/position-metrics/coin/{coin}/position-size-bucket/{size_bucket}",
        cadence=Cadence.DAY, delivery=Delivery.INLINE, form=documented.COIN_METRICS,
        dating=Dating.SERIES, scoped_by=(Axis.SIZE_BUCKET, Axis.COIN),
        paging=Paging.CURSOR, lookback=timedelta(days=3), is_current_state=False, feeds=("fct_size_bucket_metrics",),
        priority=3, description="A coin's position counts and values in one range of position value at every state.",
        shape=Records(at="metrics", time="createdAt", required=COIN_SERIES),
        quirks="The bucket is not echoed: it is known from the request.",
    ),
    Dataset(
        name="positions", number=15, path="/positions", cadence=Cadence.DAY, delivery=Delivery.INLINE, form=documented.POSITIONS,
        dating=Dating.SERIES,
        scoped_by=(Axis.COIN,), query={"coin": "{coin}"}, paging=Paging.CURSOR, lookback=timedelta(days=7),
        is_current_state=False,
        requests_a_poll=20,  # the largest coins open some twenty pages of positions a week
        description="Positions of a coin opened in the last days, from opening to close.",
        feeds=("fct_positions",), floor=datetime(2025, 4, 4, tzinfo=UTC),
        identity=("id", "coin"),
        shape=Records(at="positions", time="updatedAt", required=("id", "coin", "side", "size", "openTime", "updatedAt")),
        quirks="`start` filters the opening time; rows change until the close; liquidation prices are real from 2025-09-02.",
    ),
)  # fmt: skip

BY_NAME: dict[str, Dataset] = {dataset.name: dataset for dataset in DATASETS}

# Everything a fetch record may name: datasets, and the ways to ask for their past.
SOURCES: dict[str, Dataset] = BY_NAME | {source.name: source for dataset in DATASETS for source in dataset.past}
