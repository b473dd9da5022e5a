"""The simulated month: its clock, provider and weather; a week of some plans; and, in the soak, each plan's month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from orchestration.budget import Budget
from orchestration.pages import DOCS_DIR
from orchestration.planning.plans import PLANS, Plan
from orchestration.planning.urgency import Urgency
from orchestration.simulation.agenda import Agenda, Task
from orchestration.simulation.asking import Asker, Batch, Purpose
from orchestration.simulation.chronicle import Chronicle
from orchestration.simulation.figures import Figures, Loss, figures_of
from orchestration.simulation.month import END, START, simulate
from orchestration.simulation.page import SEED, all_figures, month_page
from orchestration.simulation.provider import Answer, Fate, Provider
from orchestration.simulation.weather import LONGEST_STATE, SHORTEST_STATE, Spell, Trouble, Weather

MINUTE = timedelta(minutes=1)
CALM = Weather([], [START])
NOTHING_FAILS = {Loss.NO_QUOTA, Loss.NO_TIME, Loss.UNEXPLAINED}


def test_the_provider_refuses_what_is_above_the_minute_the_day_or_the_month() -> None:
    by_minute = Provider(Plan("p", 100, 10), CALM, seed=1)
    assert by_minute.ask(START, 10) == Answer(10)
    assert by_minute.ask(START + timedelta(seconds=59), 1).fate is Fate.OVER_PLAN
    assert by_minute.over_plan == 1
    by_day = Provider(Plan("p", 15, 10), CALM, seed=1)
    assert [by_day.ask(START + number * 2 * MINUTE, 10).served for number in range(2)] == [10, 0]
    assert by_day.ask(START + timedelta(days=1), 10).served == 10
    by_month = Provider(Plan("p", 1, 10, per_month=15), CALM, seed=1)
    assert [by_month.ask(START + timedelta(days=number), 10).served for number in range(2)] == [10, 0]


@pytest.mark.parametrize(
    ("trouble", "fate", "counted"),
    [(Trouble.UNREACHABLE, Fate.UNREACHABLE, 0), (Trouble.FAILING, Fate.FAILING, 5), (Trouble.REFUSING, Fate.REFUSED, 5)],
)
def test_trouble_lasts_as_long_as_it_is_drawn(trouble: Trouble, fate: Fate, counted: int) -> None:
    provider = Provider(PLANS["pulse"], Weather([Spell(trouble, START, START + MINUTE, quiet_s=3)], [START]), seed=1)
    answer = provider.ask(START, 5)
    assert (answer.served, answer.fate, sum(provider.by_day.values())) == (0, fate, counted)
    assert provider.ask(START + MINUTE, 5) == Answer(5)


def test_the_same_seed_draws_the_same_month() -> None:
    weather, again, other = (Weather.drawn(seed, START, END) for seed in (3, 3, 4))
    assert weather.spells == again.spells != other.spells
    assert {spell.trouble for spell in weather.spells} == set(Trouble)
    assert all(START <= spell.start < spell.end <= END for spell in weather.spells)
    moment = weather.state_at(START + timedelta(days=1))
    later = weather.state_at(moment + LONGEST_STATE)
    assert SHORTEST_STATE <= later - moment <= LONGEST_STATE


def test_tasks_of_the_daemon_end_where_it_is_away_and_others_go_on() -> None:
    seen: list[tuple[str, datetime]] = []

    def task(name: str) -> Task:
        for number in range(3):
            seen.append((name, agenda.now))
            yield START + (number + 1) * MINUTE

    agenda = Agenda(START, is_away=lambda moment: moment == START + MINUTE)
    agenda.add(START, task("daemon"), is_daemon=True)
    agenda.add(START, task("world"))
    agenda.run(START + 5 * MINUTE)
    assert seen == [("daemon", START), *(("world", START + number * MINUTE) for number in range(3))]
    assert agenda.clock.now() == START + 5 * MINUTE


def test_sweeps_at_once_serve_what_ends_first(tmp_path: Path) -> None:
    plan, agenda, chronicle = Plan("p", 10_000, 10), Agenda(START), Chronicle()
    budget = Budget(tmp_path / "budget.sqlite", plan, agenda.clock)
    asker = Asker(agenda, budget, plan, Provider(plan, CALM, seed=1), CALM, chronicle, seed=1)

    def asked(dataset: str, lasts: timedelta) -> Task:
        scopes = tuple(f"{dataset} {number}" for number in range(30))
        batch = Batch(dataset, scopes, START, Urgency.PERISHABLE, Purpose.PLANNED, START + lasts)
        yield from asker.ask([batch])

    for dataset, lasts in (("segments", timedelta(days=1)), ("order_snapshots", 5 * MINUTE)):
        agenda.add(START, asked(dataset, lasts))
    agenda.run(START + 10 * MINUTE)
    served = [(entry.dataset, len(entry.scopes)) for entry in chronicle.entries]
    first, last = (sum(count for name, count in served[:4] if name == dataset) for dataset in ("order_snapshots", "segments"))
    assert (first, last) == (30, 10)
    assert sum(count for _, count in served) == 60


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Figures:
    return figures_of(simulate(tmp_path_factory.mktemp("week"), "free", "top:20", SEED, START + timedelta(days=7)))


def test_a_week_of_the_free_plan_keeps_the_promises(week: Figures) -> None:
    assert_kept(week)
    assert week.busiest_day <= 100
    assert week.planned > week.arrived > 0


def test_a_promise_that_is_broken_is_seen(week: Figures) -> None:
    for broken in ({"clear_arrived": 0}, {"verdicts": 0}, {"over_plan": 1}, {"counted": 1}, {"lost": {Loss.NO_QUOTA: 1}}):
        with pytest.raises(AssertionError):
            assert_kept(replace(week, **broken))


def assert_within(month: Figures) -> None:
    """Never more requests than the plan has, and a verdict for every slot."""
    assert month.over_plan == 0
    assert month.counted == month.counted_in_ledger == sum(month.spent.values()) <= month.plan.most_a_month
    assert month.worst_minute <= (month.plan.per_minute or month.worst_minute)
    assert month.rows == month.keys == month.verdicts
    assert month.planned == month.arrived + month.healable + sum(month.lost.values())


def assert_kept(month: Figures) -> None:
    """What is promised of any month."""
    assert_within(month)
    assert not NOTHING_FAILS & month.lost.keys()
    assert month.clear_arrived == month.clear_planned > 0


@pytest.mark.long
@pytest.mark.parametrize("plan", ["pulse", "surge", "flow"])
def test_a_week_of_every_coin_keeps_the_promises(tmp_path: Path, plan: str) -> None:
    assert_kept(figures_of(simulate(tmp_path, plan, "all", SEED, START + timedelta(days=7))))


@pytest.fixture(scope="module")
def months() -> Mapping[str, Sequence[Figures]]:
    return all_figures()


@pytest.mark.soak
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("coins", ["top:20", "all"])
def test_a_month_of_each_plan_keeps_within_it_and_gives_each_slot_one_verdict(
    months: Mapping[str, Sequence[Figures]], coins: str, plan: str
) -> None:
    assert_within(next(month for month in months[coins] if month.plan.name == plan))


@pytest.mark.soak
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("coins", ["top:20", "all"])
def test_a_month_of_each_plan_has_what_it_could_afford(months: Mapping[str, Sequence[Figures]], coins: str, plan: str) -> None:
    assert_kept(next(month for month in months[coins] if month.plan.name == plan))


@pytest.mark.soak
def test_the_page_is_up_to_date(months: Mapping[str, Sequence[Figures]]) -> None:
    text = Path(DOCS_DIR / "month.md").read_text("utf-8")
    assert text == month_page(months) + "\n", "run `python -m orchestration.simulation`"
