"""Units as people read them: `$1.2bn`, `64.2 %`, `1,204`, the same in a chart, a table and a sentence.

Belongs here: formats. Does not: any figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

SCALES = ((1e12, "tn"), (1e9, "bn"), (1e6, "m"), (1e3, "k"))
NONE = "–"


@dataclass(frozen=True)
class Unit:
    """A title for an axis, how Vega writes a value of the expression `{}`, how Python does."""

    title: str
    vega: str
    words: Callable[[float], str]

    def written(self, expression: str) -> str:
        """The Vega expression that writes the value of another."""
        return f"isValid({expression}) ? {self.vega.format(expression)} : '{NONE}'"

    def __call__(self, value: float | None) -> str:
        return NONE if value is None or value != value or math.isinf(value) else self.words(float(value))


def _money(value: float) -> str:
    size = abs(value)
    scale, name = next(((scale, name) for scale, name in SCALES if size >= scale * 0.9995), (1.0, ""))
    return f"{'-' if value < 0 else ''}${_three(size / scale)}{name}"


def _three(value: float) -> str:
    """Three figures, without zeros that say nothing: 1.2, 12.3, 123."""
    text = f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def has_moved(change: str) -> bool:
    """Whether a change in words is more than nothing at the precision it is written with."""
    return any(digit in change for digit in "123456789")


def _signed(words: Callable[[float], str]) -> Callable[[float], str]:
    return lambda value: ("+" if value > 0 and has_moved(words(value)) else "") + words(value)


def _price(value: float) -> str:
    return f"${value:,.{2 if abs(value) >= 100 else 4 if abs(value) >= 1 else 6}f}"


# d3 writes G where people write bn, and milli as m: below a dollar it shows cents instead.
VEGA_MONEY = (
    "(abs({0}) < 1 ? format({0}, '$.2~f') : replace(replace(replace(format({0}, '$.4~s'), 'G', 'bn'), 'M', 'm'), 'T', 'tn'))"
)
USD = Unit("USD", VEGA_MONEY, _money)
PRICE = Unit("USD per coin", "format({0}, '$,.5~r')", _price)
COUNT = Unit("count", "format({0}, ',.0f')", lambda value: f"{value:,.0f}")
PERCENT = Unit("%", "format({0}, '.1~%')", lambda value: f"{value * 100:z.1f} %")
RATIO = Unit("ratio", "format({0}, '.3~f')", lambda value: f"{value:.2f}")
TIMES = Unit("leverage", "format({0}, '.3~f')", lambda value: f"{value:.3g}x")
PLAIN_PERCENT = Unit("%", "format({0}, ',.1~f')", lambda value: f"{value:,.1f} %")
CHANGE_USD = Unit("USD", VEGA_MONEY, _signed(_money))
CHANGE_COUNT = Unit("count", "format({0}, '+,.0f')", _signed(COUNT.words))
CHANGE_POINTS = Unit("points", "format({0} * 100, '+.1~f')", _signed(lambda value: f"{value * 100:z.1f} pp"))
CHANGE_PERCENT = Unit("%", "format({0}, '+.1~%')", _signed(PERCENT.words))
