"""What happens to a simulated month: when the provider is down, refuses, when the daemon is away, when states are published.

Belongs here: drawing it from a seed and asking it. Does not: requests (`provider`), what the project does about it (`sweeps`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random

MINUTE = timedelta(minutes=1)
SHORTEST_STATE, LONGEST_STATE = timedelta(minutes=15), timedelta(minutes=17)
# The provider promises its next state after the shortest time, and is often later.
PROMISED_STATE = SHORTEST_STATE


class Trouble(StrEnum):
    """What is wrong for a while."""

    UNREACHABLE = "unreachable"
    """No connection: nothing is counted by anybody."""
    FAILING = "failing"
    """Every answer is a 503, and is counted."""
    REFUSING = "refusing"
    """A share of the answers is a 429 that asks for some seconds of quiet."""
    AWAY = "away"
    """The daemon does not run."""


OUTAGES = frozenset({Trouble.UNREACHABLE, Trouble.FAILING})
# How long each of them lasts, in minutes: the shortest and the longest.
DRAWN: Sequence[tuple[Trouble, int, int]] = (
    (Trouble.UNREACHABLE, 150, 300),
    *[(Trouble.UNREACHABLE, 3, 40)] * 3,
    (Trouble.FAILING, 60, 120),
    *[(Trouble.FAILING, 3, 40)] * 3,
    (Trouble.AWAY, 180, 180),
    *[(Trouble.AWAY, 5, 45)] * 5,
    *[(Trouble.REFUSING, 2, 12)] * 12,
)


@dataclass(frozen=True)
class Spell:
    """One trouble, half-open `[start, end)` (UTC). Of a refusing provider: the share of answers, and the quiet, in seconds."""

    trouble: Trouble
    start: datetime
    end: datetime
    share: float = 1.0
    quiet_s: float = 0.0


class Weather:
    """Everything that happens between two instants (UTC); the same for the same seed."""

    def __init__(self, spells: Sequence[Spell], states: Sequence[datetime]) -> None:
        self.spells = sorted(spells, key=lambda spell: spell.start)
        self._states = list(states)

    @classmethod
    def drawn(cls, seed: int, start: datetime, end: datetime) -> Weather:
        random = Random(seed)
        return cls([_spell(random, *drawn, start, end) for drawn in DRAWN], [*_states(random, start, end)])

    def spell(self, moment: datetime, troubles: frozenset[Trouble]) -> Spell | None:
        """The trouble of these kinds at an instant; None without."""
        return next((s for s in self.spells if s.trouble in troubles and s.start <= moment < s.end), None)

    def is_away(self, moment: datetime) -> bool:
        return self.spell(moment, frozenset({Trouble.AWAY})) is not None

    def is_away_within(self, start: datetime, end: datetime) -> bool:
        """Whether the daemon is away at any time of a half-open window."""
        return any(s.trouble is Trouble.AWAY and s.start < end and start < s.end for s in self.spells)

    def is_clear(self, start: datetime, end: datetime) -> bool:
        """Whether nothing at all is wrong in a half-open window."""
        return not any(spell.start < end and start < spell.end for spell in self.spells)

    def state_at(self, moment: datetime) -> datetime:
        """The state that the provider shows at an instant."""
        return self._states[max(0, bisect_right(self._states, moment) - 1)]


def _spell(random: Random, trouble: Trouble, least: int, most: int, start: datetime, end: datetime) -> Spell:
    length = MINUTE * random.randint(least, most)
    begins = start + MINUTE * random.randrange((end - start - length) // MINUTE)
    is_refusing = trouble is Trouble.REFUSING
    share, quiet_s = (random.uniform(0.1, 0.5), random.uniform(2, 15)) if is_refusing else (1.0, 0.0)
    return Spell(trouble, begins, begins + length, share, quiet_s)


def _states(random: Random, start: datetime, end: datetime) -> Iterator[datetime]:
    moment = start - MINUTE * random.uniform(0, 15)
    while moment < end:
        yield moment.replace(microsecond=0)
        moment += random.uniform(0, 1) * (LONGEST_STATE - SHORTEST_STATE) + SHORTEST_STATE
