"""Where the client lets itself be sent: redirects of the API and of storage, links in JSON, fresh links for stale ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestration.hypertracker.datasets import OPEN_POSITIONS_HISTORY
from orchestration.hypertracker.errors import LinkExpiredError, NotFoundError, UnsafeLinkError
from sandbox import Sandbox
from tests.integration.conftest import Asker

Spoil = Callable[..., Any]
Sent = Callable[[str], bytes]
Said = Callable[..., None]
PATH = "/positions/open/coin/BTC"
KEY = "?sig=5ec4e7"

# Where nobody may be sent, from a provider on loopback or elsewhere, and a word of the refusal.
UNSAFE = {
    "plain http": (f"http://bucket.s3.amazonaws.com/a.csv{KEY}", "not https"),
    "ftp": (f"ftp://bucket.s3.amazonaws.com/a.csv{KEY}", "not https"),
    "ftp on this machine": (f"ftp://127.0.0.1/a.csv{KEY}", "not https"),
    "gopher on this machine": (f"gopher://localhost:70/a.csv{KEY}", "not https"),
    "a file": (f"file:///etc/passwd{KEY}", "malformed"),
    "a file on this machine": (f"file://localhost/etc/passwd{KEY}", "not https"),
    "a private address": (f"https://10.0.0.7/a.csv{KEY}", "not among"),
    "a link-local address": (f"https://169.254.169.254/latest/meta-data{KEY}", "not among"),
    "a private address of IPv6": (f"https://[fd00::7]/a.csv{KEY}", "not among"),
    "a host off the list": (f"https://elsewhere.example/a.csv{KEY}", "not among"),
    "a host that only looks listed": (f"https://s3.amazonaws.com.elsewhere.example/a.csv{KEY}", "not among"),
    "another host by two slashes": (f"//elsewhere.example/a.csv{KEY}", "not https"),
    "with a password": (f"https://user:word@bucket.s3.amazonaws.com/a.csv{KEY}", "malformed"),
    "a script": ("javascript:alert(1)", ""),
    "no URL": (f"http://[::1/a.csv{KEY}", "no URL"),
    "a host name that is none": (f"https://xn--/a.csv{KEY}", "no URL"),
}
LISTED = ("*.amazonaws.com",)


@pytest.mark.proves("plain-http", sees="one request, and none to the other host")
@pytest.mark.proves("other-scheme", sees="one request, and none to the other host")
@pytest.mark.proves("host-unlisted", sees="one request, and none to the other host")
@pytest.mark.parametrize("case", UNSAFE, ids=str)
@pytest.mark.parametrize("leg", ["api", "storage"])
def test_an_unsafe_redirect_is_not_followed(ask: Asker, spoil: Spoil, leg: str, case: str) -> None:
    location, word = UNSAFE[case]
    spoil("status", leg=leg, status=302, headers={"Location": location}, body="")
    answer = ask("open_positions", "BTC", storage_hosts=LISTED)
    assert type(answer.error) is UnsafeLinkError
    assert word in str(answer.error)
    assert answer.requests == 1
    assert len(ask.served("storage")) == (leg == "storage")


@pytest.mark.parametrize("case", UNSAFE, ids=str)
def test_an_unsafe_link_in_json_is_not_followed(ask: Asker, spoil: Spoil, case: str) -> None:
    location, word = UNSAFE[case]
    spoil("merge", "/orders/", members={"downloadUrl": location})
    answer = ask("order_snapshots", "BTC", storage_hosts=LISTED)
    assert type(answer.error) is UnsafeLinkError
    assert word in str(answer.error)
    assert (answer.requests, ask.served("storage")) == (1, [])


INNER = [
    "10.0.0.7", "10.0.0.7.", "169.254.169.254", "[fe80::1]", "[::ffff:10.0.0.7]", "[64:ff9b::a00:7]", "[2002:a00:7::1]",
    "0.0.0.0", "2852039166", "0xa.7", "0251.0376.0251.0376", "10.7", "metadata.google.internal", "intranet",
]  # fmt: skip


@pytest.mark.proves("private-address", sees="one request and no more, however the address is written and whatever is allowed")
@pytest.mark.parametrize("host", INNER)
def test_no_pattern_allows_an_address_inside_a_network(ask: Asker, spoil: Spoil, host: str) -> None:
    spoil("status", status=302, headers={"Location": f"https://{host}/a.csv{KEY}"}, body="")
    answer = ask("open_positions", "BTC", storage_hosts=("*",))
    assert type(answer.error) is UnsafeLinkError
    assert answer.requests == 1


@pytest.mark.proves("redirect-loop", sees="the slot fails: “the link leads back to the API host”")
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_a_redirect_back_to_the_api_is_a_loop(ask: Asker, spoil: Spoil, provider: Sandbox, said: Said, name: str) -> None:
    again = provider.api_url.replace("127.0.0.1", name) + "/api/external" + PATH
    spoil("status", status=302, headers={"Location": again}, body="")
    answer = ask("open_positions", "BTC")
    assert type(answer.error) is UnsafeLinkError
    said(answer.error)
    assert answer.requests == 1


@pytest.mark.parametrize("location", ["", "/api/external/segments", "?page=2", "again"])
def test_a_redirect_within_the_api_is_a_loop(ask: Asker, spoil: Spoil, location: str) -> None:
    spoil("status", status=301, headers={"Location": location}, body="")
    answer = ask("open_positions", "BTC")
    assert type(answer.error) is UnsafeLinkError
    assert answer.requests == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_storage_may_name_another_address(ask: Asker, spoil: Spoil, sent: Sent, status: int) -> None:
    expected = sent(PATH)
    spoil("detour", leg="storage", count=3, status=status)
    answer = ask("open_positions", "BTC")
    assert answer.body == expected
    assert answer.requests == 1
    assert [path.count("hop=") for path in ask.served("storage")] == [0, 1, 2, 3]


# Redirects of storage without end: kind of fault and parameters.
ENDLESS: dict[str, tuple[str, dict[str, Any]]] = {
    "a long chain": ("detour", {"count": 4}),
    "a chain without end": ("detour", {}),
    "a loop": ("status", {"status": 302, "headers": {"Location": f"/again{KEY}"}, "body": ""}),
}


@pytest.mark.proves("redirect-chain", sees="four addresses are asked, no more")
@pytest.mark.parametrize("case", ENDLESS, ids=str)
def test_storage_that_sends_on_and_on_is_left(ask: Asker, spoil: Spoil, case: str) -> None:
    kind, given = ENDLESS[case]
    spoil(kind, leg="storage", **given)
    answer = ask("open_positions", "BTC")
    assert type(answer.error) is UnsafeLinkError
    assert answer.requests == 1
    assert len(ask.served("storage")) == 4


def test_storage_that_leads_back_to_the_api_gets_no_token(ask: Asker, spoil: Spoil, provider: Sandbox) -> None:
    spoil("status", leg="storage", status=302, headers={"Location": f"{provider.api_url}/api/external{PATH}"}, body="")
    answer = ask("open_positions", "BTC")
    assert type(answer.error) is UnsafeLinkError
    assert answer.requests == 1


@pytest.mark.proves("link-expired", sees="nothing: a fresh link is asked for, at most twice")
@pytest.mark.proves("link-expired-in-body", sees="nothing: a fresh link is asked for, at most twice")
@pytest.mark.parametrize("kind", ["expired", "cut", "reset"])
@pytest.mark.parametrize(("dataset", "scope", "path"), [
    pytest.param("open_positions", "BTC", PATH, id="redirect"),
    pytest.param("order_snapshots", "BTC", "/orders/5m-snapshots/coins/BTC/download", id="link in JSON"),
])  # fmt: skip
def test_a_stale_link_is_replaced_by_a_fresh_one_at_most_twice(
    ask: Asker, spoil: Spoil, sent: Sent, kind: str, dataset: str, scope: str, path: str
) -> None:
    expected = sent(path)
    spoil(kind, leg="storage", count=2)
    answer = ask(dataset, scope)
    assert answer.body == expected
    assert answer.requests == 3
    assert len(set(ask.served("storage"))) == 3


@pytest.mark.proves("link-expired", sees="no link is ever stored for later")
def test_a_link_that_outlives_its_life_in_a_queue_is_not_stored_for_later(ask: Asker, spoil: Spoil) -> None:
    spoil("expired", leg="storage", count=3)
    first = ask("open_positions", "BTC")
    links = set(ask.served("storage"))
    assert type(first.error) is LinkExpiredError
    assert ask("open_positions", "BTC").error is None
    assert not links & set(ask.served("storage"))


def test_stale_links_and_errors_of_the_api_share_the_attempts(ask: Asker, spoil: Spoil, sent: Sent) -> None:
    expected = sent(PATH)
    spoil("status", PATH, count=2, status=503)
    spoil("expired", leg="storage", count=2)
    answer = ask("open_positions", "BTC")
    assert answer.body == expected
    assert answer.requests == 5


def test_a_link_within_an_object_is_followed(ask: Asker) -> None:
    answer = ask(OPEN_POSITIONS_HISTORY, "BTC")
    assert answer.body.startswith(b"id,address")
    assert answer.requests == 1


def test_an_object_that_is_null_has_no_link(ask: Asker, spoil: Spoil) -> None:
    spoil("merge", members={"snapshot": None})
    answer = ask(OPEN_POSITIONS_HISTORY, "BTC")
    assert type(answer.error) is NotFoundError
    assert answer.requests == 1


def test_an_object_that_is_none_is_kept_as_it_came(ask: Asker, spoil: Spoil) -> None:
    spoil("merge", members={"snapshot": "soon"})
    answer = ask(OPEN_POSITIONS_HISTORY, "BTC")
    assert b'"snapshot":"soon"' in answer.body
    assert answer.requests == 1
