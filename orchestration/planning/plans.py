"""The vendor's plans: how many requests a token may spend."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from orchestration.planning.pace import DAYS_A_MONTH

OWN_PLAN = re.compile(r"(\d+)/(day|month)(?:,\s*(\d+)/minute)?")


@dataclass(frozen=True)
class Plan:
    """Requests a day, a minute, a month; 0 a minute or a month where no such limit is published.

    With a limit a month, `per_day` is no limit of its own but what a day of the longest month has on average.
    """

    name: str
    per_day: int
    per_minute: int
    per_month: int = 0

    @property
    def most_a_month(self) -> int:
        """Requests that 31 days allow."""
        return self.per_month or self.per_day * DAYS_A_MONTH


def monthly(name: str, per_month: int, per_minute: int) -> Plan:
    """A plan whose limit is the month's."""
    return Plan(name, per_month // DAYS_A_MONTH, per_minute, per_month)


PLANS: Mapping[str, Plan] = {
    plan.name: plan
    for plan in (
        Plan("free", 100, 0),
        monthly("pulse", 50_000, 60),
        monthly("surge", 150_000, 100),
        monthly("flow", 400_000, 200),
        monthly("stream", 2_000_000, 500),
    )
}


def parse_plan(text: str) -> Plan:
    """A plan by name, or numbers of one's own: `5000/day,100/minute` or `150000/month,100/minute`.

    Raises `ValueError` for anything else.
    """
    if text in PLANS:
        return PLANS[text]
    if match := OWN_PLAN.fullmatch(text):
        requests, per_minute = int(match[1]), int(match[3] or 0)
        return Plan(text, requests, per_minute) if match[2] == "day" else monthly(text, requests, per_minute)
    raise ValueError(f"is {text!r}; it is one of {', '.join(PLANS)}, or numbers such as `5000/day,100/minute`")


def next_plan(plan: Plan) -> Plan | None:
    """The smallest of the vendor's plans with more requests a month; None above the largest."""
    larger = [candidate for candidate in PLANS.values() if candidate.most_a_month > plan.most_a_month]
    return min(larger, key=lambda candidate: candidate.most_a_month, default=None)
