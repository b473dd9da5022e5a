"""The market less one position: what an endpoint sees that is planted with an error.

Which endpoint that is belongs to `sandbox.api.planting`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sandbox.market.hashing import Cache
from sandbox.market.positions import RETAIL, PositionBook, Snapshot

_SNAPSHOTS_KEPT = 4
_LIQUIDATION_REACH = 0.5
_PER_POSITION = (
    "slot",
    "life",
    "coin",
    "wallet",
    "is_long",
    "lots",
    "size",
    "value_micro",
    "entry",
    "leverage",
    "is_cross",
    "liquidation",
    "progress",
    "unrealized",
    "funding",
    "opened_ms",
    "bucket",
)


class ShortBook(PositionBook):
    """A position book whose snapshots lack one position of one coin."""

    def __init__(self, whole: PositionBook, code: int) -> None:
        """Show all of `whole` but one position of coin `code`."""
        vars(self).update(vars(whole))
        self._whole, self._code = whole, code
        self._snapshots = Cache(_SNAPSHOTS_KEPT)

    def _make(self, index: int) -> Snapshot:
        whole = self._whole.snapshot(index)
        rows = whole.rows_of(self._code)
        return whole if rows.start == rows.stop else drop_position(whole, missing_place(self._whole, whole, self._code))


def missing_place(book: PositionBook, snapshot: Snapshot, code: int) -> int:
    """Give the place of the position that goes missing: the trader's largest whose liquidation price is near enough to
    stand in the liquidation heatmap, so that every endpoint shows the error; any largest where there is none."""
    rows, mark = snapshot.rows_of(code), float(snapshot.mark[code])
    value = snapshot.value_micro[rows]
    in_reach = np.abs(snapshot.liquidation[rows] - mark) < _LIQUIDATION_REACH * mark
    fits = in_reach & (book.role[snapshot.slot[rows]] == RETAIL)
    return rows.start + int(np.where(fits, value, -1).argmax() if fits.any() else value.argmax())


def drop_position(snapshot: Snapshot, place: int) -> Snapshot:
    """Give a snapshot without the position at `place`."""
    kept: dict[str, Any] = {name: np.delete(getattr(snapshot, name), place) for name in _PER_POSITION}
    starts, open_count = snapshot.coin_start.copy(), snapshot.open_count.copy()
    starts[int(snapshot.coin[place]) + 1 :] -= 1
    open_count[snapshot.wallet[place]] -= 1
    return replace(snapshot, coin_start=starts, open_count=open_count, **kept)
