"""What a simulated month's plan makes due: the plan in force and its scopes, remembered where the answer is the same.

Belongs here: asking `plan_in_force` on the days on which the listed coins changed, as its answer only changes then, and
`scopes_due` once for all slots alike. Does not: either of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime

from orchestration.hypertracker.endpoint import Dataset
from orchestration.plan_in_force import plan_in_force, scopes_due
from orchestration.planning.slots import EPOCH
from orchestration.settings import Settings
from warehouse.plans import PlanBook, PlanRecord


class Timetable:
    """The plan of a slot, made by the settings; `universe` gives the listed coins at an instant (UTC), largest first."""

    def __init__(self, settings: Settings, book: PlanBook, universe: Callable[[datetime], Sequence[str]]) -> None:
        self._settings, self._book, self._universe = settings, book, universe
        self._plans: dict[date, PlanRecord] = {}
        self._of_coins: dict[tuple[str, ...], PlanRecord] = {}
        self._intervals: dict[tuple[datetime, str], list[int]] = {}
        self._due: dict[tuple[datetime, str, tuple[int, ...]], tuple[str, ...]] = {}

    def plan(self, moment: datetime) -> PlanRecord:
        """The plan in force on the day of an instant."""
        if moment.date() not in self._plans:
            coins = tuple(self._universe(moment))
            if coins not in self._of_coins:
                self._of_coins[coins] = plan_in_force(self._settings, self._book, coins, moment)
            self._plans[moment.date()] = self._of_coins[coins]
        return self._plans[moment.date()]

    def due(self, dataset: Dataset, slot: datetime) -> tuple[str, ...]:
        """The scopes of a dataset that are polled at a slot."""
        plan, since_epoch_s = self.plan(slot), int((slot - EPOCH).total_seconds())
        key = (plan.valid_from_at, dataset.name)
        if key not in self._intervals:
            self._intervals[key] = sorted(set(plan.intervals(dataset.name).values()))
        due = tuple(interval for interval in self._intervals[key] if since_epoch_s % interval == 0)
        if not due:
            return ()
        if (*key, due) not in self._due:
            self._due[*key, due] = tuple(scopes_due(plan, dataset, slot))
        return self._due[*key, due]
