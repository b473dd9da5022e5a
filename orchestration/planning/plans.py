"""The vendor's plans: how many requests a token may spend."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

DAYS_A_MONTH = 30
OWN_PLAN = re.compile(r"(\d+)/day(?:,\s*(\d+)/minute)?")


@dataclass(frozen=True)
class Plan:
    """Requests a day on average, and a minute; 0 a minute where no limit is published."""

    name: str
    per_day: int
    per_minute: int


PLANS: Mapping[str, Plan] = {
    plan.name: plan
    for plan in (
        Plan("free", 100, 0),
        Plan("pulse", 50_000 // DAYS_A_MONTH, 60),
        Plan("surge", 150_000 // DAYS_A_MONTH, 100),
        Plan("flow", 400_000 // DAYS_A_MONTH, 200),
        Plan("stream", 2_000_000 // DAYS_A_MONTH, 500),
    )
}


def parse_plan(text: str) -> Plan:
    """A plan by name, or numbers of one's own: `5000/day,100/minute`. Raises `ValueError` for anything else."""
    if text in PLANS:
        return PLANS[text]
    if match := OWN_PLAN.fullmatch(text):
        return Plan(text, int(match[1]), int(match[2] or 0))
    raise ValueError(f"is {text!r}; it is one of {', '.join(PLANS)}, or numbers such as `5000/day,100/minute`")
