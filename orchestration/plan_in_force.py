"""The plan in force: which of it is kept, when it is made anew, and what it makes due at a slot.

Belongs here: the life of a plan between the wishes and the sweep. Does not: choosing what is affordable (`affording`,
`planning.quota`), keeping it (`warehouse.plans`). A plan holds as long as the wishes do; once a UTC day it is looked at again,
because coins change their rank, appear and go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from orchestration.affording import wishes_of
from orchestration.hypertracker.datasets import DATASETS
from orchestration.hypertracker.endpoint import Dataset
from orchestration.planning.pace import DAYS_A_MONTH
from orchestration.planning.pollable import Perishability
from orchestration.planning.quota import Choice, QuotaPlan, plan_quota
from orchestration.planning.slots import EPOCH, Cadence, slot_at
from orchestration.planning.urgency import Demand
from orchestration.settings import Settings
from warehouse.plans import PlanBook, PlannedPace, PlanRecord

RETRIED_PCT = 3


def plan_in_force(settings: Settings, book: PlanBook, universe: Sequence[str], now: datetime) -> PlanRecord:
    """The plan for what is polled now, made and kept where there is none or the last no longer holds.

    `universe` is every listed coin, largest open value first. Where the wished coins can only be told from it and it is
    empty, the plan is for the market-wide datasets and is not kept: the coins are wanted, only unknown.
    """
    last, wishes = book.newest(), wishes_words(settings)
    if last and last.made_of == wishes and last.reviewed_on >= now.date():
        return last
    made = make_plan(settings, universe, now)
    if settings.needs_universe and not universe:
        return made
    same = last is not None and last.made_of == wishes and last.paces == made.paces
    kept = replace(last, reviewed_on=now.date()) if last and same else made
    book.keep(kept)
    return kept


def make_plan(settings: Settings, universe: Sequence[str], now: datetime) -> PlanRecord:
    """What the settings afford of their wishes, valid from the five-minute slot in force (UTC)."""
    plan = settings.plan_limits()
    quota = plan_quota(plan, wishes_of(settings, settings.wanted_coins(list(universe)), universe))
    return PlanRecord(
        slot_at(Cadence.FIVE_MINUTES, now), settings.plan, plan.per_day, plan.per_month, plan.per_minute, settings.reserve,
        *_daily(quota), tuple(_paces(quota)), wishes_words(settings), now.date(),
    )  # fmt: skip


def wishes_words(settings: Settings) -> str:
    """Changes when the wishes do, or what may be wished for."""
    registry = [(d.name, d.cadence, d.scoped_by, d.priority, d.requests_a_poll, d.window, d.lookback) for d in DATASETS]
    wishes = (settings.plan, settings.coins, settings.datasets, settings.freshness, settings.reserve, registry)
    return hashlib.sha256(repr(wishes).encode()).hexdigest()[:16]


def scopes_due(plan: PlanRecord, dataset: Dataset, slot: datetime) -> list[str]:
    """The scopes of a dataset that a plan polls at a slot, the most wanted coins first."""
    since_epoch_s = int((slot - EPOCH).total_seconds())
    units = [unit for unit, interval_s in plan.intervals(dataset.name).items() if since_epoch_s % interval_s == 0]
    return [prefix + unit for prefix in dataset.scope_prefixes for unit in units]


def scopes_wished(plan: PlanRecord, dataset: Dataset, slot: datetime) -> list[str]:  # noqa: ARG001  # as `scopes_due`
    """Every scope of a dataset that a plan was made for, polled or not."""
    units = [unit for pace in plan.paces if pace.dataset == dataset.name for unit in pace.units]
    return [prefix + unit for prefix in dataset.scope_prefixes for unit in units]


def live_demand(plan: PlanRecord) -> Demand:
    """What live polls need a day, with some for retries and for sweeps repeated because the state moved."""
    retried = (requests + requests * RETRIED_PCT // 100 for requests in (plan.perishable_a_day, plan.freshness_a_day))
    return Demand(*retried)


def _daily(quota: QuotaPlan) -> tuple[int, int]:
    """Requests a day that perishable polls need, readings of the state among them, and all others."""
    perishable = [choice for choice in quota.choices if choice.pollable.perishability is Perishability.PERISHABLE]
    others = [choice for choice in quota.choices if choice.pollable.perishability is not Perishability.PERISHABLE]
    if quota.plan.per_month:
        months = [quota.readings.month + sum(c.spending.month for c in perishable), sum(c.spending.month for c in others)]
        return -(-months[0] // DAYS_A_MONTH), -(-months[1] // DAYS_A_MONTH)
    return quota.readings.day + sum(c.spending.day for c in perishable), sum(c.spending.day for c in others)


def _paces(quota: QuotaPlan) -> Iterator[PlannedPace]:
    for choice in quota.choices:
        yield from (PlannedPace(choice.pollable.name, _seconds(pace.interval), pace.units) for pace in choice.paces)
        yield from _uncovered(choice)


def _uncovered(choice: Choice) -> Iterator[PlannedPace]:
    if choice.uncovered:
        yield PlannedPace(choice.pollable.name, None, choice.uncovered)


def _seconds(interval: timedelta) -> int:
    return int(interval.total_seconds())
