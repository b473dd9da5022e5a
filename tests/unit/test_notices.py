"""Whom to tell of what, and when: once when it begins, once a day, once when it is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestration.alerting.notices import (
    Book,
    Told,
    read_book,
    remember,
    without_settled,
    write_book,
)
from orchestration.alerting.problems import Found, Problem
from orchestration.alerting.wording import safe, span_words
from orchestration.sole import sole

NOON = datetime(2026, 3, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
COINS = Problem("late:coins", "coins is late", "it failed", "htw status", NOON - MINUTE)
DISK = Problem("disk", "full", "nothing is free", "free some", NOON)


class Diary:
    """Looks, one after the other, with a channel that takes everything."""

    def __init__(self) -> None:
        self.book: Book = {}
        self.said: list[tuple[float, str, str]] = []

    def look(self, minutes: float, *problems: Problem, unseen: tuple[str, ...] = (), is_up: bool = True) -> None:
        now = NOON + minutes * MINUTE
        self.book = remember(self.book, Found(problems, unseen), now)
        for key, entry in self.book.items():
            message = entry.message("hook", now)
            if message and is_up:
                self.said.append((minutes, message.status.value, key))
                entry.told["hook"] = Told(message.status, now)
        self.book = without_settled(self.book, ["hook"], now)

    def statuses(self) -> list[tuple[float, str]]:
        return [(minutes, status) for minutes, status, _ in self.said]


@pytest.fixture
def diary() -> Diary:
    return Diary()


def test_a_problem_is_told_once_and_its_end_once(diary: Diary) -> None:
    for minute in range(10):
        diary.look(minute, COINS)
    for minute in range(10, 60):
        diary.look(minute)
    assert diary.said == [(0, "opened", "late:coins"), (25, "resolved", "late:coins")]
    assert diary.book == {}


def test_it_is_told_again_after_a_day(diary: Diary) -> None:
    for hour in range(50):
        diary.look(60 * hour, COINS)
    assert diary.statuses() == [(0, "opened"), (24 * 60, "reminder"), (48 * 60, "reminder")]


def test_one_that_comes_back_within_a_quarter_of_an_hour_is_the_same(diary: Diary) -> None:
    for minute in range(0, 100, 7):
        diary.look(minute, *([COINS] if minute % 2 else []))
    assert diary.statuses() == [(7, "opened")]
    diary.look(120)
    diary.look(140, DISK)
    assert [status for _, status in diary.statuses()] == ["opened", "resolved", "opened"]


def test_one_that_comes_back_later_is_another(diary: Diary) -> None:
    diary.look(0, COINS)
    diary.look(1)
    diary.look(16)
    diary.look(20, COINS)
    assert diary.statuses() == [(0, "opened"), (16, "resolved"), (20, "opened")]


def test_one_that_is_back_before_its_end_was_told_opens_anew(diary: Diary) -> None:
    diary.look(0, COINS)
    diary.look(1)
    diary.look(20, COINS)
    assert diary.statuses() == [(0, "opened"), (20, "opened")]
    assert diary.book["late:coins"].gone_at is None


def test_what_could_not_be_looked_at_is_not_over(diary: Diary) -> None:
    diary.look(0, COINS, DISK)
    diary.look(1, unseen=("late", "run"))
    diary.look(30, unseen=("late", "run"))
    assert diary.said[2:] == [(30, "resolved", "disk")]
    assert diary.book["late:coins"].gone_at is None


def test_the_end_is_told_even_if_the_beginning_could_not_be(diary: Diary) -> None:
    diary.look(0, COINS, is_up=False)
    diary.look(1, is_up=False)
    diary.look(16)
    assert diary.statuses() == [(16, "resolved")]


def test_what_nobody_takes_is_forgotten_after_days(diary: Diary) -> None:
    diary.look(0, COINS, is_up=False)
    diary.look(1, is_up=False)
    diary.look(47 * 60, is_up=False)
    assert diary.book
    diary.look(49 * 60, is_up=False)
    assert diary.book == {}


def test_a_reminder_has_the_newest_cause_and_the_first_beginning(diary: Diary) -> None:
    diary.look(0, COINS)
    newer = Problem("late:coins", "coins is late", "something else", "htw status", NOON + 9 * MINUTE)
    diary.look(10, newer)
    entry = diary.book["late:coins"]
    assert (entry.problem.cause, entry.problem.since) == ("something else", COINS.since)


def test_the_book_is_the_same_when_it_was_written_and_read(diary: Diary, tmp_path: Path) -> None:
    diary.look(0, COINS, DISK)
    diary.look(3, DISK)
    file = tmp_path / "alerts.json"
    write_book(file, diary.book)
    assert read_book(file) == diary.book
    assert [path.name for path in tmp_path.iterdir()] == ["alerts.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"disk": {}}', '{"disk": {"problem": {"since": "2026-03-24"}}}', "\x00"])
def test_a_book_that_cannot_be_read_is_empty(tmp_path: Path, text: str) -> None:
    (tmp_path / "alerts.json").write_text(text)
    assert read_book(tmp_path / "alerts.json") == {}


def test_one_process_looks_at_a_time(tmp_path: Path) -> None:
    with (
        sole(tmp_path / "alerts.lock") as first,
        sole(tmp_path / "alerts.lock") as second,
    ):
        assert (first, second) == (True, False)
    with sole(tmp_path / "alerts.lock") as again:
        assert again


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("GET https://s.example/a/b?X-Sig=1&y=2 failed", "GET https://s.example/*** failed", id="signed link"),
        pytest.param("Authorization: Bearer abc.def", "Authorization: Bearer ***", id="bearer"),
        pytest.param("token htk_a1b2c3d4 is refused", "token *** is refused", id="token"),
        pytest.param("/a/b?cursor=abc", "/a/b?***", id="query"),
        pytest.param("two\n  lines", "two lines", id="lines"),
    ],
)
def test_secrets_and_line_breaks_are_left_out(text: str, expected: str) -> None:
    assert safe(text, ["htk_a1b2c3d4"]) == expected


def test_long_texts_are_shortened() -> None:
    assert len(safe("x" * 5000, [])) == 400


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3660, "1 h 1 min"), (86_400 * 2 + 7200, "2 d 2 h"), (86_460, "1 d 1 min")],
)
def test_spans_are_said_as_people_do(seconds: int, words: str) -> None:
    assert span_words(timedelta(seconds=seconds)) == words
