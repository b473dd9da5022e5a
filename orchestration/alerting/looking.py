"""One look: what is wrong, and everybody told of what they do not know yet.

Belongs here: the order of finding, telling and remembering. Does not: when to look (`sensors`), each of the three.
What a channel took is written down at once, so that a process that dies in between repeats one message at most; a channel that
fails is tried again at the next look, and holds up no other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import dagster as dg

from orchestration.alerting.channels import Channel, ChannelError, channels_of
from orchestration.alerting.notices import Book, Message, Status, Told, read_book, remember, without_settled, write_book
from orchestration.alerting.problems import Found, Problem, find_problems
from orchestration.alerting.wording import counted
from orchestration.pipeline import Pipeline
from orchestration.sole import sole

# A sensor has a minute; what is not said by then is said at the next look.
TELLING_S = 30.0
NO_CHANNEL = "alerts are off: none of HTW_ALERT_SLACK_WEBHOOK, HTW_ALERT_WEBHOOK, HTW_ALERT_EMAIL_TO is set"


@dataclass(frozen=True)
class Looked:
    """What a look found, how many messages were taken, and why a channel failed, by its name."""

    found: Found
    sent: int = 0
    failures: tuple[tuple[str, str], ...] = ()
    is_silent: bool = False

    @property
    def words(self) -> str:
        """One line for the log."""
        if self.is_silent:
            return NO_CHANNEL
        failures = "".join(f"; {name} failed: {says}" for name, says in self.failures)
        return f"{counted(len(self.found.problems), 'open problem')}; {counted(self.sent, 'message')} sent{failures}"


def look(pipeline: Pipeline, instance: dg.DagsterInstance | None, found: Found | None = None) -> Looked:
    """Find what is wrong and tell every channel that is set what it does not know yet; `found` where somebody looked just now.

    Where no channel is set nothing is looked for and nothing written. May be called by many processes at any time.
    """
    channels = channels_of(pipeline.settings)
    if not channels:
        return Looked(found or Found(()), is_silent=True)
    file = pipeline.settings.alerts_file
    with sole(file.with_suffix(".lock")) as is_alone:
        found = found or find_problems(pipeline, instance)
        return _tell(file, channels, found, pipeline.clock.now()) if is_alone else Looked(found)


def try_channels(channels: Sequence[Channel], now: datetime) -> dict[str, str]:
    """Send a test message to each channel; by name, why it failed, empty where it did not."""
    problem = Problem("test", "this is a test", "somebody ran `htw alerts test`", "nothing needs mending", now)
    results = {}
    for channel in channels:
        try:
            channel.send([Message(Status.OPENED, problem, now)])
            results[channel.name] = ""
        except ChannelError as error:
            results[channel.name] = str(error)
    return results


def open_problems(pipeline: Pipeline, found: Found) -> list[Problem]:
    """What is wrong now, each since when it was first seen, oldest first."""
    book = read_book(pipeline.settings.alerts_file)
    known = {key: entry.problem.since for key, entry in book.items() if not entry.is_over(pipeline.clock.now())}
    dated = [replace(problem, since=known.get(problem.key, problem.since)) for problem in found.problems]
    return sorted(dated, key=lambda problem: (problem.since, problem.key))


def _tell(file: Path, channels: Sequence[Channel], found: Found, now: datetime) -> Looked:
    teller = _Teller(file, remember(read_book(file), found, now), now)
    teller.keep()
    with ThreadPoolExecutor(len(channels)) as threads:
        results = list(threads.map(teller.tell, channels))
    teller.book = without_settled(teller.book, [channel.name for channel in channels], now)
    teller.keep()
    failures = tuple((channel.name, says) for channel, (_, says) in zip(channels, results, strict=True) if says)
    return Looked(found, sum(count for count, _ in results), failures)


class _Teller:
    """The book while channels are told, one thread a channel."""

    def __init__(self, file: Path, book: Book, now: datetime) -> None:
        self.book = book
        self._file, self._now, self._lock = file, now, threading.Lock()
        self._until = time.monotonic() + TELLING_S

    def keep(self) -> None:
        write_book(self._file, self.book)

    def tell(self, channel: Channel) -> tuple[int, str]:
        """How many messages the channel took, and why it took no more."""
        messages = [message for entry in self.book.copy().values() if (message := entry.message(channel.name, self._now))]
        tellings = [messages] if channel.takes_many and messages else [[message] for message in messages]
        sent = 0
        for telling in tellings:
            if time.monotonic() > self._until:
                return sent, "it is slow; the rest follows at the next look"
            try:
                channel.send(telling)
            except ChannelError as error:
                return sent, str(error)
            self._note(channel.name, telling)
            sent += len(telling)
        return sent, ""

    def _note(self, channel: str, messages: Sequence[Message]) -> None:
        with self._lock:
            for message in messages:
                entry = self.book[message.problem.key]
                told = entry.told | {channel: Told(message.status, self._now)}
                self.book[message.problem.key] = replace(entry, told=told)
            self.keep()
