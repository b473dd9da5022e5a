"""What a plan affords, laid out for people and scripts.

Belongs here: words, tables, JSON. Does not: the figures (`affording`, `planning`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from orchestration.affording import Affordable
from orchestration.planning.pace import DAYS_A_MONTH, interval_words
from orchestration.planning.plans import Plan
from orchestration.planning.pollable import Breadth, Perishability
from orchestration.planning.quota import Choice, QuotaPlan
from orchestration.planning.upgrade import Change, difference

READINGS = "state, around sweeps"
LEGEND = (
    "wanted: the dataset's own cadence. affords: how often this plan lets it be asked, and for how many coins. a day: requests.",
    "not covered: the share of what is wanted that nobody would ask for, and what becomes of it.",
)
NOT_POLLED = "-"
COINS_NAMED = 12


def show_plan(found: Affordable, out: Console) -> None:
    """All of it, as wide as the console."""
    _say(out, *head_lines(found))
    out.print(plan_table(found.quota))
    _say(out, *LEGEND, "", *total_lines(found), "", upgrade_line(found))
    if table := upgrade_table(found):
        out.print(table)


def _say(out: Console, *lines: str) -> None:
    for line in lines:
        out.print(line, markup=False)


def plan_table(quota: QuotaPlan) -> Table:
    """One row a dataset, the one that costs most first."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("dataset", no_wrap=True)
    table.add_column("wanted", justify="right", no_wrap=True)
    table.add_column("affords", justify="right", no_wrap=True)
    table.add_column("coins", justify="right", no_wrap=True)
    table.add_column("a day", justify="right", no_wrap=True)
    table.add_column("not covered", overflow="fold")
    for choice in sorted(quota.choices, key=lambda choice: (-choice.spending.month, choice.pollable.name)):
        table.add_row(
            choice.pollable.name, interval_words(choice.pollable.step), every_words(choice), unit_words(choice),
            f"{choice.spending.day:,}", uncovered_words(choice),
        )  # fmt: skip
    table.add_row(READINGS, "", "", "", f"{quota.readings.day:,}", "")
    table.add_section()
    table.add_row("together", "", "", "", f"{quota.total.day:,}", "")
    return table


def every_words(choice: Choice) -> str:
    """How often, a line an interval."""
    return "\n".join(interval_words(pace.interval) for pace in choice.paces) or NOT_POLLED


def unit_words(choice: Choice) -> str:
    """For how many coins (or ages), a line an interval; nothing where all is asked for in one."""
    if choice.pollable.breadth is not Breadth.COIN and len(choice.pollable.parts) == 1:
        return ""
    return "\n".join(_count(choice, len(pace.units)) for pace in choice.paces) or "0"


def _count(choice: Choice, count: int) -> str:
    is_coin = choice.pollable.breadth is Breadth.COIN
    return f"{count:,}" if is_coin else f"{count} age{'s' * (count > 1)}"


def uncovered_words(choice: Choice) -> str:
    """What is not polled, and what becomes of it; a dash where all is."""
    if choice.is_whole:
        return "-"
    pollable = choice.pollable
    if pollable.perishability is Perishability.PERISHABLE:
        return f"{percent_words(1 - choice.slots_fraction)}: {pollable.if_missed}"
    if choice.uncovered:
        share = percent_words(1 - choice.coverage_fraction)
        return f"{share}: {pollable.if_missed}"
    return "nothing, it comes later"


def percent_words(fraction: float) -> str:
    """Never `100%` for less than all, nor `0%` for more than nothing."""
    percent = fraction * 100
    if 0 < percent < 1:
        return "<1%"
    return ">99%" if 99 < percent < 100 else f"{percent:.0f}%"


def head_lines(found: Affordable) -> Iterator[str]:
    """What is planned for, before the table."""
    quota, coins = found.quota, found.wishes.ranked_coins
    yield f"Plan {quota.plan.name}: {limit_words(quota.plan)}. {_reserve(found)} of it is left for retries, healing and backfill."
    if found.is_assumed and any(coin.startswith("coin ") for coin in coins):
        yield f"{len(coins):,} coins are wished for; no list of coins was polled yet, so the exchange is assumed to have 330."
    else:
        more = ", ..." if len(coins) > COINS_NAMED else ""
        yield f"{len(coins):,} coins are wished for: {', '.join(coins[:COINS_NAMED])}{more}"


def limit_words(plan: Plan) -> str:
    """The limits that a plan has."""
    minute = f"{plan.per_minute:,} a minute" if plan.per_minute else "no limit a minute is published"
    if plan.per_month:
        return f"{plan.per_month:,} requests a month ({plan.per_day:,} a day over {DAYS_A_MONTH} days), {minute}"
    return f"{plan.per_day:,} requests a day, {minute}"


def _reserve(found: Affordable) -> str:
    return percent_words(found.wishes.reserve_fraction)


def total_lines(found: Affordable) -> Iterator[str]:
    """Totals against the plan, the worst minute, and what comes next."""
    quota = found.quota
    yield f"Month: {quota.total.month:,} of {quota.allowance.month:,} requests in {DAYS_A_MONTH} days; {_next(quota)}"
    day = "" if quota.allowance.day is None else f" of {quota.allowance.day:,}"
    yield f"Day:   {quota.total.day:,}{day} requests on the busiest day; everything wished for would take {found.full.day:,}."
    yield f"Worst minute: {worst_minute_words(quota)}"


def worst_minute_words(quota: QuotaPlan) -> str:
    """What is due together at 00:00 UTC, and when it is sent."""
    due, minutes = quota.total.at_midnight, quota.allowance.minutes_for(quota.total.at_midnight)
    if minutes is None:
        return f"{due:,} requests are due together at 00:00 UTC."
    held = f" More of {', '.join(quota.held_by_minute)} would be late." if quota.held_by_minute else ""
    return (
        f"{due:,} requests are due together at 00:00 UTC; at {quota.allowance.minute:,} a minute they take {minutes:,} min, "
        f"each sent before its slot ends if what ends first is sent first.{held}"
    )


def minutes_words(quota: QuotaPlan) -> str:
    """How long it takes to send what is due together at 00:00 UTC."""
    minutes = quota.allowance.minutes_for(quota.total.at_midnight)
    return "no limit published" if minutes is None else f"{minutes:,} min at {quota.allowance.minute:,} a minute"


def _next(quota: QuotaPlan) -> str:
    if quota.next is None:
        return "nothing wished for is left out." if quota.is_whole else "more would not be sent in time."
    return f"next would be {quota.next.step.says}, {quota.next.month:,} more."


def upgrade_table(found: Affordable) -> Table | None:
    """What the next plan up would add, a row a dataset; None where there is none, or where it adds nothing."""
    changes = difference(found.quota, found.larger) if found.larger else ()
    if not found.larger or not changes:
        return None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("dataset", found.quota.plan.name, found.larger.plan.name, "covered"):
        table.add_column(name, no_wrap=name == "dataset")
    for change in changes:
        table.add_row(change.name, pace_words(change.before), pace_words(change.after), change_words(change))
    return table


def change_words(change: Change) -> str:
    """Covered before and after; `sooner` where nothing was missing before."""
    before, after = change.before.coverage_fraction, change.after.coverage_fraction
    return f"{percent_words(before)} -> {percent_words(after)}" if before != after else "sooner"


def pace_words(choice: Choice) -> str:
    """`1 h (7), 2 h (13)`: intervals, and how many coins they are for."""
    if not unit_words(choice):
        return every_words(choice)
    held = (f"{interval_words(pace.interval)} ({_count(choice, len(pace.units))})" for pace in choice.paces)
    return ", ".join(held) or NOT_POLLED


def upgrade_line(found: Affordable) -> str:
    """Introduces the table of what the next plan up would add."""
    if found.larger is None:
        return "No plan of the vendor is larger."
    if found.quota.is_whole:
        return f"Plan {found.larger.plan.name} would add nothing: everything wished for is covered."
    limits = limit_words(found.larger.plan)
    return f"Next plan up, {found.larger.plan.name}: {limits}. It affords in addition (in brackets: for how many coins):"


def plan_json(found: Affordable) -> dict[str, Any]:
    """The same for scripts; intervals in seconds; units are coins, ages of positions, or `all`."""
    quota = found.quota
    return {
        "plan": quota.plan.name,
        "is_universe_assumed": found.is_assumed,
        "reserve_fraction": found.wishes.reserve_fraction,
        "allowance": vars(quota.allowance),
        "total": vars(quota.total),
        "readings": vars(quota.readings),
        "wished": vars(found.full),
        "minutes_at_midnight": quota.allowance.minutes_for(quota.total.at_midnight),
        "datasets": [_choice_json(choice) for choice in quota.choices],
        "next_step": quota.next and {"says": quota.next.step.says, "requests_a_month": quota.next.month},
        "next_plan": found.larger
        and {
            "plan": found.larger.plan.name,
            "changes": [_change_json(change) for change in difference(quota, found.larger)],
        },
    }


def _choice_json(choice: Choice) -> dict[str, Any]:
    return {
        "dataset": choice.pollable.name,
        "perishability": choice.pollable.perishability.name.lower(),
        "own_interval_s": choice.pollable.step.total_seconds(),
        "paces": [{"interval_s": pace.interval.total_seconds(), "units": _units(pace.units)} for pace in choice.paces],
        "not_polled": _units(choice.uncovered),
        "slots_fraction": round(choice.slots_fraction, 6),
        "not_covered": uncovered_words(choice),
        "requests_a_day": choice.spending.day,
        "requests_a_month": choice.spending.month,
    }


def _change_json(change: Change) -> dict[str, Any]:
    return {
        "dataset": change.name,
        "units_added": change.units_added,
        "fraction_added": round(change.fraction_added, 6),
        "paces": _choice_json(change.after)["paces"],
    }


def _units(units: tuple[str, ...]) -> list[str]:
    """Coins or ages; `all` for a dataset that is asked for in one."""
    return [unit or "all" for unit in units]
