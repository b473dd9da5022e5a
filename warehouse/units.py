"""The unit of a column, which its name says: the suffixes of the house, and the few names that stand for one themselves.

Belongs here: the rule from name and type to unit. Does not: descriptions (dbt's yml).
"""

from __future__ import annotations

import re

NUMBERS = ("double", "bigint", "integer", "hugeint", "decimal", "float")
# The first that fits; a number that none fits has no unit, which a test allows for named exceptions only.
UNITS = (
    (r"_id$|^version$|^rank$|_rank$|_index$|^sort_order$|^builder_fee$", ""),
    (r"_usd$", "USD"),
    (r"_pct$", "percent"),
    (r"_fraction$", "0 to 1"),
    (r"_count(_24h_ago)?$|^attempts$|_saved$", "count"),
    (r"^requests_|^cost_to_fix$", "requests"),
    (r"(^|_)price(_|$)", "USD per coin"),
    (r"(^|_)size$", "coin units"),
    (r"leverage$", "times"),
    (r"_ratio$|_bias$", "ratio"),
    (r"^bytes$", "bytes"),
    (r"_ms$", "milliseconds"),
    (r"_days$", "days"),
    (r"_value$|^difference$|^tolerance$", "that of its rule"),
)


def unit_of(name: str, kind: str) -> str:
    """The unit of a column; empty for names, ids, places in an order."""
    if kind.startswith("timestamp"):
        return "UTC"
    if kind == "date":
        return "UTC day"
    if not kind.startswith(NUMBERS):
        return ""
    return next((unit for pattern, unit in UNITS if re.search(pattern, name)), "")
