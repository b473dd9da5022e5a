"""What a sandbox is told: size, seed, clock, plan, ports.

Only values live here; nothing reads the environment. Plans and their quotas are in `limits`, faults in `faults`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from sandbox.drift import Drift
from sandbox.shapes import Shapes

FULL_COINS = 330
FULL_POSITIONS = 210_000
FULL_ORDERS = 350_000

PLANTABLE = (
    "coins",
    "heatmap",
    "breakdown_by_size",
    "breakdown_by_cohort",
    "position_metrics",
    "segment_metrics",
    "open_positions",
    "liquidation_heatmap",
    "market_metrics",
    "coin_metrics",
    "open_positions_history",
    "orders_missing",
    "orders_twice",
)
"""Answers that can be planted with the error of one position (the last two: of one order) and disagree with all others."""


def utc_now() -> datetime:
    """Give the wall clock in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class SandboxSettings:
    """Everything that decides what a sandbox serves; two sandboxes with equal settings serve equal bytes at equal times.

    `start` and all times are UTC. `positions` is the approximate number of open positions, `orders` the exact number
    of resting orders. `per_minute`, `per_day` and `per_month` replace the plan's figures where they are set.

    `planted_error` is one of `PLANTABLE` or empty: that endpoint alone answers as if one position of `planted_coin` were
    missing, in count and value: 17, 20, 6, 5, the newest row of 7 and 8, a row of the file of 16, 3, every row of 18 and
    of 21, `rowCount` of 28, and an order of the file of 12 missing or given twice.

    `drift` is what changes about coins, cohorts and past values while time passes, `shapes` the form of answers that the
    contract leaves open. The last coins are called `coin_names`, where there are any.
    """

    coins: int = 12
    positions: int = 2_400
    orders: int = 1_500
    seed: int = 7
    start: datetime = field(default_factory=utc_now)
    clock: Literal["running", "manual"] = "running"
    speed: float = 1.0
    token: str = "sandbox-token"
    plan: str = "none"
    per_minute: int | None = None
    per_day: int | None = None
    per_month: int | None = None
    host: str = "127.0.0.1"
    api_port: int = 0
    storage_port: int = 0
    link_life_s: float = 30.0
    foreign_share: float = 0.02
    summary_delivery: Literal["inline", "redirect"] = "inline"
    metrics_jitter_ms: int = 250
    silent_dexes: tuple[str, ...] = ()
    planted_error: str = ""
    planted_coin: str = "BTC"
    coin_names: tuple[str, ...] = ()
    drift: tuple[Drift, ...] = ()
    shapes: Shapes = field(default_factory=Shapes)

    def __post_init__(self) -> None:
        """Refuse settings that no market can be made of."""
        if self.coins < max(1, len(self.coin_names)) or self.positions < self.coins or self.orders < self.coins:
            raise ValueError(
                "a sandbox needs at least 1 coin, all that have a name among them, and 1 position and 1 order a coin"
            )
        if self.start.tzinfo is None:
            raise ValueError("start must carry a time zone")
        if self.speed <= 0:
            raise ValueError("speed must be above 0")
        if self.planted_error and self.planted_error not in PLANTABLE:
            raise ValueError(f"unknown planted error {self.planted_error!r}; one of {', '.join(PLANTABLE)}")
