"""What answers mean over hours: what is refused is left alone, what is down is told of once, and healed when it is back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from orchestration.alerting.notices import Book, Status, Told, remember
from orchestration.alerting.problems import Problem, find_problems
from orchestration.filling import healing, run_errands
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.hypertracker.endpoint import Dataset
from orchestration.pipeline import Outcome
from sandbox import Fault
from tests.reliability import oracles
from tests.reliability.gauntlet import ASKED_AFTER, BEGIN, STEP, Gauntlet, gauntlet

Said = Callable[..., None]
ASKED = tuple(BY_NAME[name] for name in ("state_status", "coins", "order_snapshots", "market_metrics"))
SLOTS = [BEGIN + number * STEP for number in range(7)]
pytestmark = pytest.mark.long


@dataclass
class Watched:
    """A folder polled slot after slot, and everything that an alert channel was told of it."""

    made: Gauntlet
    datasets: tuple[Dataset, ...] = ASKED
    book: Book = field(default_factory=dict)
    told: list[Problem] = field(default_factory=list)

    def poll(self, slot: datetime, **how: bool) -> dict[str, Outcome]:
        """The last outcome of each dataset, of any of its scopes."""
        outcomes = self.made.poll(self.made.struck, slot, slot + ASKED_AFTER, datasets=self.datasets, **how)
        self.look()
        return {outcome.record.dataset: outcome for outcome in outcomes}

    def look(self) -> None:
        now = self.made.struck.clock.now()
        self.book = remember(self.book, find_problems(self.made.struck, None), now)
        for entry in self.book.values():
            if message := entry.message("channel", now):
                self.told += [message.problem] if message.status is not Status.RESOLVED else []
                entry.told["channel"] = Told(message.status, now)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with gauntlet(tmp_path, [dataset.name for dataset in ASKED]) as made:
        yield Watched(made)


@pytest.fixture
def coins(tmp_path: Path) -> Iterator[Watched]:
    """A folder that collects nothing but the list of coins."""
    with gauntlet(tmp_path, ["coins"]) as made:
        yield Watched(made, ASKED[:2])


def asked_for(watched: Watched, path: str) -> int:
    return sum(path in request.path for request in watched.made.sandbox.requests() if request.leg == "api")


@pytest.mark.proves(
    "400", sees="no retry; one request after an hour, two hours, and so on; one alert: “start should not be empty”, "
    "with the mend “or at once by `htw poll coins`”",
)  # fmt: skip
def test_what_is_refused_is_left_alone_for_longer_and_longer(coins: Watched, said: Said) -> None:
    coins.made.sandbox.faults.add(Fault("status", "/positions/coins", status=400, body={"message": "start should not be empty"}))
    asked, seen = [], []
    for slot in SLOTS:
        before = asked_for(coins, "/positions/coins")
        outcome = coins.poll(slot)["coins"]
        assert healing(coins.made.struck) == []
        asked.append(asked_for(coins, "/positions/coins") - before)
        seen.append((slot, outcome.judgement.reason))
        said(outcome.judgement.reason, outcome.judgement.mend)
    # At 00:00; an hour later; two hours after that.
    assert asked == [1, 0, 1, 0, 0, 0, 1]
    assert sum("not asked again so soon" in reason for _, reason in seen) == asked.count(0)
    assert [problem.key for problem in coins.told] == ["late:coins"]
    said(coins.told[0].cause, coins.told[0].command)


def test_who_names_a_refused_dataset_asks_all_the_same(coins: Watched) -> None:
    coins.made.sandbox.faults.add(Fault("status", "/positions/coins", count=1, status=400))
    assert coins.poll(BEGIN)["coins"].judgement.verdict.value == "failed"
    assert coins.poll(BEGIN)["coins"].record.requests_spent == 0
    assert coins.poll(BEGIN, beyond_plan=True)["coins"].judgement.verdict.value == "loaded"
    assert coins.poll(BEGIN + STEP)["coins"].record.requests_spent == 1


@pytest.mark.proves(
    "5xx-hours", sees="one alert for each dataset, not one a slot: “the API answers with status 503”; afterwards what "
    "can still be had is healed, and the rest says that it is lost",
)  # fmt: skip
def test_hours_of_5xx_are_told_of_once_and_healed_when_they_are_over(watched: Watched, said: Said) -> None:
    watched.poll(SLOTS[0])
    watched.made.sandbox.faults.add(Fault("status", status=503))
    for slot in SLOTS[1:4]:
        watched.poll(slot)
    said(*(problem.cause for problem in watched.told))
    assert sorted(problem.key for problem in watched.told) == [f"late:{name}" for name in sorted(d.name for d in ASKED)]
    assert all(problem.command for problem in watched.told)
    watched.made.sandbox.faults.clear()
    watched.poll(SLOTS[4])
    before = len(watched.made.sandbox.requests())
    for outcomes in run_errands(watched.made.struck, healing(watched.made.struck), publish=False):
        assert outcomes
    assert len(watched.made.sandbox.requests()) > before
    missing = oracles.check_coverage(watched.made.struck, BEGIN, SLOTS[4] + timedelta(seconds=1))
    assert {(dataset, verdict) for dataset, _, _, verdict in missing} == {("coins", "failed"), ("state_status", "failed")}
    assert healing(watched.made.struck) == []
