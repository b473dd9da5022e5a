"""The client over real sockets: what it gives, what it asks again, what it refuses, and what that costs.

Redirects and links are in `test_client_redirects`, pages in `test_client_paging`. After every ask, `Asker` checks that the
provider counted as many requests as the client, that storage saw no token, and that no text holds a token or a signature.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import stamina
from pydantic import SecretStr

from orchestration.budget import Budget
from orchestration.clock import SystemClock
from orchestration.hypertracker.client import ApiAccess, Client
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.hypertracker.errors import (
    BadRequestError,
    ForbiddenError,
    LinkExpiredError,
    NotAskedError,
    NotFoundError,
    QuotaSpentError,
    RateLimitedError,
    ServerError,
    TokenError,
    TooLargeError,
    TransportError,
)
from orchestration.hypertracker.tally import Bounds
from orchestration.hypertracker.turns import Turns
from orchestration.planning.plans import Plan
from sandbox import Sandbox
from tests.integration.conftest import NOON, QUICK, Asker

Spoil = Callable[..., Any]
Sent = Callable[[str], bytes]
Said = Callable[..., None]
# One dataset of each delivery kind: inline, by redirect, by a link in JSON to a gzip file.
PATHS = {
    "coins": "/positions/coins",
    "open_positions": "/positions/open/coin/BTC",
    "order_snapshots": "/orders/5m-snapshots/coins/BTC/download",
}
SCOPES = {"coins": "", "open_positions": "BTC", "order_snapshots": "BTC"}
IMPATIENT = replace(QUICK, read_s=0.3)
MEBIBYTE = 1 << 20


@pytest.mark.parametrize("dataset", PATHS, ids=str)
def test_every_delivery_gives_the_bytes_for_one_request(ask: Asker, sent: Sent, dataset: str) -> None:
    expected = sent(PATHS[dataset])
    answer = ask(dataset, SCOPES[dataset])
    assert answer.body == expected
    assert answer.requests == 1


# What passes: dataset, kind of fault, leg, parameters.
PASSING = {
    "reset before headers": ("coins", "reset", "api", {}),
    "reset at storage": ("open_positions", "reset", "storage", {}),
    "cut in mid-body": ("coins", "cut", "api", {}),
    "cut at storage, as a link that expires in mid-body": ("open_positions", "cut", "storage", {}),
    "cut at a line end": ("open_positions", "cut", "storage", {"at_line_end": True}),
    "503": ("coins", "status", "api", {"status": 503}),
    "503 of storage": ("open_positions", "status", "storage", {"status": 503}),
    "link expired at first touch": ("order_snapshots", "expired", "storage", {}),
    "silence before headers": ("coins", "slow", "api", {"delay_s": 0.6}),
    "silence after headers": ("coins", "drip", "api", {"bytes": 10, "pause_s": 0.6}),
    "silence right after the headers": ("coins", "mute", "api", {"pause_s": 0.6}),
    "silence of storage right after the headers": ("open_positions", "mute", "storage", {"pause_s": 0.6}),
    "reset in mid-body": ("coins", "reset", "api", {"fraction": 0.5}),
    "silence of storage": ("open_positions", "drip", "storage", {"bytes": 10, "pause_s": 0.6}),
    "0 bytes": ("coins", "empty", "api", {}),
    "0 bytes of storage": ("open_positions", "empty", "storage", {}),
    "a web page": ("open_positions", "html", "api", {}),
    "a web page of storage": ("order_snapshots", "html", "storage", {}),
    "an error of storage with status 200": ("open_positions", "xml", "storage", {}),
    "204": ("coins", "status", "api", {"status": 204, "body": ""}),
    "a redirect to nowhere": ("open_positions", "status", "api", {"status": 302}),
    "a checksum that is wrong": ("order_snapshots", "packed", "storage", {"mode": "bad_crc"}),
    "a compressed file that ends early": ("order_snapshots", "packed", "storage", {"mode": "broken"}),
    "a file compressed twice": ("order_snapshots", "packed", "storage", {"mode": "twice"}),
    "a compression nobody asked for": ("coins", "headers", "api", {"headers": {"Content-Encoding": "zstd"}}),
    "a compression that is none": ("coins", "headers", "api", {"headers": {"Content-Encoding": "gzip"}}),
}


@pytest.mark.parametrize("case", PASSING, ids=str)
def test_what_passes_costs_one_more_request(ask: Asker, spoil: Spoil, sent: Sent, case: str) -> None:
    dataset, kind, leg, given = PASSING[case]
    expected = sent(PATHS[dataset])
    spoil(kind, leg=leg, count=1, **given)
    answer = ask(dataset, SCOPES[dataset], bounds=IMPATIENT if kind in ("slow", "drip", "mute") else QUICK)
    assert answer.body == expected
    assert answer.requests == 2


# What stays: dataset, kind of fault, leg, parameters, the error, the requests it may cost.
STAYING: dict[str, tuple[str, str, str, dict[str, Any], type[Exception], int]] = {
    "reset before headers": ("coins", "reset", "api", {}, TransportError, 5),
    "cut in mid-body": ("coins", "cut", "api", {}, TransportError, 5),
    "503": ("coins", "status", "api", {"status": 503}, ServerError, 5),
    "204": ("coins", "status", "api", {"status": 204, "body": ""}, ServerError, 5),
    "a redirect to nowhere": ("coins", "status", "api", {"status": 302}, ServerError, 5),
    "a compression nobody asked for": ("coins", "headers", "api", {"headers": {"Content-Encoding": "br"}}, ServerError, 5),
    "two compressions": ("coins", "headers", "api", {"headers": {"Content-Encoding": "gzip, gzip"}}, ServerError, 5),
    "reset at storage": ("open_positions", "reset", "storage", {}, TransportError, 3),
    "cut at storage": ("order_snapshots", "cut", "storage", {}, TransportError, 3),
    "503 of storage": ("open_positions", "status", "storage", {"status": 503}, ServerError, 3),
    "links that are expired": ("open_positions", "expired", "storage", {}, LinkExpiredError, 3),
    "storage refuses": ("open_positions", "status", "storage", {"status": 400}, LinkExpiredError, 3),
    "storage has no file": ("open_positions", "status", "storage", {"status": 404}, NotFoundError, 1),
    "400": ("coins", "status", "api", {"status": 400}, BadRequestError, 1),
    "401": ("coins", "status", "api", {"status": 401}, TokenError, 1),
    "402": ("coins", "status", "api", {"status": 402}, QuotaSpentError, 1),
    "403": ("coins", "status", "api", {"status": 403}, ForbiddenError, 1),
    "404": ("coins", "status", "api", {"status": 404}, NotFoundError, 1),
    "405": ("coins", "status", "api", {"status": 405}, BadRequestError, 1),
}


@pytest.mark.parametrize("case", STAYING, ids=str)
def test_what_stays_is_a_typed_error_within_bounds(ask: Asker, spoil: Spoil, case: str) -> None:
    dataset, kind, leg, given, error, requests = STAYING[case]
    spoil(kind, leg=leg, **given)
    answer = ask(dataset, SCOPES[dataset])
    assert type(answer.error) is error
    assert answer.requests == requests


# What cannot be data and comes again and again: dataset, kind of fault, leg, parameters.
DOUBTFUL = {
    "a web page": ("coins", "html", "api", {}),
    "an error of storage with status 200": ("open_positions", "xml", "storage", {}),
    "0 bytes": ("open_positions", "empty", "storage", {}),
    "a checksum that is wrong": ("order_snapshots", "packed", "storage", {"mode": "bad_crc"}),
    "a compressed file that ends early": ("order_snapshots", "packed", "storage", {"mode": "broken"}),
    "a file compressed twice": ("order_snapshots", "packed", "storage", {"mode": "twice"}),
}


@pytest.mark.parametrize("case", DOUBTFUL, ids=str)
def test_doubtful_bodies_are_kept_after_two_more_requests(ask: Asker, spoil: Spoil, sent: Sent, case: str) -> None:
    dataset, kind, leg, given = DOUBTFUL[case]
    right = sent(PATHS[dataset])
    spoil(kind, leg=leg, **given)
    wrong = sent(PATHS[dataset])
    answer = ask(dataset, SCOPES[dataset])
    assert answer.body == wrong != right
    assert answer.requests == 3


# Odd, and right all the same: dataset, kind of fault, leg, parameters, what the bytes then hold.
ODD: dict[str, tuple[str, str, str, dict[str, Any], bytes]] = {
    "another content type": ("coins", "headers", "api", {"content_type": "text/html"}, b'[{"coin"'),
    "no content type": ("open_positions", "headers", "storage", {"content_type": ""}, b"id,address"),
    "a byte order mark": ("coins", "replace", "api", {"old": "[{", "new": "\ufeff[{", "times": 1}, b"\xef\xbb\xbf[{"),
    "CRLF": ("open_positions", "replace", "storage", {"old": "\n", "new": "\r\n"}, b"\r\n"),
}


@pytest.mark.parametrize("case", ODD, ids=str)
def test_odd_bodies_are_kept_unchanged(ask: Asker, spoil: Spoil, sent: Sent, case: str) -> None:
    dataset, kind, leg, given, held = ODD[case]
    spoil(kind, leg=leg, **given)
    answer = ask(dataset, SCOPES[dataset])
    assert held in answer.body
    assert answer.body == sent(PATHS[dataset])
    assert answer.requests == 1


def test_a_link_behind_a_byte_order_mark_is_a_link(ask: Asker, spoil: Spoil, sent: Sent) -> None:
    expected = sent(PATHS["order_snapshots"])
    spoil("replace", "/orders/", old='{"downloadUrl"', new='\ufeff{"downloadUrl"')
    answer = ask("order_snapshots", "BTC")
    assert answer.body == expected


def test_content_that_is_compressed_on_the_way_is_stored_as_it_is(ask: Asker, spoil: Spoil, sent: Sent) -> None:
    expected = gzip.decompress(sent(PATHS["order_snapshots"]))
    spoil("headers", leg="storage", headers={"Content-Encoding": "gzip"})
    assert ask("order_snapshots", "BTC").body == expected


# More bytes than the cap: fault, leg, parameters.
TOO_LARGE: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "one endless line": [("status", {"status": 200, "body": "x" * 3 * MEBIBYTE})],
    "one endless line without its length": [("drip", {"bytes": 64 * 1024, "pause_s": 0.001}), ("packed", {"mode": "bomb"})],
    "a bomb": [("packed", {"mode": "bomb"})],
    "a bomb that is inflated on the way": [("headers", {"headers": {"Content-Encoding": "gzip"}}), ("packed", {"mode": "bomb"})],
}


@pytest.mark.parametrize("case", TOO_LARGE, ids=str)
def test_more_than_the_cap_is_refused_at_once(ask: Asker, spoil: Spoil, case: str) -> None:
    for kind, given in TOO_LARGE[case]:
        spoil(kind, leg="storage", **({**given, "bytes": 16 * MEBIBYTE} if kind == "packed" else given))
    answer = ask(replace(BY_NAME["order_snapshots"], cap_bytes=MEBIBYTE), "BTC")
    assert type(answer.error) is TooLargeError
    assert answer.requests == 1


def test_a_body_of_just_the_cap_is_taken(ask: Asker, sent: Sent) -> None:
    inflated = len(gzip.decompress(sent(PATHS["order_snapshots"])))
    within, above = (replace(BY_NAME["order_snapshots"], cap_bytes=inflated - less) for less in (0, 1))
    assert ask(within, "BTC").error is None
    assert type(ask(above, "BTC").error) is TooLargeError


@pytest.mark.proves("drip", sees="the slot fails when its time is up: “not finished within”")
def test_a_slow_drip_ends_at_the_deadline_of_the_whole_fetch(ask: Asker, spoil: Spoil, said: Said) -> None:
    spoil("drip", bytes=1, pause_s=0.05)
    answer = ask("coins", bounds=Bounds(read_s=2.0, deadline_s=0.5))
    assert type(answer.error) is TransportError
    said(answer.error)
    assert "not finished within 0.5 s" in str(answer.error)
    assert 0.5 <= answer.seconds < 3
    assert answer.requests == 1


@pytest.mark.proves("silence", sees="where it stays so, the slot fails: “silence for too long”")
@pytest.mark.parametrize("dataset", ["coins", "open_positions"])
def test_silence_that_stays_is_told(ask: Asker, spoil: Spoil, said: Said, dataset: str) -> None:
    spoil("mute", leg="api" if dataset == "coins" else "storage", pause_s=0.5)
    answer = ask(dataset, SCOPES[dataset], bounds=replace(QUICK, read_s=0.2))
    said(answer.error)
    assert type(answer.error) is TransportError
    assert answer.requests == (5 if dataset == "coins" else 3)


def test_waiting_and_asking_again_end_at_the_deadline_too(ask: Asker, spoil: Spoil) -> None:
    spoil("status", status=429, body={"retry_after": 60})
    answer = ask("coins", bounds=Bounds(deadline_s=0.4))
    assert type(answer.error) is TransportError
    assert answer.seconds < 3
    assert answer.requests == 1


def test_a_refused_connection_is_tried_again_and_costs_nothing(ask: Asker, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        answer = ask("coins", base_url=f"http://127.0.0.1:{unheard.getsockname()[1]}")
    assert type(answer.error) is TransportError
    assert caplog.text.count("asking again") == 4
    assert answer.requests == 0


# How a 429 says to wait: headers, body, the seconds.
WAITS: dict[str, tuple[dict[str, str], Any, float]] = {
    "body hint": ({}, {"error": "rate_limit_exceeded", "retry_after": 0.4}, 0.4),
    "body hint before header": ({"Retry-After": "60"}, {"retry_after": 0.4}, 0.4),
    "header seconds": ({"Retry-After": "1"}, "", 1.0),
    "HTTP date": ({"Retry-After": format_datetime(NOON + timedelta(seconds=1), usegmt=True)}, "", 1.0),
    "HTTP date that is over": ({"Retry-After": format_datetime(NOON - timedelta(seconds=9), usegmt=True)}, "", 0.2),
    "zero": ({"Retry-After": "0"}, "", 0.2),
    "negative": ({"Retry-After": "-7"}, "", 0.2),
    "garbage": ({"Retry-After": "soon"}, '{"retry_after": [', 0.2),
    "a number past all numbers": ({}, '{"retry_after": 1' + "0" * 400 + "}", 0.2),
    "a body too deep to read": ({}, "[" * 3000, 0.2),
    "nothing": ({}, "", 0.2),
}


# Which fault a case of `WAITS` is, where it is one of the register.
WAITED = {
    "body hint": "429-body", "header seconds": "429-seconds", "HTTP date": "429-date", "zero": "429-zero",
    "garbage": "429-garbage", "nothing": "429-nothing",
}  # fmt: skip


def waiting(case: str) -> Any:
    fault = WAITED.get(case)
    sees = "it waits as long as it is told" if WAITS[case][2] > QUICK.unsaid_wait_s else "it waits a quarter of a minute"
    return pytest.param(case, marks=[pytest.mark.proves(fault, sees=f"nothing: {sees}, and asks once more")] if fault else [])


@pytest.mark.parametrize("case", [waiting(case) for case in WAITS], ids=str)
def test_a_429_waits_as_long_as_it_says(ask: Asker, spoil: Spoil, sent: Sent, case: str) -> None:
    headers, body, wait_s = WAITS[case]
    expected = sent(PATHS["coins"])
    spoil("status", count=1, status=429, headers=headers, body=body)
    answer = ask("coins")
    assert answer.body == expected
    assert answer.requests == 2
    assert wait_s <= answer.seconds < wait_s + 2


@pytest.mark.parametrize(("body", "words"), [({"retry_after": 0.3}, "in 0.3 s"), ({"retry_after": 0}, "in 0.1 s")], ids=str)
def test_the_wait_after_a_429_is_no_longer_than_it_says(
    ask: Asker, spoil: Spoil, caplog: pytest.LogCaptureFixture, body: dict[str, float], words: str
) -> None:
    stamina.set_testing(False)  # in testing no wait of a retry is told
    spoil("status", count=1, status=429, body=body)
    assert ask("coins", bounds=replace(QUICK, unsaid_wait_s=0.1)).error is None
    assert f"asking again {words}" in caplog.text


@pytest.mark.proves("429-nothing", sees="where it stays so, the slot fails: “too many requests this minute”")
def test_a_429_that_stays_is_given_up(ask: Asker, spoil: Spoil, said: Said) -> None:
    spoil("status", status=429, body="")
    answer = ask("coins", bounds=replace(QUICK, unsaid_wait_s=0.01))
    said(answer.error)
    assert type(answer.error) is RateLimitedError
    assert answer.requests == 5


@pytest.mark.proves("429-storm", sees="nothing: a worker that was not told waits as well")
def test_one_429_keeps_all_workers_quiet(ask: Asker, spoil: Spoil) -> None:
    spoil("status", "/positions/coins", count=1, status=429, body={"retry_after": 0.5})
    spoil("slow", "/positions/heatmap", count=1, delay_s=0.1)
    spoil("status", "/positions/heatmap", count=1, status=503)
    limited, other = ask.together([("coins", ""), ("heatmap", "")])
    assert limited.error is other.error is None
    assert (limited.requests, other.requests) == (2, 2)
    assert other.seconds >= 0.5


@pytest.mark.proves("429-storm", sees="nothing: one limiter keeps all workers quiet, and everybody gets its data")
def test_a_storm_of_429_ends_with_everybodys_data(ask: Asker, spoil: Spoil) -> None:
    spoil("status", count=8, status=429, body={"retry_after": 0.1})
    answers = ask.together([("segments", "")] * 12)
    assert all(answer.error is None for answer in answers)
    assert sum(answer.requests for answer in answers) == 20


def test_the_rate_of_the_plan_is_not_exceeded_by_a_burst(ask: Asker, tmp_path: Path) -> None:
    turns = Budget(tmp_path / "budget.sqlite", Plan("own", per_day=1000, per_minute=5), SystemClock())
    answers = ask.together([("segments", "")] * 16, bounds=Bounds(deadline_s=1.0), turns=turns)
    assert sum(answer.requests for answer in answers) == 5
    assert {type(answer.error) for answer in answers} == {type(None), TransportError}


# What costs more than one request: fault, leg, dataset.
COSTLY = {
    "a retry": ("status", "api", "coins", {"status": 503}),
    "a fresh link": ("expired", "storage", "order_snapshots", {}),
    "a body that cannot be data": ("html", "api", "coins", {}),
}


@pytest.mark.parametrize("case", COSTLY, ids=str)
def test_every_request_is_debited(ask: Asker, spoil: Spoil, provider: Sandbox, tmp_path: Path, case: str) -> None:
    kind, leg, dataset, given = COSTLY[case]
    spoil(kind, leg=leg, count=1, **given)
    turns = Budget(tmp_path / "budget.sqlite", Plan("own", per_day=1000, per_minute=0), SystemClock())
    (answer,) = ask.together([(dataset, SCOPES[dataset])], turns=turns)
    assert answer.requests == 2
    assert time_told(provider, turns=turns) == NOON
    assert turns.left().today == 1000 - 3


def test_what_never_reached_the_provider_is_given_back(ask: Asker, tmp_path: Path) -> None:
    turns = Budget(tmp_path / "budget.sqlite", Plan("own", per_day=1000, per_minute=0), SystemClock())
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        (answer,) = ask.together([("coins", "")], turns=turns, base_url=f"http://127.0.0.1:{unheard.getsockname()[1]}")
    assert type(answer.error) is TransportError
    assert turns.left().today == 1000


# How a spent quota is told: status, body.
SPENT: dict[str, tuple[int, Any]] = {
    "figures of the plan": (429, {"limit": 100, "current": 100, "plan": "FREE", "retry_after": 1}),
    "in words": (429, "You have reached the daily limit"),
    "by a code": (429, {"error": "daily_limit_exceeded", "message": "no more today"}),
    "402": (402, {"message": "Payment Required"}),
}


@pytest.mark.proves("402", sees="one request, and none after it")
@pytest.mark.proves("429-day", sees="one request, and none after it")
@pytest.mark.parametrize("case", SPENT, ids=str)
def test_a_spent_quota_is_never_asked_again(ask: Asker, spoil: Spoil, case: str) -> None:
    status, body = SPENT[case]
    spoil("status", status=status, body=body, headers={"Retry-After": "1"})
    answer = ask("coins")
    assert type(answer.error) is QuotaSpentError
    assert answer.requests == 1


def test_a_wrong_token_is_refused_and_not_told(ask: Asker, caplog: pytest.LogCaptureFixture) -> None:
    answer = ask("coins", token=SecretStr("not-the-token"))
    assert type(answer.error) is TokenError
    assert "not-the-token" not in str(answer.error) + caplog.text
    assert answer.requests == 1


def test_a_refused_token_is_not_shown_again_by_those_who_wait(ask: Asker, tmp_path: Path) -> None:
    turns = Budget(tmp_path / "budget.sqlite", Plan("own", per_day=1000, per_minute=0), SystemClock())
    answers = ask.together([("segments", "")] * 40, turns=turns, token=SecretStr("not-the-token"), connections=4)
    assert {type(answer.error) for answer in answers} == {TokenError, NotAskedError}
    assert sum(answer.requests for answer in answers) <= 4
    assert turns.left().today == 1000 - sum(answer.requests for answer in answers)
    assert all("not asked: the token is not accepted" in str(a.error) for a in answers if type(a.error) is NotAskedError)


def test_errors_do_not_repeat_what_the_provider_echoes(ask: Asker, spoil: Spoil, provider: Sandbox) -> None:
    echo = {
        "message": f"unexpected header Authorization: Bearer {provider.token}",
        "token": provider.token,
        "link": "https://bucket.s3.amazonaws.com/a.csv?sig=0123abc",
        "escaped": "https:\\/\\/bucket.s3.amazonaws.com\\/a.csv?sig=0123abc",
    }
    spoil("status", status=400, body=json.dumps(echo).replace("\\\\", "\\"))
    answer = ask("coins")
    assert type(answer.error) is BadRequestError
    assert "unexpected header" in str(answer.error)


@pytest.mark.parametrize("coding", ["gzip", "br", "gzip, gzip"])
def test_an_error_is_understood_whatever_its_text_is_compressed_with(ask: Asker, spoil: Spoil, coding: str) -> None:
    spoil("status", status=401, headers={"Content-Encoding": coding})
    answer = ask("coins")
    assert type(answer.error) is TokenError
    assert answer.requests == 1


def test_connections_are_used_again_also_after_redirects(ask: Asker, caplog: pytest.LogCaptureFixture) -> None:
    ask.together([("open_positions", "BTC"), ("open_positions", "ETH"), ("open_positions", "BTC")], connections=1)
    opened = [record for record in caplog.records if record.getMessage().startswith("connect_tcp.started")]
    assert len(opened) == 2


def time_told(provider: Sandbox, token: str = "", turns: Turns | None = None) -> datetime | None:
    async def told() -> datetime | None:
        access = ApiAccess(provider.api_url, SecretStr(token or provider.token))
        async with Client[Any](access, QUICK, turns) as client:
            return await client.server_time()

    return asyncio.run(told())


def test_the_providers_time_is_told_where_it_says(provider: Sandbox, spoil: Spoil) -> None:
    assert time_told(provider) == NOON
    spoil("headers", headers={"Date": "soon"})
    assert time_told(provider) is None


# Why the provider's time cannot be had: kind of fault, parameters.
TIMELESS: dict[str, tuple[str, dict[str, Any], type[Exception]]] = {
    "503": ("status", {"status": 503}, ServerError),
    "reset": ("reset", {}, TransportError),
}


@pytest.mark.parametrize("case", TIMELESS, ids=str)
def test_the_providers_time_fails_with_a_typed_error(provider: Sandbox, spoil: Spoil, case: str) -> None:
    kind, given, error = TIMELESS[case]
    spoil(kind, **given)
    with pytest.raises(error):
        time_told(provider)


def test_asking_for_the_time_proves_the_token(provider: Sandbox) -> None:
    with pytest.raises(TokenError):
        time_told(provider, "not-the-token")
