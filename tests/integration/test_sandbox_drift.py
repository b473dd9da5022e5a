"""Coins come and go, cohorts change, past values are restated: at one instant, in every endpoint."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import httpx
import pytest

from sandbox import (
    CohortRebounded,
    CohortRenamed,
    CoinDelisted,
    CoinListed,
    Market,
    Restated,
    Sandbox,
    SandboxSettings,
    running_sandbox,
)

START = datetime(2026, 3, 26, 0, tzinfo=UTC)
CHANGE = START + timedelta(hours=10)
LATER = START + timedelta(hours=12, minutes=20)
NOON = START + timedelta(hours=-12)
"""A moment on the grid of 7 and of 8, inside the windows of both clocks."""
SIZES: dict[str, Any] = {"coins": 5, "positions": 500, "orders": 100, "start": START, "clock": "manual"}
DRIFT = (
    CoinDelisted("SOL", CHANGE),
    CoinListed("kPEPE", CHANGE),
    CohortRenamed(1, CHANGE, "Minnow"),
    CohortRebounded(2, CHANGE, 20_000),
    Restated("BTC", CHANGE, NOON, factor=1.5),
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox(SandboxSettings(**SIZES, drift=DRIFT)) as sandbox:
        yield sandbox


@cache
def client() -> httpx.Client:
    return httpx.Client(timeout=20)


def ask(sandbox: Sandbox, at: datetime, path: str, **params: Any) -> httpx.Response:
    sandbox.clock.set(at)
    headers = {"Authorization": f"Bearer {sandbox.token}"}
    answer = client().get(f"{sandbox.api_url}/api/external{path}", params=params or None, headers=headers)
    if answer.status_code == 302:
        return client().get(answer.headers["Location"])
    if b'{"downloadUrl"' in answer.content[:20]:
        return client().get(answer.json()["downloadUrl"])
    return answer


def fetch(sandbox: Sandbox, at: datetime, path: str, **params: Any) -> Any:
    answer = ask(sandbox, at, path, **params)
    assert answer.status_code == 200, answer.text
    return answer.json()


PATHS_OF_A_COIN = (
    "/positions/open/coin/{}",
    "/exports/coins/{}/liquidation-heatmap",
    "/exports/coins/{}/position-metrics",
    "/exports/coins/{}/position-breakdown-by-cohort",
    "/orders/5m-snapshots/coins/{}/download",
)


@pytest.mark.parametrize("path", PATHS_OF_A_COIN, ids=str)
def test_a_coin_has_files_while_it_is_listed(sandbox: Sandbox, path: str) -> None:
    statuses = {coin: [ask(sandbox, at, path.format(coin)).status_code for at in (START, LATER)] for coin in ("SOL", "kPEPE")}
    assert statuses == {"SOL": [200, 404], "kPEPE": [404, 200]}


def test_the_universe_is_the_same_in_every_list(sandbox: Sandbox) -> None:
    universes = {START: {"BTC", "ETH", "HYPE", "SOL"}, LATER: {"BTC", "ETH", "HYPE", "kPEPE"}}
    for at, universe in universes.items():
        assert set(sandbox.market.truth_listed(at)) == set(sandbox.market.truth_coins(at).index) == universe
        assert {row["coin"] for row in fetch(sandbox, at, "/positions/coins")} == universe
        assert {row["coin"] for row in fetch(sandbox, at, "/positions/heatmap")["heatmap"]} == universe
        orders = fetch(sandbox, at, "/orders/5m-snapshots/latest", limit=1000)["orders"]
        assert {row["coin"] for row in orders} == universe
        row = fetch(sandbox, at, "/position-metrics/general", start="2026-03-25", limit=1)["metrics"][0]
        mark = datetime.fromisoformat(row["createdAt"]).replace(second=0, microsecond=0)
        assert row["count"] == len(sandbox.market.positions_at(mark))


def test_all_endpoints_change_with_the_same_state(sandbox: Sandbox) -> None:
    states = sandbox.market.states
    change_ms = int(CHANGE.timestamp() * 1000)
    first = datetime.fromtimestamp(states.time(states.index_at(change_ms) + 1) / 1000, UTC)
    eve = first - timedelta(milliseconds=1)
    assert eve > CHANGE
    for at, coin, name in ((eve, "SOL", "Fish"), (first, "kPEPE", "Minnow")):
        assert coin in {row["coin"] for row in fetch(sandbox, at, "/positions/coins")}
        assert ask(sandbox, at, f"/positions/open/coin/{coin}").status_code == 200
        assert fetch(sandbox, at, "/segments")[0]["name"] == name
        body = gzip.decompress(ask(sandbox, at, f"/orders/5m-snapshots/coins/{coin}/download").content)
        assert json.loads(body) or at == first


def test_positions_close_with_their_coin(sandbox: Sandbox) -> None:
    params = {"start": "2025-04-04", "coin": "SOL", "limit": 1000}
    before = fetch(sandbox, START, "/positions", open="true", **params)["positions"]
    after: dict[str, Any] = {}
    cursor: dict[str, str] = {}
    while True:
        body = fetch(sandbox, LATER, "/positions", **params, **cursor)
        after |= {row["id"]: row for row in body["positions"]}
        if not body["nextCursor"]:
            break
        cursor = {"nextCursor": body["nextCursor"]}
    assert before
    assert fetch(sandbox, LATER, "/positions", open="true", **params)["positions"] == []
    closed_at = [after[row["id"]]["closeTime"] for row in before]
    assert None not in closed_at
    assert max(closed_at) == "2026-03-26T10:00:00.000Z"
    assert closed_at.count("2026-03-26T10:00:00.000Z") > 0.9 * len(before)


def test_positions_of_a_new_coin_open_with_it(sandbox: Sandbox) -> None:
    rows = fetch(sandbox, LATER, "/positions", start="2025-04-04", coin="kPEPE")["positions"]
    still = {row["address"] for row in rows if row["closeTime"] is None}
    assert still == set(sandbox.market.positions_at(LATER, "kPEPE")["address"])
    assert min(row["openTime"] for row in rows) >= "2026-03-26T10:00:00.000Z"
    assert len({row["id"] for row in rows}) == len(rows)


def test_longs_equal_shorts_after_a_change(sandbox: Sandbox) -> None:
    coins = sandbox.market.truth_coins(LATER)
    assert coins["value_long"].tolist() == pytest.approx((coins["value"] / 2).tolist())


def test_series_of_a_coin_hold_the_time_of_its_listing(sandbox: Sandbox) -> None:
    params = {"start": "2026-03-26T08:00:00Z", "limit": 1000}
    for path in ("/position-metrics/coin/{}", "/position-metrics/coin/{}/segment/2"):
        gone = [row["createdAt"] for row in fetch(sandbox, LATER, path.format("SOL"), **params)["metrics"]]
        new = [row["createdAt"] for row in fetch(sandbox, LATER, path.format("kPEPE"), **params)["metrics"]]
        assert max(gone) < min(new)
        assert max(gone) < "2026-03-26T10:17"
        assert min(new) >= "2026-03-26T10:00"
        assert ask(sandbox, START, path.format("kPEPE"), **params).status_code == 404
    export = fetch(sandbox, LATER, "/exports/coins/kPEPE/position-metrics")["metrics"]["data"]
    assert [row[0][:13] for row in export[1:]] == ["2026-03-26T12"]
    snapshot = fetch(sandbox, LATER, "/coin/SOL/open-positions/history", start="2026-03-26")["snapshot"]
    assert "2026-03-26T09:40" < snapshot["createdAt"] < "2026-03-26T10:17"
    assert snapshot["rowCount"] > 0
    assert ask(sandbox, START, "/coin/kPEPE/open-positions/history").status_code == 404


def test_a_cohort_has_one_definition_in_every_payload(sandbox: Sandbox) -> None:
    for at, name, edge in ((START, "Fish", 10_000), (LATER, "Minnow", 20_000)):
        listed = {row["id"]: row for row in fetch(sandbox, at, "/segments")}
        assert (listed[1]["name"], listed[1]["criteria"]["maxSize"], listed[2]["criteria"]["minSize"]) == (name, edge, edge)
        breakdown = fetch(sandbox, at, "/exports/coins/BTC/position-breakdown-by-cohort")["breakdownByCohort"]
        series = fetch(sandbox, at, "/exports/coins/BTC/segment-metrics")["data"]
        assert [row["segment"] for row in breakdown] == [row["segment"] for row in series] == list(listed.values())
        assert fetch(sandbox, at, "/segments/1/summary")["segment"] == listed[1]
        history = fetch(sandbox, at, "/segments/1/bias-history", start=f"{at:%Y-%m-%d}")["segment"]
        assert history == {key: value for key, value in listed[1].items() if key != "emoji"}


def test_wallets_move_to_the_cohort_of_the_new_bounds(sandbox: Sandbox) -> None:
    for at, edge in ((START, 10_000), (LATER, 20_000)):
        wallets = sandbox.market.truth_wallets(at)
        inside = (wallets["perpEquity"] >= 250) & (wallets["perpEquity"] < edge)
        assert (inside == (wallets["sizeSegmentId"] == 1)).all()
        definitions = sandbox.market.truth_definitions(at).set_index("id")
        assert (definitions.loc[1, "upper"], definitions.loc[2, "lower"]) == (edge, edge)
        truth = sandbox.market.truth_cohorts(at, "BTC")
        heat = next(row for row in fetch(sandbox, at, "/positions/heatmap")["heatmap"] if row["coin"] == "BTC")
        assert {part["segmentId"]: part["count"] for part in heat["segments"]} == truth["count"].to_dict()


def test_a_past_row_is_restated_in_four_series(sandbox: Sandbox) -> None:
    noon = f"{NOON:%Y-%m-%dT%H:%M}:00.000Z"
    seen = {
        "7": lambda at: {
            row[0]: tuple(row[1:]) for row in fetch(sandbox, at, "/exports/coins/BTC/position-metrics")["metrics"]["data"]
        },
        "8": lambda at: {
            (group["segment"]["id"], row[0]): tuple(row[1:])
            for group in fetch(sandbox, at, "/exports/coins/BTC/segment-metrics")["data"]
            if group["segment"]["id"] == 9
            for row in group["metrics"]["data"]
        },
        "18": lambda at: rows_of(fetch(sandbox, at, "/position-metrics/general", start="2026-03-25", end=START.isoformat()[:-6])),
        "21": lambda at: rows_of(
            fetch(sandbox, at, "/position-metrics/coin/BTC", start="2026-03-25", end=START.isoformat()[:-6])
        ),
    }
    for number, read in seen.items():
        before, after = read(START), read(LATER)
        changed = [key for key in before if key in after and before[key] != after[key]]
        assert len(changed) == 1, number
        if number in ("7", "8"):
            assert noon in str(changed[0])
            assert after[changed[0]][2] == pytest.approx(1.5 * before[changed[0]][2])
            assert after[changed[0]][0] == before[changed[0]][0]


def rows_of(body: Any) -> dict[str, tuple[Any, ...]]:
    return {row["createdAt"]: tuple(row.values()) for row in body["metrics"]}


def test_the_market_before_a_change_is_the_market_without_it() -> None:
    plain, drifting = Market(SandboxSettings(**SIZES)), Market(SandboxSettings(**SIZES, drift=DRIFT))
    rows = plain.positions_at(START)
    kept = rows[rows["coin"] != "kPEPE"].set_index("id")["value"]
    assert drifting.positions_at(START).set_index("id")["value"].to_dict() == kept.to_dict()


@pytest.mark.parametrize(
    "change",
    [
        CoinListed("NOPE", CHANGE),
        Restated("NOPE", CHANGE, NOON),
        CohortRebounded(2, CHANGE, 60_000),
        CohortRebounded(16, CHANGE, 1),
    ],
    ids=["unknown coin", "restated unknown coin", "above its upper bound", "lowest of its axis"],
)
def test_changes_that_cannot_be_are_refused(change: Any) -> None:
    with pytest.raises(ValueError, match=r"no coin|cannot begin"):
        Market(SandboxSettings(**SIZES, drift=(change,)))
