"""Whom to tell of what, and when: one message when a problem begins, one a day while it lasts, one when it is over.

Belongs here: the open problems with what each channel was told, as values and as a file of the data folder. Does not: finding
problems (`problems`), sending (`channels`). A problem that is away is over once it stayed away for a quarter of an hour: until
then its coming back is no news. A channel that is told of nothing yet is told of everything that is open.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from orchestration.alerting.problems import Found, Problem

REMINDED_AFTER = timedelta(hours=24)
OVER_AFTER = timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(days=2)


class Status(StrEnum):
    """What a message says of a problem."""

    OPENED = "opened"
    REMINDER = "reminder"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Message:
    """One thing to say on one channel; `at` is when it is said, `until` when the problem was gone (both UTC)."""

    status: Status
    problem: Problem
    at: datetime
    until: datetime | None = None


@dataclass(frozen=True)
class Told:
    """The last that one channel was told of a problem."""

    status: Status
    at: datetime


@dataclass(frozen=True)
class Entry:
    """A problem as it is remembered: since when it is open, since when it is away, and what was told to whom."""

    problem: Problem
    gone_at: datetime | None = None
    told: dict[str, Told] = field(default_factory=dict)

    def message(self, channel: str, now: datetime) -> Message | None:
        """What the channel is to be told now, if anything."""
        last = self.told.get(channel)
        if self.gone_at is not None:
            is_due = now - self.gone_at >= OVER_AFTER and (last is None or last.status is not Status.RESOLVED)
            return Message(Status.RESOLVED, self.problem, now, self.gone_at) if is_due else None
        if last is None or last.status is Status.RESOLVED:
            return Message(Status.OPENED, self.problem, now)
        return Message(Status.REMINDER, self.problem, now) if now - last.at >= REMINDED_AFTER else None

    def is_over(self, now: datetime) -> bool:
        return self.gone_at is not None and now - self.gone_at >= OVER_AFTER


Book = dict[str, Entry]


def remember(book: Book, found: Found, now: datetime) -> Book:
    """The book after a look: what is new is entered, what is away is marked, what could not be looked at stays as it was."""
    present = {problem.key: problem for problem in found.problems}
    kept = {key: _seen(entry, present.get(key), found.unseen, now) for key, entry in book.items()}
    # One that comes back after it was over is another problem, even if somebody was not told of the end of the first.
    anew = {key: Entry(problem) for key, problem in present.items() if key not in kept or kept[key].is_over(now)}
    return kept | anew


def _seen(entry: Entry, problem: Problem | None, unseen: Sequence[str], now: datetime) -> Entry:
    if problem is None:
        is_news = entry.gone_at is None and entry.problem.kind not in unseen
        return replace(entry, gone_at=now) if is_news else entry
    if entry.is_over(now):
        return entry
    return replace(entry, problem=replace(problem, since=entry.problem.since), gone_at=None)


def without_settled(book: Book, channels: Iterable[str], now: datetime) -> Book:
    """The book without what is over and was told to everybody, or to nobody for days."""
    names = list(channels)
    return {key: entry for key, entry in book.items() if not _is_settled(entry, names, now)}


def _is_settled(entry: Entry, channels: Sequence[str], now: datetime) -> bool:
    if entry.gone_at is None or not entry.is_over(now):
        return False
    is_told = all(name in entry.told and entry.told[name].status is Status.RESOLVED for name in channels)
    return is_told or now - entry.gone_at >= FORGOTTEN_AFTER


def read_book(file: Path) -> Book:
    """What the file says; a file that is not there or cannot be understood is an empty book: better told twice than never."""
    try:
        held = json.loads(file.read_text("utf-8"))
        return {key: _entry(values) for key, values in held.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write_book(file: Path, book: Book) -> None:
    """Replace the file as one step."""
    aside = file.with_suffix(f".{os.getpid()}.tmp")
    with aside.open("w", encoding="utf-8") as handle:
        json.dump({key: asdict(entry) for key, entry in book.items()}, handle, default=datetime.isoformat, indent=1)
        handle.flush()
        os.fsync(handle.fileno())
    aside.replace(file)


def _entry(values: dict[str, Any]) -> Entry:
    problem = Problem(**{**values["problem"], "since": _moment(values["problem"]["since"])})
    told = {name: Told(Status(one["status"]), _moment(one["at"])) for name, one in values["told"].items()}
    return Entry(problem, _moment(values["gone_at"]) if values["gone_at"] else None, told)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no offset")
    return moment
