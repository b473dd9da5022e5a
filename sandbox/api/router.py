"""Which path is answered by which handler: the contract's table of endpoints."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

from sandbox.api import (
    cohorts,
    coin_exports,
    current,
    metrics,
    open_positions,
    orders,
    positions,
    wallets,
)
from sandbox.wire import ApiError, Exchange, Reply, not_found

PREFIX = "/api/external"
Handler = Callable[[Exchange], Reply]

# Fixed words come before variables where both would fit.
ROUTES: tuple[tuple[str, Handler], ...] = (
    ("/exports/total-wallets-equity-chart-data", wallets.equity_export),
    ("/exports/segments-bias-charts-data-24h", cohorts.bias_export),
    ("/exports/coins/{coin}/{file}", coin_exports.coin_export),
    ("/orders/5m-snapshots/latest", orders.latest),
    ("/orders/5m-snapshots/latest-snapshot-timestamp", orders.latest_time),
    ("/orders/5m-snapshots/coins/{coin}/download", orders.coin_file),
    ("/orders/5m-snapshots/{snapshotTime}", orders.at_time),
    ("/orders/5m-snapshots/{snapshotTime}/download", orders.archive_file),
    ("/leaderboards/perp-pnl/{period}/download", wallets.leaderboard),
    ("/positions", positions.positions),
    ("/positions/coins", current.coins),
    ("/positions/heatmap", current.heatmap),
    ("/positions/open/coin/{coin}", open_positions.open_positions),
    ("/position-metrics/general", metrics.general),
    ("/position-metrics/coin/{coin}", metrics.coin),
    ("/position-metrics/coin/{coin}/segment/{segment}", metrics.coin_cohort),
    ("/position-metrics/coin/{coin}/position-size-bucket/{sizeBucketId}", metrics.coin_bucket),
    ("/metrics/perp-volume", metrics.perp_volume),
    ("/segments", current.segments),
    ("/segments/{segmentId}/summary", cohorts.summary),
    ("/segments/{segmentId}/bias-history", cohorts.bias_history),
    ("/coin/{coin}/open-positions/history", open_positions.history),
    ("/hypertracker/state/status", current.state_status),
    ("/{segmentId}/assets/liquidation-risk", current.liquidation_risk),
)


def answer(exchange: Exchange) -> Reply:
    """Answer a request of the API leg; refusals become replies."""
    try:
        handler, exchange.args = find(exchange.path)
        return handler(exchange)
    except ApiError as refusal:
        return refusal.reply


def find(path: str) -> tuple[Handler, dict[str, str]]:
    """Give the handler of a raw path and the decoded variable parts; 404 where there is none."""
    if path.startswith(PREFIX + "/"):
        parts = path[len(PREFIX) + 1 :].split("/")
        for pattern, handler in ROUTES:
            names = pattern[1:].split("/")
            if len(names) == len(parts) and all(
                name.startswith("{") or name == part for name, part in zip(names, parts, strict=True)
            ):
                pairs = zip(names, parts, strict=True)
                return handler, {name[1:-1]: unquote(part) for name, part in pairs if name.startswith("{")}
    raise not_found(f"Cannot GET {path}")
