"""What may change about the market while a sandbox runs, as values for `SandboxSettings.drift`.

Every change takes effect with the first state at or after its instant `at`, in all endpoints at once, and depends on the
market's time alone: a clock set back shows the market as it was. How the market changes belongs to
`sandbox.market.drift`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class CoinListed:
    """The coin does not exist before `at`: unlisted, 404 on all its paths, no position, no order."""

    coin: str
    at: datetime


@dataclass(frozen=True)
class CoinDelisted:
    """From `at` on the coin is gone: unlisted, 404 on its exports, files and open positions; its positions closed at
    `at`, its orders are gone. Closed positions, past rows of 21 to 23 and past snapshots of 28 stay."""

    coin: str
    at: datetime


@dataclass(frozen=True)
class CohortRenamed:
    """From `at` on the cohort has another name."""

    cohort: int
    at: datetime
    name: str


@dataclass(frozen=True)
class CohortRebounded:
    """From `at` on the cohort begins at `lower` USD, and the one below it on the same axis ends there; wallets are put
    in cohorts by the new bounds. Rows about earlier times keep the old ones."""

    cohort: int
    at: datetime
    lower: float


@dataclass(frozen=True)
class Restated:
    """From `at` on the values (not the counts) of one past row of a coin are served `factor` times as large: in 7, 8, 18
    and 21 the row that each series has at or last before `moment`; in 8 all cohorts, in 18 the coin's part of the sum."""

    coin: str
    at: datetime
    moment: datetime
    factor: float = 1.01


Drift = CoinListed | CoinDelisted | CohortRenamed | CohortRebounded | Restated
