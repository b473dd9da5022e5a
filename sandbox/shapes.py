"""The forms of those answers that the contract leaves open or contradicts itself about, as values for `SandboxSettings.shapes`.

The defaults are what the sandbox holds most likely; the others are for tests of whoever reads. The forms themselves are
written in `sandbox.api`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Shapes:
    """One choice an open form.

    `bias_export` (2): blocks in a bare `list`, in a `named_list` under `segments`, or in a `map` by cohort id.
    `coin_positions` (4): size `ranges`, the `top` positions, a `table` of columns and data, or `missing` (404).
    `metrics_step_h` (7): hours between rows. `metrics_columns` (7): `ragged` names a column more than rows have, `even`
    rows carry the coin too. `leaderboard` (14): a JSON `array`, a `table` of columns and data, or `csv`.
    `leaderboard_periods` (14): `words` day, week, month, all, or `hours` 24h, 7d, 30d, all; the others are 400.
    `open_positions` (16 and 28): `csv`, or a `json` array.
    """

    bias_export: Literal["list", "named_list", "map"] = "list"
    coin_positions: Literal["ranges", "top", "table", "missing"] = "ranges"
    metrics_step_h: Literal[1, 2] = 2
    metrics_columns: Literal["ragged", "even"] = "ragged"
    leaderboard: Literal["array", "table", "csv"] = "array"
    leaderboard_periods: Literal["words", "hours"] = "words"
    open_positions: Literal["csv", "json"] = "csv"
