"""Two data folders of one market at the same moments: a calm one, and one that is struck by faults slot after slot.

Belongs here: which fault strikes what, the two folders, polling them. Does not: what must hold afterwards (`oracles`), asking it
(`test_gauntlet`).

In a round every dataset and scope is struck by one fault at the same slot; then the faults end, and the slot is polled again
while it is in force. What strikes everything at once strikes one slot, one trouble after the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import stamina

from orchestration.clock import SteppedClock
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.pipeline import Outcome, Pipeline
from orchestration.settings import load_settings
from sandbox import Fault, Sandbox, SandboxSettings, running_sandbox

BEGIN = datetime(2026, 3, 26, tzinfo=UTC)
STEP = timedelta(minutes=30)
ASKED_AFTER = timedelta(seconds=5)
BETWEEN_TROUBLES = timedelta(seconds=15)
COINS = ("BTC", "ETH", "SOL")
SCOPES = {"coins": ("",), "open_positions": COINS, "order_snapshots": COINS, "market_metrics": ("",)}
MEBIBYTE = 1 << 20
DATASETS = tuple(replace(BY_NAME[name], page_limit=10, cap_bytes=2 * MEBIBYTE) for name in ("state_status", *SCOPES))
# Where a dataset is asked, and where its file is: by leg.
PATHS = {
    "coins": {"api": "/positions/coins$"},
    "open_positions": {"api": "/positions/open/coin/{scope}$", "storage": "/positions/open/coin/{scope}-"},
    "order_snapshots": {"api": "/5m-snapshots/coins/{scope}/", "storage": "/5m-snapshots/coins/{scope}/"},
    "market_metrics": {"api": "/position-metrics/general"},
}
PLAN = "100000/day,6000/minute"
NEW_TOKEN = "another-sandbox-token"


@dataclass(frozen=True)
class Strike:
    """One fault of the sandbox on one dataset and scope; `count` None lasts for the whole poll."""

    kind: str
    leg: str = "api"
    count: int | None = None
    params: dict[str, Any] = field(default_factory=dict)

    def fault(self, dataset: str, scope: str) -> Fault:
        return Fault(self.kind, PATHS[dataset][self.leg].format(scope=scope), self.leg, self.count, **self.params)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Case:
    """What strikes a dataset, and how its slot ends: `verdict` and `requests` of the poll that was struck.

    `proves` names the faults and what the user sees. `is_odd`: the bytes that were loaded are not those of the calm folder.
    `by_name`: it is asked again only when somebody names the dataset.
    """

    name: str
    dataset: str
    proves: tuple[tuple[str, str], ...]
    strikes: tuple[Strike, ...]
    requests: int
    verdict: str = "loaded"
    mend: str = ""
    is_odd: bool = False
    by_name: bool = False


@dataclass(frozen=True)
class Trouble:
    """What strikes everything: a fault of all requests, or a provider that is not where it is looked for."""

    name: str
    proves: tuple[tuple[str, str], ...]
    strike: Strike | None = None
    after: int = 0
    api_url: str = ""
    verdicts: frozenset[str] = frozenset({"failed"})
    mend: str = ""


@dataclass
class Placed:
    """A case with the scope and slot it struck, and the fetches of the struck poll and of those after it."""

    case: Case
    scope: str
    slot: datetime
    struck: list[Outcome] = field(default_factory=list)
    after: list[Outcome] = field(default_factory=list)

    def own(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        key = (self.case.dataset, self.scope)
        return [outcome for outcome in outcomes if (outcome.record.dataset, outcome.record.scope) == key]


def rounds_of(cases: Sequence[Case]) -> list[list[Placed]]:
    """The cases, as many a round as there are scopes that are not struck yet."""
    rounds: dict[int, list[Placed]] = defaultdict(list)
    counts: dict[str, int] = defaultdict(int)
    for case in cases:
        number, place = divmod(counts[case.dataset], len(SCOPES[case.dataset]))
        rounds[number].append(Placed(case, SCOPES[case.dataset][place], BEGIN + number * STEP))
        counts[case.dataset] += 1
    return [rounds[number] for number in sorted(rounds)]


@dataclass
class Gauntlet:
    """The two folders, and what became of everything."""

    sandbox: Sandbox
    calm: Pipeline
    struck: Pipeline
    token_file: Path
    placed: dict[str, Placed] = field(default_factory=dict)
    troubled: dict[str, list[Outcome]] = field(default_factory=dict)
    served: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    end: datetime = BEGIN

    def poll(self, pipeline: Pipeline, slot: datetime, at: datetime, **how: Any) -> list[Outcome]:
        """Poll at a moment; the statuses of what the provider answered meanwhile are kept."""
        self.sandbox.clock.set(at)
        before = len(self.sandbox.requests())
        outcomes = pipeline.poll(how.pop("datasets", DATASETS), slot, **how)
        answered = [request.status for request in self.sandbox.requests()[before:] if request.leg == "api"]
        self.served["calm" if pipeline is self.calm else "struck"] += answered
        return outcomes

    def run_round(self, placed: Sequence[Placed]) -> None:
        slot = placed[0].slot
        at = slot + ASKED_AFTER
        self.poll(self.calm, slot, at)
        for one in placed:
            self.placed[one.case.name] = one
            for strike in one.case.strikes:
                self.sandbox.faults.add(strike.fault(one.case.dataset, one.scope))
        struck = self.poll(self.struck, slot, at)
        self.sandbox.faults.clear()
        after = self.poll(self.struck, slot, at, only_waiting=True)
        if named := [dataset for dataset in DATASETS if any(p.case.by_name and p.case.dataset == dataset.name for p in placed)]:
            after += self.poll(self.struck, slot, at, datasets=named, beyond_plan=True, only_waiting=True)
        for one in placed:
            one.struck, one.after = one.own(struck), one.own(after)
        self.end = slot + STEP

    def run_troubles(self, troubles: Sequence[Trouble]) -> None:
        slot = self.end
        for number, trouble in enumerate(troubles):
            at = slot + ASKED_AFTER + number * BETWEEN_TROUBLES
            self.troubled[trouble.name] = self._poll_troubled(trouble, slot, at)
            self.token_file.write_text(self.sandbox.token)
        last = slot + ASKED_AFTER + len(troubles) * BETWEEN_TROUBLES
        self.poll(self.calm, slot, last)
        self.troubled["none"] = self.poll(self.struck, slot, last, only_waiting=True)
        self.end = slot + STEP

    def _poll_troubled(self, trouble: Trouble, slot: datetime, at: datetime) -> list[Outcome]:
        pipeline = self.struck
        if trouble.api_url:
            elsewhere = pipeline.settings.model_copy(update={"api_url": trouble.api_url})
            pipeline = Pipeline(elsewhere, pipeline.clock)
        if trouble.strike:
            strike = trouble.strike
            self.sandbox.faults.add(Fault(strike.kind, "", "api", strike.count, trouble.after, **strike.params))
        outcomes = self.poll(pipeline, slot, at, only_waiting=True)
        self.sandbox.faults.clear()
        return outcomes


@contextmanager
def gauntlet(folder: Path, datasets: Sequence[str] = tuple(SCOPES)) -> Iterator[Gauntlet]:
    """A market and two empty folders; retries do not wait."""
    sizes = SandboxSettings(coins=4, positions=150, orders=120, seed=11, start=BEGIN, clock="manual")
    stamina.set_testing(True, attempts=5)
    with running_sandbox(sizes) as sandbox:
        token_file = folder / "token"
        token_file.write_text(sandbox.token)
        clock = SteppedClock(sandbox.clock.now, sandbox.clock.set)
        calm, struck = (
            Pipeline(
                load_settings(
                    api_url=sandbox.api_url, api_token_file=token_file, coins=",".join(COINS), plan=PLAN, freshness="30min",
                    datasets=",".join(datasets), data_dir=folder / name,
                ),
                clock,
            )
            for name in ("calm", "struck")
        )  # fmt: skip
        yield Gauntlet(sandbox, calm, struck, token_file)
    stamina.set_testing(False)
