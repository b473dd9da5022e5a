"""Sending requests in a simulated month: turns of the real budget, answers of the simulated provider, retries.

Belongs here: many requests as one where they have the same fate; leaving places to sweeps whose requests are ranked before,
which in earnest the budget's file tells. Does not: what is asked and when (`sweeps`, `mending`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import count
from random import Random

from orchestration.budget import Budget, Grant, Granted, Later
from orchestration.budget_entries import A_SECOND
from orchestration.hypertracker.client import ApiAccess
from orchestration.hypertracker.retries import FIRST_WAIT_S, LONGEST_WAIT_S
from orchestration.hypertracker.tally import Bounds
from orchestration.planning.plans import Plan
from orchestration.planning.urgency import Urgency
from orchestration.simulation.agenda import Agenda
from orchestration.simulation.chronicle import Chronicle, Entry
from orchestration.simulation.provider import Answer, Fate, Provider
from orchestration.simulation.weather import Weather
from warehouse.ledger import Verdict

ATTEMPTS = Bounds().attempts
CONNECTIONS: int = ApiAccess.connections
# Of several sweeps at once each sends so many at a turn; in earnest as many as it has connections, which costs a grant each.
AT_ONCE_AMONG_OTHERS = 64
# Meanwhile the others send.
ANSWER_TAKES = timedelta(milliseconds=100)
NO_LIMIT = 1_000_000
LOOKS_AGAIN = A_SECOND
NEVER = datetime.max.replace(tzinfo=UTC)


class Purpose(StrEnum):
    """What a request was spent on."""

    PLANNED = "planned"
    RETRY = "retry"
    READING = "reading"
    HEALING = "healing"


class Why(StrEnum):
    """Why a fetch failed, as its row in the ledger says."""

    DOWN = "the provider was down"
    REFUSED = f"429 at {ATTEMPTS} attempts"
    NO_QUOTA = "not asked: the quota is spent, or kept for more urgent ones"
    NO_TIME = "not sent before its slot ended"
    MOVED = "the state moved during the sweep, twice"
    OVER_PLAN = "refused: above the plan"


WHY = {Fate.UNREACHABLE: Why.DOWN, Fate.FAILING: Why.DOWN, Fate.REFUSED: Why.REFUSED, Fate.OVER_PLAN: Why.OVER_PLAN}


@dataclass(frozen=True)
class Batch:
    """Scopes of a dataset still to be asked for a slot, each for `each` requests, before `ends_at`; not before `again_at`.

    `tries` were made for them, for `spent` requests each. Where `is_waiting` the caller says what became of them.
    """

    dataset: str
    scopes: tuple[str, ...]
    slot: datetime
    urgency: Urgency
    purpose: Purpose
    ends_at: datetime
    each: int = 1
    source: str = ""
    tries: int = 0
    spent: int = 0
    again_at: datetime | None = None
    is_waiting: bool = False

    @property
    def requests(self) -> int:
        return self.each * len(self.scopes)

    @property
    def rank(self) -> tuple[Urgency, datetime]:
        """The lower, the sooner it is sent. Errands are in the order in which they expire."""
        return self.urgency, NEVER if self.urgency is Urgency.BACKFILL else self.ends_at

    def is_ready(self, now: datetime) -> bool:
        return self.again_at is None or self.again_at <= now

    def cut(self, count: int) -> tuple[Batch, Batch]:
        """The first so many scopes, and the rest."""
        return replace(self, scopes=self.scopes[:count]), replace(self, scopes=self.scopes[count:])


Asking = Generator[datetime, None, list[Batch]]


class Asker:
    """Asks for batches on behalf of every sweep; counts what was spent by purpose."""

    def __init__(
        self, agenda: Agenda, budget: Budget, plan: Plan, provider: Provider, weather: Weather, chronicle: Chronicle, seed: int
    ) -> None:
        self._agenda, self.budget, self._plan = agenda, budget, plan
        self._provider, self._weather, self._chronicle = provider, weather, chronicle
        self._random, self._numbers = Random(seed), count()
        self._lines: dict[int, list[Batch]] = {}
        self.spent: Counter[Purpose] = Counter()

    def ask(self, batches: Iterable[Batch], ended: set[Urgency] | None = None) -> Asking:
        """Ask for them, what is more urgent or ends sooner first; gives those that were served. Of backfill nothing is noted but
        answers and failures: what the quota leaves out is as missing as before. `ended` is told what the quota refused."""
        line, served = next(self._numbers), list[Batch]()
        self._lines[line] = [*batches]
        try:
            while pending := self._in_time(self._lines[line]):
                self._lines[line] = pending
                done, moment = self._step(line, set() if ended is None else ended)
                served += done
                if moment is not None:
                    yield moment
        finally:
            del self._lines[line]
        return served

    def _step(self, line: int, ended: set[Urgency]) -> tuple[list[Batch], datetime | None]:
        """One turn of a line: what was served, and when it goes on, None at once."""
        pending, now = self._lines[line], self._agenda.now
        ready = [batch for batch in pending if batch.is_ready(now)]
        if not ready:
            return [], min(batch.again_at for batch in pending if batch.again_at)
        rank = min(batch.rank for batch in ready)
        chosen, grant = self._granted([batch for batch in ready if batch.rank == rank], self._ahead(line, rank))
        match grant:
            case Later(moment):
                # The more urgent wake first.
                return [], moment + timedelta(milliseconds=50 * (rank[0] + self._random.random()))
            case Granted(ticket):
                taken = [id(whole) for _, whole in chosen]
                left = [whole.cut(len(piece.scopes))[1] for piece, whole in chosen]
                done, again = self._sent(ticket, [piece for piece, _ in chosen])
                rest = [batch for batch in pending if id(batch) not in taken]
                self._lines[line] = [*rest, *(batch for batch in left if batch.scopes), *again]
                return done, now + ANSWER_TAKES if self._lines[line] and len(self._lines) > 1 else None
        ended.add(rank[0])
        self._fail([batch for batch in pending if batch.urgency >= rank[0]], Why.NO_QUOTA)
        self._lines[line] = [batch for batch in pending if batch.urgency < rank[0]]
        return [], None

    def _ahead(self, line: int, rank: tuple[Urgency, datetime]) -> int:
        """Requests of other sweeps that are ranked before."""
        now = self._agenda.now
        others = (batch for number, held in self._lines.items() if number != line for batch in held)
        return sum(batch.requests for batch in others if batch.rank < rank and batch.is_ready(now))

    def _in_time(self, batches: Sequence[Batch]) -> list[Batch]:
        late = [batch for batch in batches if batch.ends_at <= self._agenda.now]
        self._fail(late, Why.NO_TIME)
        return [batch for batch in batches if batch.ends_at > self._agenda.now]

    def _fail(self, batches: Iterable[Batch], why: Why) -> None:
        for batch in batches:
            if batch.urgency is not Urgency.BACKFILL or batch.spent:
                self._note(batch, Verdict.FAILED, why)

    def _granted(self, ready: Sequence[Batch], ahead: int) -> tuple[list[tuple[Batch, Batch]], Grant]:
        """What may be sent at once, one scope at least, and the leave to send it: all of it, else what there is room for when
        so many places are left to others."""
        urgency = ready[0].urgency
        most = self._most(urgency)
        if ahead and self._plan.per_minute and self.budget.spendable(urgency) != 0:
            most = min(most, (self.budget.left().this_minute or 0) - ahead)
            if most < min(batch.each for batch in ready):
                return [], Later(self._agenda.now + LOOKS_AGAIN)
        chosen = _cut(ready, most)
        grant = self.budget.grant(urgency, _requests(chosen))
        if isinstance(grant, Granted) or len(chosen) == len(chosen[0][0].scopes) == 1:
            return chosen, grant
        chosen = _cut(ready, min(most, self._room(urgency)))
        return chosen, self.budget.grant(urgency, _requests(chosen))

    def _most(self, urgency: Urgency) -> int:
        """The most that are ever sent at one turn."""
        bounds = [self._plan.per_minute or NO_LIMIT]
        if len(self._lines) > 1:
            bounds.append(AT_ONCE_AMONG_OTHERS)
        if not self._weather.is_clear(self._agenda.now, self._agenda.now + timedelta(seconds=1)):
            bounds.append(CONNECTIONS)
        if urgency is Urgency.BACKFILL and self._plan.per_minute:
            bounds.append(self._plan.per_minute // 2)
        return min(bounds)

    def _room(self, urgency: Urgency) -> int:
        """What minute, day and month have left."""
        bounds = (self.budget.left().this_minute, self.budget.spendable(urgency), NO_LIMIT)
        return min(bound for bound in bounds if bound is not None)

    def _sent(self, ticket: int, batches: Sequence[Batch]) -> tuple[list[Batch], list[Batch]]:
        """What was served, and what is asked again."""
        now, count = self._agenda.now, sum(batch.requests for batch in batches)
        answer = self._provider.ask(now, count)
        self._tell(ticket, answer)
        if answer.fate is not Fate.UNREACHABLE:
            self._count(batches)
        served, again, left = [], [], answer.served
        for batch in batches:
            answered, unanswered = batch.cut(min(len(batch.scopes), left // batch.each))
            left -= answered.requests
            if answered.scopes:
                served.append(self._served(answered))
            if unanswered.scopes:
                again += self._again(unanswered, answer)
        return served, again

    def _served(self, batch: Batch) -> Batch:
        done = replace(batch, spent=batch.spent + batch.each, tries=batch.tries + 1)
        if not batch.is_waiting:
            self._note(done, Verdict.LOADED)
        return done

    def _again(self, batch: Batch, answer: Answer) -> list[Batch]:
        cost = 0 if answer.fate is Fate.UNREACHABLE else batch.each
        tried = replace(batch, spent=batch.spent + cost, tries=batch.tries + 1)
        if tried.tries >= ATTEMPTS:
            self._note(tried, Verdict.FAILED, WHY[answer.fate])
            return []
        wait_s = answer.quiet_s if answer.fate is Fate.REFUSED else min(FIRST_WAIT_S * 2 ** (tried.tries - 1), LONGEST_WAIT_S)
        return [replace(tried, again_at=self._agenda.now + timedelta(seconds=wait_s))]

    def _tell(self, ticket: int, answer: Answer) -> None:
        """Pass on what the client would pass on."""
        if answer.fate is Fate.UNREACHABLE:
            self.budget.refund(ticket)
            return
        self.budget.answered(ticket)
        if answer.fate is Fate.REFUSED:
            self.budget.rate_limited(answer.quiet_s)

    def _count(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            is_retry = batch.tries and batch.purpose is Purpose.PLANNED
            self.spent[Purpose.RETRY if is_retry else batch.purpose] += batch.requests

    def _note(self, batch: Batch, verdict: Verdict, reason: str = "") -> None:
        entry = (batch.dataset, batch.scopes, batch.slot, self._agenda.now, verdict, reason, batch.spent, batch.source)
        self._chronicle.note(Entry(*entry))

    def note(self, batch: Batch, verdict: Verdict, reason: str = "") -> None:
        """Say what became of a batch that waited for it."""
        self._note(batch, verdict, reason)


def _cut(ready: Sequence[Batch], room: int) -> list[tuple[Batch, Batch]]:
    """The scopes that so many requests pay for, one at least: pieces, each with the batch that it is of. Retries go first."""
    chosen: list[tuple[Batch, Batch]] = []
    for batch in sorted(ready, key=lambda held: held.again_at is None):
        count = min(len(batch.scopes), max(room // batch.each, 0 if chosen else 1))
        if not count:
            break
        chosen.append((batch.cut(count)[0], batch))
        room -= count * batch.each
    return chosen


def _requests(chosen: Iterable[tuple[Batch, Batch]]) -> int:
    return sum(batch.requests for batch, _ in chosen)
