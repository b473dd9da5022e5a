"""Past values that are served changed from some moment on; the market itself, and its truth, stay as they were.

All times are epoch milliseconds. The changes, as settings, are in `sandbox.drift`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from sandbox.drift import Drift, Restated
from sandbox.market.aggregates import Total
from sandbox.market.drift import first_state
from sandbox.market.states import StateTimes
from sandbox.times import to_ms


class Restatements:
    """The past rows that are served changed."""

    def __init__(self, drift: Iterable[Drift], codes: dict[str, int], states: StateTimes) -> None:
        """Read the restatements. Raises ValueError for a coin that the market does not have."""
        self._all: list[tuple[int, int, Restated]] = []
        for change in drift:
            if isinstance(change, Restated):
                if change.coin not in codes:
                    raise ValueError(f"no coin {change.coin!r} in this market")
                self._all.append((states.time(first_state(states, change.at)), codes[change.coin], change))

    def of_coin(self, total: Total, code: int, asked_ms: int, is_row_of: Callable[[int], bool]) -> Total:
        """Give a coin's (or its cohort's) sums as served at `asked_ms`; `is_row_of` tells whether they are the row that
        the series has at a moment."""
        for from_ms, restated_code, change in self._all:
            if restated_code == code and from_ms <= asked_ms and is_row_of(to_ms(change.moment)):
                total = scaled(total, change.factor)
        return total

    def of_market(
        self, total: Total, coin_total: Callable[[int], Total], asked_ms: int, is_row_of: Callable[[int], bool]
    ) -> Total:
        """Give the market's sums as served, `coin_total` giving the unchanged sums of a coin."""
        for from_ms, code, change in self._all:
            if from_ms <= asked_ms and is_row_of(to_ms(change.moment)):
                before = coin_total(code)
                after = scaled(before, change.factor)
                long = total.value_long + after.value_long - before.value_long
                total = replace(total, value=total.value + after.value - before.value, value_long=long)
        return total


def scaled(total: Total, factor: float) -> Total:
    """Give sums with values `factor` times as large, to the millionth of a dollar; equal sides stay equal."""
    long, short = round(total.value_long * factor), round((total.value - total.value_long) * factor)
    return replace(total, value=long + short, value_long=long)
