"""Pages over real sockets: every row once, and no end of pages noticed in time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from orchestration.hypertracker import paging
from orchestration.hypertracker.datasets import BY_NAME, ORDER_PAGES
from orchestration.hypertracker.errors import PagingError, ServerError, TooLargeError
from tests.integration.conftest import NOON, Answer, Asker

Spoil = Callable[..., Any]
Sent = Callable[[str], bytes]
Said = Callable[..., None]
MARKET = replace(BY_NAME["market_metrics"], page_limit=10)
START = (NOON - (MARKET.lookback or timedelta())).strftime("%Y-%m-%dT%H:%M:%S.000Z")
RISK = replace(BY_NAME["liquidation_risk"], page_limit=1)


def rows(answer: Answer, name: str = "metrics") -> list[dict[str, Any]]:
    assert answer.error is None, answer.error
    return [row for part in answer.parts for row in json.loads(part)[name]]


@pytest.fixture
def whole(sent: Sent) -> list[dict[str, Any]]:
    """All rows of the series, in one page."""
    return json.loads(sent(f"/position-metrics/general?start={START}&limit=1000"))["metrics"]


def test_pages_give_every_row_once(ask: Asker, whole: list[dict[str, Any]]) -> None:
    answer = ask(MARKET)
    assert rows(answer) == whole
    assert answer.requests == len(answer.parts) == -(-len(whole) // 10) > 3
    assert all("nextCursor=" in path and "&cursor=" not in path for path in ask.served()[1:])


# What is no end of the pages, or no next one: kind, parameters, the requests until it is noticed, a word of the message.
ENDLESS: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "the cursor stays": ("sticky", {"names": ["nextCursor"]}, 2, "leads back"),
    "the cursor cycles": ("sticky", {"names": ["nextCursor"], "after": 1}, 3, "leads back"),
    "the rows stay under new cursors": ("sticky", {"names": ["metrics"]}, 2, "already read"),
    "the cursor is a number": ("merge", {"members": {"nextCursor": 7}}, 1, "no text"),
    "the cursor is an object": ("merge", {"members": {"nextCursor": {"createdAt": "2026"}}}, 1, "no text"),
    "there is more and no cursor": ("merge", {"members": {"nextCursor": None, "hasMore": True}}, 1, "more"),
}


# Which fault a case of `ENDLESS` is, where it is one of the register.
NAMED = {
    "the cursor stays": ("cursor-repeats", "page 2 leads back to a page already read"),
    "the cursor cycles": ("cursor-cycles", "page 3 leads back to a page already read"),
    "the rows stay under new cursors": ("pages-repeat", "page 2 has the rows of a page already read"),
    "there is more and no cursor": ("has-more-contradicts", "the answer says that there is more and gives no cursor"),
}


def endless(case: str) -> Any:
    fault, says = NAMED.get(case, ("", ""))
    return pytest.param(case, marks=[pytest.mark.proves(fault, sees=f"the slot fails: “{says}”")] if fault else [])


@pytest.mark.parametrize("case", [endless(case) for case in ENDLESS], ids=str)
def test_pages_without_end_are_noticed(ask: Asker, spoil: Spoil, said: Said, case: str) -> None:
    kind, given, requests, word = ENDLESS[case]
    spoil(kind, "/position-metrics/general", **given)
    answer = ask(MARKET)
    said(answer.error)
    assert type(answer.error) is PagingError
    assert word in str(answer.error)
    assert answer.requests == requests


@pytest.mark.proves("cursor-null", sees="nothing: it is the end of the pages")
@pytest.mark.proves("cursor-empty", sees="nothing: it is the end of the pages")
@pytest.mark.parametrize("cursor", [None, ""], ids=["null", "empty"])
def test_a_cursor_that_is_nothing_ends_the_pages(
    ask: Asker, spoil: Spoil, whole: list[dict[str, Any]], cursor: str | None
) -> None:
    spoil("merge", after=1, members={"nextCursor": cursor})
    answer = ask(MARKET)
    assert rows(answer) == whole[:20]
    assert answer.requests == 2


@pytest.mark.proves("has-more-contradicts", sees="where the answer denies that there is more, its cursor counts")
def test_the_cursor_counts_where_the_answer_denies_that_there_is_more(
    ask: Asker, spoil: Spoil, whole: list[dict[str, Any]]
) -> None:
    spoil("merge", members={"hasMore": False})
    assert rows(ask(MARKET)) == whole


@pytest.mark.proves("pages-overlap", sees="nothing: repeated rows are kept raw and count once")
def test_rows_repeated_at_a_page_edge_are_kept_and_none_is_lost(ask: Asker, spoil: Spoil, whole: list[dict[str, Any]]) -> None:
    spoil("overlap", name="metrics", rows=2)
    found = rows(ask(MARKET))
    assert len(found) == len(whole) + 2 * (-(-len(whole) // 10) - 1)
    assert list({row["id"]: row for row in found}.values()) == whole


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("status", {"status": 503}),
        ("cut", {}),
        ("reset", {}),
        ("html", {}),
        ("status", {"status": 429, "body": {"retry_after": 0.1}}),
    ],
    ids=["503", "cut", "reset", "a web page", "429"],
)
def test_a_page_that_fails_is_asked_again_alone(
    ask: Asker, spoil: Spoil, whole: list[dict[str, Any]], kind: str, given: dict[str, Any]
) -> None:
    spoil(kind, after=1, count=1, **given)
    answer = ask(MARKET)
    assert rows(answer) == whole
    assert answer.requests == len(answer.parts) + 1


def test_a_page_that_stays_away_fails_the_payload(ask: Asker, spoil: Spoil) -> None:
    spoil("status", after=2, status=503)
    answer = ask(MARKET)
    assert type(answer.error) is ServerError
    assert answer.requests == 2 + 5


@pytest.mark.parametrize(("kind", "given"), [("html", {}), ("packed", {"mode": "bad_crc"})], ids=["a web page", "wrong checksum"])
def test_a_page_nobody_can_read_ends_the_pages_and_is_kept(ask: Asker, spoil: Spoil, kind: str, given: dict[str, Any]) -> None:
    spoil(kind, after=1, **given)
    answer = ask(MARKET)
    assert answer.error is None
    assert len(answer.parts) == 2
    assert answer.requests == 1 + 3


def test_pages_too_deep_to_read_end_the_pages(ask: Asker, spoil: Spoil) -> None:
    spoil("status", status=200, body="[" * 3000)
    answer = ask(MARKET)
    assert len(answer.body) == 3000
    assert answer.requests == 1


def test_more_pages_than_any_payload_has_are_refused(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "MOST_PAGES", 2)
    answer = ask(MARKET)
    assert type(answer.error) is PagingError
    assert answer.requests == 3


def test_the_cap_holds_for_all_pages_together(ask: Asker) -> None:
    sizes = [len(part) for part in ask(MARKET).parts]
    assert ask(replace(MARKET, cap_bytes=sum(sizes))).error is None
    answer = ask(replace(MARKET, cap_bytes=sum(sizes) - 1))
    assert type(answer.error) is TooLargeError
    assert answer.requests == len(sizes)


def test_pages_of_one_snapshot_are_put_together(ask: Asker, sent: Sent) -> None:
    ask.slot = NOON - timedelta(minutes=5)
    answer = ask(replace(ORDER_PAGES, page_limit=20), "BTC")
    found = rows(answer, "orders")
    assert len(answer.parts) > 1
    assert len({row["oid"] for row in found}) == len(found)
    assert {row["snapshotTs"] for row in found} == {"2026-03-26T11:55:00.000Z"}


@pytest.mark.proves(
    "pages-snapshot-moves",
    sees="the slot fails: “the snapshot moved between pages: 2026-03-26T11:55:00.000Z”",
)
def test_a_snapshot_that_moves_between_pages_is_noticed(ask: Asker, spoil: Spoil, said: Said) -> None:
    spoil("replace", after=1, old='"snapshotTs":"2026-03-26T11:55', new='"snapshotTs":"2026-03-26T12:00')
    ask.slot = NOON - timedelta(minutes=5)
    answer = ask(replace(ORDER_PAGES, page_limit=20), "BTC")
    assert type(answer.error) is PagingError
    said(answer.error)
    assert "11:55" in str(answer.error)
    assert "12:00" in str(answer.error)
    assert answer.requests == 2


def test_offsets_give_every_item_once(ask: Asker, sent: Sent) -> None:
    whole = json.loads(sent("/7/assets/liquidation-risk?limit=500"))["items"]
    answer = ask(RISK, "7")
    assert rows(answer, "items") == whole
    assert answer.requests == len(whole) > 1


def test_a_provider_that_ignores_the_offset_is_noticed(ask: Asker, spoil: Spoil) -> None:
    spoil("sticky", names=["items"])
    answer = ask(RISK, "7")
    assert type(answer.error) is PagingError
    assert answer.requests == 2
