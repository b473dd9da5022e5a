"""The sixteen cohorts and ten size buckets, as the provider publishes them.

Which wallet is in which cohort belongs to `wallets`, which position in which bucket to `positions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sandbox.market.hashing import Array

COHORT_COUNT = 16
BUCKET_COUNT = 10


@dataclass(frozen=True)
class Cohort:
    """One wallet cohort; bounds are USD, half-open [lower, upper), None is no bound."""

    id: int
    name: str
    axis: str
    emoji: str
    lower: float | None
    upper: float | None

    @property
    def criteria(self) -> dict[str, float]:
        """Give the bounds as the API names them; an open end is absent (the contract leaves absent or null open)."""
        suffix = "Size" if self.axis == "size" else "Pnl"
        bounds = {f"min{suffix}": self.lower, f"max{suffix}": self.upper}
        return {name: bound for name, bound in bounds.items() if bound is not None}

    def as_json(self) -> dict[str, Any]:
        """Give the object of `/segments`."""
        return {
            "id": self.id,
            "name": self.name,
            "category": self.axis,
            "emoji": self.emoji,
            "criteria": self.criteria,
        }


# Each axis ascends by bound; ids do not.
SIZE_COHORTS = (
    Cohort(16, "Shrimp", "size", "🦐", 0, 250),
    Cohort(1, "Fish", "size", "🐟", 250, 10_000),
    Cohort(2, "Dolphin", "size", "🐬", 10_000, 50_000),
    Cohort(3, "Apex Predator", "size", "🦈", 50_000, 100_000),
    Cohort(4, "Small Whale", "size", "🐋", 100_000, 500_000),
    Cohort(5, "Whale", "size", "🐳", 500_000, 1_000_000),
    Cohort(6, "Tidal Whale", "size", "🌊", 1_000_000, 5_000_000),
    Cohort(7, "Leviathan", "size", "🐉", 5_000_000, None),
)
PNL_COHORTS = (
    Cohort(15, "Giga-Rekt", "pnl", "💀", None, -1_000_000),
    Cohort(14, "Full Rekt", "pnl", "🔥", -1_000_000, -100_000),
    Cohort(13, "Semi-Rekt", "pnl", "🩹", -100_000, -10_000),
    Cohort(12, "Exit Liquidity", "pnl", "🚪", -10_000, 0),
    Cohort(11, "Humble Earner", "pnl", "🌱", 0, 10_000),
    Cohort(10, "Consistent Grinder", "pnl", "⚙️", 10_000, 100_000),
    Cohort(9, "Smart Money", "pnl", "🧠", 100_000, 1_000_000),
    Cohort(8, "Money Printer", "pnl", "💸", 1_000_000, None),
)
COHORTS = {cohort.id: cohort for cohort in sorted(SIZE_COHORTS + PNL_COHORTS, key=lambda cohort: cohort.id)}

BUCKET_EDGES_USD = (1_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000)
BUCKET_LABELS = (
    "<$1k",
    "$1k-$10k",
    "$10k-$25k",
    "$25k-$50k",
    "$50k-$100k",
    "$100k-$250k",
    "$250k-$500k",
    "$500k-$1m",
    "$1m-$2.5m",
    ">$2.5m",
)


def classify(figures: Array, cohorts: tuple[Cohort, ...]) -> Array:
    """Give the cohort id of each figure (USD) on the axis of the given cohorts."""
    ids = np.array([cohort.id for cohort in cohorts])
    edges = np.array([cohort.lower for cohort in cohorts[1:]], dtype=float)
    return ids[np.searchsorted(edges, figures, side="right")]


def bucket_of(value_micro: Array) -> Array:
    """Give the size bucket, 1 to 10, of position values in millionths of a dollar."""
    edges = np.array(BUCKET_EDGES_USD, dtype=np.int64) * 1_000_000
    return np.searchsorted(edges, value_micro, side="right") + 1


def bucket_bounds(bucket: int) -> tuple[int | None, int | None]:
    """Give the USD bounds [min, max) of a bucket; None is no bound."""
    lower = BUCKET_EDGES_USD[bucket - 2] if bucket > 1 else None
    upper = BUCKET_EDGES_USD[bucket - 1] if bucket < BUCKET_COUNT else None
    return lower, upper
