"""The plan that is followed: made of the wishes, kept with its validity, looked at again once a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.hypertracker.datasets import BY_NAME, DATASETS
from orchestration.plan_in_force import live_demand, plan_in_force, scopes_due, scopes_wished
from orchestration.planning.slots import slots_between
from orchestration.settings import Settings, load_offline_settings
from warehouse.plans import PlanBook, create_plans, write_plans

NOW = datetime(2026, 3, 24, 10, 7, tzinfo=UTC)
COINS = [f"C{number}" for number in range(40)]


def settings(**wishes: Any) -> Settings:
    return load_offline_settings(**{"coins": "top:20", "datasets": "all", "plan": "pulse"} | wishes)


@pytest.fixture
def book(tmp_path: Path) -> PlanBook:
    return PlanBook(tmp_path)


def test_a_plan_is_valid_from_the_slot_in_force_and_kept(book: PlanBook) -> None:
    made = plan_in_force(settings(), book, COINS, NOW)
    assert made.valid_from_at == datetime(2026, 3, 24, 10, 5, tzinfo=UTC)
    assert book.newest() == made == book.in_force(NOW)
    assert book.in_force(made.valid_from_at - timedelta(seconds=1)) is None


def test_the_same_wishes_make_no_other_plan(book: PlanBook) -> None:
    made = plan_in_force(settings(), book, COINS, NOW)
    assert plan_in_force(settings(), book, list(reversed(COINS)), NOW + timedelta(hours=9)) == made
    assert len(book.all()) == 1


def test_the_ranks_of_another_day_make_another_plan(book: PlanBook) -> None:
    made = plan_in_force(settings(), book, COINS, NOW)
    same = plan_in_force(settings(), book, COINS, NOW + timedelta(days=1))
    assert (same.valid_from_at, same.reviewed_on) == (made.valid_from_at, NOW.date() + timedelta(days=1))
    other = plan_in_force(settings(), book, list(reversed(COINS)), NOW + timedelta(days=2))
    assert [plan.valid_from_at for plan in book.all()] == [made.valid_from_at, other.valid_from_at]
    assert set(other.intervals("open_positions")) <= set(COINS[20:])


@pytest.mark.parametrize(
    "wish", [{"coins": "C1,C2"}, {"plan": "surge"}, {"datasets": "coins"}, {"freshness": "2h"}, {"reserve": 0.5}]
)
def test_other_wishes_make_another_plan_at_once(book: PlanBook, wish: dict[str, Any]) -> None:
    first = plan_in_force(settings(), book, COINS, NOW)
    second = plan_in_force(settings(**wish), book, COINS, NOW + timedelta(minutes=5))
    assert second.valid_from_at == first.valid_from_at + timedelta(minutes=5)
    assert book.in_force(NOW) == first


def test_without_a_list_of_coins_nothing_is_kept_and_the_market_is_polled(book: PlanBook) -> None:
    made = plan_in_force(settings(), book, [], NOW)
    assert book.all() == []
    assert made.intervals("coins")
    assert not made.intervals("open_positions")


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_a_whole_plan_polls_every_scope_at_every_slot(book: PlanBook, dataset: Any) -> None:
    plan = plan_in_force(settings(plan="1000000/day", coins="BTC,xyz:GOLD"), book, [], NOW)
    for slot in slots_between(dataset.cadence, NOW, NOW + timedelta(days=2)):
        assert sorted(scopes_due(plan, dataset, slot)) == sorted(dataset.scopes(["BTC", "xyz:GOLD"]))


@pytest.mark.parametrize("name", ["free", "pulse", "surge", "stream"])
def test_what_is_due_over_a_week_is_what_the_plan_said_it_costs(book: PlanBook, name: str) -> None:
    plan = plan_in_force(settings(plan=name, coins="all"), book, COINS, NOW)
    week = (NOW.replace(hour=0, minute=0), NOW.replace(hour=0, minute=0) + timedelta(days=7))
    asked = sum(
        len(scopes_due(plan, dataset, slot)) * dataset.requests_a_poll
        for dataset in DATASETS
        for slot in slots_between(dataset.cadence, *week)
    )
    planned = 7 * (plan.perishable_a_day + plan.freshness_a_day)
    # The readings of the state around sweeps are planned too, and asked by the sweep.
    assert 0.5 * planned < asked <= planned


def test_freshness_is_a_bound_for_one_dataset_or_all(book: PlanBook) -> None:
    plan = plan_in_force(settings(plan="1000000/day", freshness="2h,coins=30min"), book, COINS, NOW)
    assert set(plan.intervals("coins").values()) == {1800}
    assert set(plan.intervals("open_positions").values()) == {7200}
    assert set(plan.intervals("segments").values()) == {86_400}


def test_what_is_not_afforded_is_wished_for_all_the_same(book: PlanBook) -> None:
    plan, orders = plan_in_force(settings(plan="free"), book, COINS, NOW), BY_NAME["order_snapshots"]
    assert scopes_due(plan, orders, NOW.replace(minute=0)) == []
    assert set(scopes_wished(plan, orders, NOW)) == set(COINS[:20])


def test_live_polls_leave_a_little_for_being_repeated(book: PlanBook) -> None:
    plan = plan_in_force(settings(), book, COINS, NOW)
    assert plan.perishable_a_day < live_demand(plan).perishable_a_day < 1.1 * plan.perishable_a_day


def test_the_tables_hold_what_the_book_holds(book: PlanBook) -> None:
    with duckdb.connect() as connection:
        create_plans(connection)
        for day, coins in enumerate((COINS, list(reversed(COINS)))):
            plan_in_force(settings(), book, coins, NOW + timedelta(days=day))
            write_plans(connection, book)
        write_plans(connection, book)
        assert connection.execute("select plan, requests_a_minute from ops.plans").fetchall() == [("pulse", 60)] * 2
        rows = connection.execute("select count(*), count(distinct valid_from_at) from ops.plan_paces").fetchone()
        assert rows == (sum(len(plan.paces) for plan in book.all()), 2)
        next(book.folder.glob("*.json")).unlink()
        write_plans(connection, book)
        assert connection.execute("select count(*) from ops.plans").fetchone() == (1,)
