"""Whether an answer is planted with the error of one position or order, by the settings or by a fault.

What the market looks like then belongs to `sandbox.market.planting`.
"""

from __future__ import annotations

from sandbox.market.market import Market
from sandbox.wire import Exchange


def planted_coin(exchange: Exchange, name: str) -> str | None:
    """Give the coin that lacks a position in this answer, None where nothing is planted; `name` is one of `PLANTABLE`.

    A fault plants in whatever its path matches, so it need not name the endpoint.
    """
    settings = exchange.core.settings
    given = exchange.options.get("planted")
    if given is not None:
        return str(given["coin"]) if name in given["names"] else None
    return settings.planted_coin if name and settings.planted_error == name else None


def market_of(exchange: Exchange, name: str) -> Market:
    """Give the market that this answer is to show."""
    coin, market = planted_coin(exchange, name), exchange.core.market
    return market if coin is None else market.without_one(coin)
