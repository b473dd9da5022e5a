"""The picture of coverage: a strip a dataset, a cell a stretch of time, an axis of UTC times.

Belongs here: how long a cell is, which mark it gets, laying out the picture. Does not: reading coverage
(`reporting`), judging slots (`warehouse.coverage`). Every mark is a character of its own, so that colour may be missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from rich.text import Text

from orchestration.planning.pace import interval_words
from orchestration.planning.slots import EPOCH
from warehouse.coverage import Tally

DAY = timedelta(days=1)
CELLS = (*(timedelta(minutes=minutes) for minutes in (5, 15, 30)), timedelta(hours=1), timedelta(hours=2), DAY)
LABELS_EVERY = (
    *(timedelta(hours=hours) for hours in (1, 2, 3, 4, 6, 12)),
    *(timedelta(days=days) for days in (1, 2, 7, 28, 364)),
)
LABEL_WIDTH = 5
NAME_WIDTH = 26
FIGURES = (("arrived", 13), ("missing", 8), ("requests", 9))
LEAST_CELLS = 12


class Shown(Protocol):
    """What a strip is drawn of: figures of a dataset, and tallies by the instant at which a cell begins (UTC)."""

    @property
    def dataset(self) -> str: ...
    @property
    def due(self) -> int: ...
    @property
    def arrived(self) -> int: ...
    @property
    def missing(self) -> int: ...
    @property
    def requests_spent(self) -> int: ...
    @property
    def cells(self) -> Mapping[datetime, Tally]: ...


class Mark(Enum):
    """What a cell says: its character, its colour, its words."""

    ARRIVED = ("█", "green", "arrived")
    PARTLY = ("▒", "yellow", "in part")
    HEALABLE = ("o", "bold cyan", "can be healed")
    LOST = ("x", "bold red", "lost")
    IDLE = ("·", "dim", "not planned")
    NOTHING = (" ", "", "not due")

    @property
    def character(self) -> str:
        return self.value[0]

    @classmethod
    def of(cls, tally: Tally | None) -> Mark:
        """Of what is missing and nothing of it arrived, it is said whether any of it can be healed."""
        if tally is None or not tally.due:
            return cls.IDLE if tally and tally.idle else cls.NOTHING
        if tally.arrived:
            return cls.ARRIVED if tally.arrived == tally.due else cls.PARTLY
        return cls.HEALABLE if tally.healable else cls.LOST


def cell_for(width: int, since: datetime, until: datetime) -> timedelta:
    """The shortest cell with which a window fits a terminal of so many columns."""
    most = max(LEAST_CELLS, width - NAME_WIDTH - 1 - sum(columns for _, columns in FIGURES))
    days = -(-(until - since) // DAY) + 1
    longest = DAY * -(-days // (most - 1))
    return next((cell for cell in CELLS if len(cells_between(since, until, cell)) <= most), longest)


def cells_between(since: datetime, until: datetime, cell: timedelta) -> list[datetime]:
    """When each cell begins; cells are counted from the epoch."""
    first = EPOCH + (since - EPOCH) // cell * cell
    return [first + number * cell for number in range(-((first - until) // cell))]


def picture(statuses: Sequence[Shown], since: datetime, until: datetime, cell: timedelta) -> Iterator[Text]:
    """Line by line: what a cell is, the axis, a strip a dataset with its figures, the legend."""
    begins = cells_between(since, until, cell)
    yield Text(f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC, a cell is {interval_words(cell)}")
    yield Text(f"{'':{NAME_WIDTH}} {axis(begins, cell)}{_figures(*(name for name, _ in FIGURES))}")
    for status in statuses:
        yield _strip(status, begins)
    yield legend()


def _strip(status: Shown, begins: Sequence[datetime]) -> Text:
    line = Text(f"{status.dataset:{NAME_WIDTH}} ")
    for mark in marks(status, begins):
        line.append(mark.character, mark.value[1])
    figures = _figures(f"{status.arrived}/{status.due}", str(status.missing), str(status.requests_spent))
    return line.append(figures, "bold red" if status.missing else "")


def marks(status: Shown, begins: Sequence[datetime]) -> list[Mark]:
    """One for each cell."""
    return [Mark.of(status.cells.get(begin)) for begin in begins]


def _figures(*texts: str) -> str:
    return "".join(f"{text:>{columns}}" for text, (_, columns) in zip(texts, FIGURES, strict=True))


def axis(begins: Sequence[datetime], cell: timedelta) -> str:
    """Times above the cells that begin at them, as many as are told apart; days by their date."""
    every = next((step for step in LABELS_EVERY if step // cell >= LABEL_WIDTH + 1), LABELS_EVERY[-1])
    line = [" "] * len(begins)
    for place, begin in enumerate(begins):
        if (begin - EPOCH) % every < cell and place + LABEL_WIDTH <= len(begins):
            line[place : place + LABEL_WIDTH] = f"{begin:%m-%d}" if every >= DAY else f"{begin:%H:%M}"
    return "".join(line)


def legend() -> Text:
    """What each mark means, in one line."""
    line = Text()
    for mark in Mark:
        line.append(mark.character if mark is not Mark.NOTHING else "blank", mark.value[1])
        line.append(f" {mark.value[2]}  ")
    line.rstrip()
    return line
