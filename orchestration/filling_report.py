"""What a backfill or healing would take and what it brought, in words and JSON.

Belongs here: words, tables, JSON. Does not: the figures (`filling`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rich import box
from rich.table import Table

from orchestration.filling import Survey, Wanted
from orchestration.hypertracker.endpoint import NO_KNOWN_END
from orchestration.pipeline import Outcome
from orchestration.planning.errands import Errand
from orchestration.planning.pace import interval_words
from orchestration.planning.plans import Plan

TIME = "%Y-%m-%d %H:%M"
SCOPES_NAMED = 6


@dataclass(frozen=True)
class Means:
    """What there is to pay with: the plan, requests left for backfill now (None: no end), and those a day after that."""

    plan: Plan
    left: int | None
    a_day: int

    def days_for(self, requests: int) -> int | None:
        """Days until so many requests are paid, 0 for today; None where they never are."""
        if self.left is None or requests <= self.left:
            return 0
        return -(-(requests - self.left) // self.a_day) if self.a_day > 0 else None

    def minutes_for(self, requests: int) -> int:
        """Minutes that so many requests take at half of the plan's rate, which is backfill's share; 0 without a rate."""
        share = self.plan.per_minute // 2
        return -(-requests // share) if share else 0


def survey_table(found: Survey) -> Table:
    """The (scope, slot)s of a wish, by what becomes of them."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    to_ask = found.wanted - found.arrived - found.lost - found.below_floor
    table.add_row("slots wanted", f"{found.wanted:,}", "")
    table.add_row("there already", f"{found.arrived:,}", "")
    table.add_row("lost", f"{found.lost:,}", "the provider serves the present only" if found.lost else "")
    table.add_row("below the floor", f"{found.below_floor:,}", "older than what the provider keeps" if found.below_floor else "")
    table.add_row("to ask for", f"{to_ask:,}", f"about {_requests(found.cost)}" if to_ask else "nothing to do")
    return table


def wanted_words(wanted: Wanted) -> str:
    """The wish in one line."""
    names = [scope or "whole market" for scope in wanted.scopes]
    more = f" and {len(names) - SCOPES_NAMED} more" if len(names) > SCOPES_NAMED else ""
    every = interval_words(wanted.dataset.cadence.step)
    where = ", ".join(names[:SCOPES_NAMED]) + more
    return f"{wanted.dataset.name} every {every}, {wanted.start:{TIME}} to {wanted.end:{TIME}} UTC, for {where}"


def cost_lines(errands: Sequence[Errand], means: Means, now: datetime) -> Iterator[str]:
    """What errands cost at this plan, how long that takes, and what is lost before its turn."""
    cost, days = sum(errand.cost for errand in errands), means.days_for(sum(errand.cost for errand in errands))
    if not errands:
        return
    left = "no limit" if means.left is None else f"{means.left:,} requests are left for backfill now"
    yield f"plan {means.plan.name}: {left}, about {max(means.a_day, 0):,} a day; live polls come first"
    if days is None:
        yield "this plan leaves nothing for backfill: raise HTW_PLAN or HTW_RESERVE, or lower HTW_COINS"
    else:
        minutes = means.minutes_for(cost)
        yield f"that is {_days(days)}" + (f", {_duration(minutes)} of asking" if minutes else "")
    if late := lost_before_their_turn(errands, means, now):
        yield f"{late:,} slots will be lost before their turn; the first at {errands[0].expires_at:{TIME}} UTC"


def lost_before_their_turn(errands: Sequence[Errand], means: Means, now: datetime) -> int:
    """Slots that expire before the budget reaches them, when what expires first goes first."""
    lost = paid = 0
    for errand in errands:
        days = means.days_for(paid + errand.cost)
        is_late = days is None or errand.expires_at < now + timedelta(days=days)
        lost += errand.slot_count if is_late else 0
        paid += 0 if is_late else errand.cost
    return lost


def errands_table(errands: Sequence[Errand]) -> Table:
    """What would be asked, a line a dataset."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, justify in (
        ("dataset", "left"),
        ("slots", "right"),
        ("requests", "right"),
        ("from", "left"),
        ("lost from", "left"),
    ):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for dataset in dict.fromkeys(errand.dataset for errand in errands):
        own = [errand for errand in errands if errand.dataset == dataset]
        slots, cost = sum(errand.slot_count for errand in own), sum(errand.cost for errand in own)
        expires = min(errand.expires_at for errand in own)
        until = "no known end" if expires == NO_KNOWN_END else f"{expires:{TIME}}"
        table.add_row(dataset, f"{slots:,}", f"{cost:,}", f"{min(errand.slot for errand in own):{TIME}}", until)
    return table


def outcome_line(outcomes: Iterable[Outcome]) -> str:
    """What asking brought, by verdict."""
    counts, spent = Counter[str](), 0
    for outcome in outcomes:
        counts[outcome.judgement.verdict.value] += 1
        spent += outcome.record.requests_spent
    verdicts = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.most_common()) or "nothing was asked"
    return f"{verdicts}; {spent:,} requests"


def survey_json(wanted: Wanted, found: Survey, means: Means, now: datetime) -> dict[str, Any]:
    """The same as values for scripts."""
    return {
        "dataset": wanted.dataset.name,
        "scopes": list(wanted.scopes),
        "from": wanted.start.isoformat(),
        "to": wanted.end.isoformat(),
        "slots_wanted": found.wanted,
        "slots_arrived": found.arrived,
        "slots_lost": found.lost,
        "slots_below_floor": found.below_floor,
        **errands_json(found.errands, means, now),
    }


def errands_json(errands: Sequence[Errand], means: Means, now: datetime) -> dict[str, Any]:
    """What errands take, as values for scripts."""
    cost = sum(errand.cost for errand in errands)
    return {
        "slots_to_ask": sum(errand.slot_count for errand in errands),
        "requests": cost,
        "requests_left": means.left,
        "days": means.days_for(cost),
        "slots_lost_before_their_turn": lost_before_their_turn(errands, means, now),
    }


def _requests(count: int) -> str:
    return f"{count:,} request{'s' * (count != 1)}"


def _duration(minutes: int) -> str:
    return f"about {minutes} min" if minutes < 2 * 60 else f"about {-(-minutes // 60):,} h"


def _days(days: int) -> str:
    return "affordable today" if days == 0 else f"{days:,} day{'s' * (days > 1)}"
