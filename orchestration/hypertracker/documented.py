"""The forms of the answers as documented, or as assumed where no page says (contract, by the number of the dataset).

Belongs here: one constant a form, which the record of its dataset names. Does not: how a dataset is asked (`datasets`).
"""

from __future__ import annotations

from datetime import timedelta

from orchestration.hypertracker.forms import UNVALUED, Form, maybe, number, opaque, rooted, text, time, under

STATE = timedelta(minutes=16)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

CURSOR = text("nextCursor")
COHORT = number("id") | text("name", "category") | maybe(text("emoji")) | opaque("object", "criteria")
BREAKDOWN = number(
    "positionCount", "pastPositionCount", "totalPositionValue", "pastTotalPositionValue", "totalPositionValueLong",
    "valueCloseToLiquidation", "bias",
)  # fmt: skip
SHORT_NAMES = number("totalValue", "totalLongValue", "totalShortValue", "count", "countLong", "countShort")
METRIC_COLUMNS = time("timestamp") | number(
    "positionCount", "positionCountLong", "totalPositionValue", "totalPositionValueLong"
)  # fmt: skip
COIN_VALUES = number(
    "positionCount", "positionCountLong", "totalPositionValue", "totalPositionValueLong", "totalFunding",
    "totalUnrealizedPnl", "totalPositionSize", "totalPositionSizeLong",
)  # fmt: skip
BIAS_COLUMNS = time("timestamp") | number(
    "bias", "exposureRatio", "openValue", "openLongValue", "openShortValue", "activePerpEquity"
)  # fmt: skip
EQUITY_PARTS = number(
    "totalWalletsEquity", "perpWalletsEquity", "spotWalletsEquity", "stakingWalletsEquity", "vaultWalletsEquity"
)  # fmt: skip


def _series(columns: dict[str, str], step: timedelta, updates: timedelta) -> Form:
    """Pages of rows under `metrics`, newest first."""
    keys = rooted(under("metrics[]", columns) | CURSOR)
    return Form(keys, time="$.metrics[].createdAt", newest_first=True, step=step, updates=updates)


STATE_STATUS = Form(rooted(time("lastUpdate", "nextUpdate", "nextUpdateThreshold")), time="$.lastUpdate", updates=STATE)
SEGMENTS = Form(rooted(under("[]", COHORT)))
COINS = Form(
    rooted(
        under("[]", text("coin") | number("totalValue", "totalValueLong", "totalValueShort", "count", "countLong", "countShort"))
    )
)
HEATMAP = Form(
    rooted(
        under("heatmap[]", text("coin") | SHORT_NAMES | under("segments[]", number("segmentId") | SHORT_NAMES | number("bias")))
    )
)
POSITION_METRICS = Form(
    rooted(text("coin") | under("metrics<rows>", {"coin": UNVALUED} | METRIC_COLUMNS)),
    time="$.metrics<rows>.timestamp", newest_first=True, step=2 * HOUR, window=14 * DAY, updates=STATE,
)  # fmt: skip
SEGMENT_METRICS = Form(
    rooted(
        text("coin") | under("data[]", under("segment", COHORT) | under("metrics<rows>", METRIC_COLUMNS | number("bias")))
    ),
    time="$.data[].metrics<rows>.timestamp", newest_first=True, step=12 * HOUR, window=7 * DAY, updates=STATE,
)  # fmt: skip
BREAKDOWN_BY_SIZE = Form(
    rooted(
        text("coin") | time("createdAt")
        | under("breakdownBySize[]", number("sizeSegmentId") | text("size") | number("minSize", "maxSize") | BREAKDOWN)
    ),
    time="$.createdAt", updates=STATE,
)  # fmt: skip
BREAKDOWN_BY_COHORT = Form(
    rooted(text("coin") | time("createdAt") | under("breakdownByCohort[]", under("segment", COHORT) | BREAKDOWN)),
    time="$.createdAt", updates=STATE, is_assumed=True,
)  # fmt: skip
LIQUIDATION_HEATMAP = Form(
    rooted(
        text("coin")
        | under("heatmap[]", text("coin") | number(
            "priceBinIndex", "priceBinStart", "priceBinEnd", "liquidationValue", "positionsCount", "mostImpactedSegment"
        ))
    )
)  # fmt: skip
MARKET_METRICS = _series(
    number("id") | time("createdAt") | number(
        "count", "countLong", "countShort", "openInterest", "openInterestLong", "openInterestShort", "perpEquity", "countInProfit"
    ),
    step=timedelta(minutes=10), updates=timedelta(minutes=10),
)  # fmt: skip
LATEST_ORDER_SNAPSHOT = Form(time("$"), time="$", updates=timedelta(minutes=5))
SEGMENTS_BIAS = Form(
    rooted(under("[]", number("segmentId") | under("<rows>", BIAS_COLUMNS))),
    time="$[]<rows>.timestamp", step=HOUR / 2, window=3 * DAY, updates=HOUR / 2, is_assumed=True,
)  # fmt: skip
WALLETS_EQUITY = Form(
    rooted(
        under("athData<row>", EQUITY_PARTS) | under("data24HoursAgo<row>", EQUITY_PARTS)
        | under("history<rows>", time("timestamp") | EQUITY_PARTS)
    ),
    time="$.history<rows>.timestamp", newest_first=False,
)  # fmt: skip
LEADERBOARD = Form(
    rooted(
        under("[]", text("address") | number(
            "rank", "previousRank", "perpEquity", "openValue", "openValueLong", "exposureRatio", "bias",
            *(f"{figure}{span}" for span in ("Day", "Week", "Month", "AllTime") for figure in ("pnl", "volume", "pnlPercent")),
        ))
    ),
    is_assumed=True,
)  # fmt: skip
LIQUIDATION_RISK = Form(
    rooted(number("totalCount") | under("items[]", text("coin") | number("totalValue", "riskValue", "percentRisk")))
)
SEGMENT_SUMMARY = Form(
    rooted(
        under("segment", COHORT)
        | under("openPerpsSummary", number(
            "perpBias", "exposureRatio", "countOpenPositions", "countTradersInPosition", "countTradersInProfit", "totalValue",
            "totalLongValue", "totalActivePerpEquity", "totalPerpEquity", "countAssets",
        ) | opaque("object", "bySide"))
        | under("summary", number(
            "countTraders", "countTradersInPosition", "perpBias", "positionValue", "positionLongValue", "positionShortValue",
            "exposureRatio", "activePerpEquity", "perpEquity",
        ) | maybe(number("countTraders24hAgo")))
        | maybe(opaque("list", "topAssets"))
    )
)  # fmt: skip
SEGMENT_BIAS_HISTORY = Form(
    rooted(
        under("segment", COHORT) | text("positionRecencyTimeframe") | time("start", "end") | CURSOR
        | time("pageStart", "pageEnd") | under("<rows>", BIAS_COLUMNS)
    ),
    time="$<rows>.timestamp", newest_first=True, step=2 * HOUR, updates=2 * HOUR,
)  # fmt: skip
PERP_VOLUME = _series(number("id") | time("createdAt") | number("volume"), step=HOUR, updates=HOUR)
COIN_METRICS = _series(number("id") | time("createdAt") | text("coin") | COIN_VALUES, step=STATE, updates=STATE)
COIN_COHORT_METRICS = _series(
    number("id") | time("createdAt") | text("coin") | number("segmentId") | COIN_VALUES, step=STATE, updates=STATE
)
POSITIONS = Form(
    rooted(
        under("positions[]",
            text("address") | number("size", "entryPrice") | text("side") | number("crossLeverage", "maxLeverage")
            | text("coin") | number(
                "szDecimals", "markPrice", "midPrice", "premiumPrice", "assetMaxLeverage", "positionValue", "liquidationPrice",
                "unrealizedPnl", "funding",
            )
            | time("openTime", "closeTime", "updatedAt", "createdAt") | number("isolatedLeverage") | text("id", "dex")
            | under("profile", text("address") | opaque("list", "segments"))
        ) | CURSOR
    ),
    time="$.positions[].openTime", newest_first=False,
)  # fmt: skip
