"""What the endpoints serve is the generator's truth: cohorts, coin series, wallets, volume, lives of positions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import httpx
import pytest

from sandbox import Sandbox, SandboxSettings, running_sandbox

START = datetime(2026, 3, 26, 12, 1, tzinfo=UTC)
CLOSE = {"rel": 1e-9, "abs": 1e-4}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox(SandboxSettings(coins=9, positions=900, orders=90, start=START, clock="manual")) as sandbox:
        yield sandbox


@cache
def client() -> httpx.Client:
    return httpx.Client(timeout=20)


def fetch(sandbox: Sandbox, path: str, **params: Any) -> Any:
    headers = {"Authorization": f"Bearer {sandbox.token}"}
    answer = client().get(f"{sandbox.api_url}/api/external{path}", params=params or None, headers=headers)
    if answer.status_code == 302:
        return client().get(answer.headers["Location"]).json()
    body = answer.json()
    return client().get(body["downloadUrl"]).json() if "downloadUrl" in body else body


@pytest.mark.parametrize("recency", ["all", "24h"])
def test_bias_history(sandbox: Sandbox, recency: str) -> None:
    start = START - timedelta(hours=9)
    body = fetch(sandbox, "/segments/4/bias-history", start=start.isoformat()[:-6], positionRecencyTimeframe=recency)
    truth = sandbox.market.truth_bias_history(4, start, START, recency)
    assert list(truth.columns) == body["historySnapshotStructure"]
    assert len(body["history"]) == len(truth) > 3
    for served, expected in zip(body["history"], truth.to_numpy().tolist(), strict=True):
        assert served[0] == expected[0]
        assert served[1:] == pytest.approx(expected[1:], abs=0.011)


def test_segments_bias(sandbox: Sandbox) -> None:
    groups = {group["segmentId"]: group for group in fetch(sandbox, "/exports/segments-bias-charts-data-24h")}
    truth = sandbox.market.truth_segments_bias(START, 1)
    assert len(groups[1]["data"]) == len(truth) == 144
    for served, expected in zip(groups[1]["data"], truth.to_numpy().tolist(), strict=True):
        assert served[0] == expected[0]
        assert served[1:] == pytest.approx(expected[1:], abs=0.011)


@pytest.mark.parametrize("recency", ["all", "7d"])
def test_segment_summary(sandbox: Sandbox, recency: str) -> None:
    body = fetch(sandbox, "/segments/2/summary", positionAge=recency)
    truth = sandbox.market.truth_segment_summary(START, 2, recency)
    served = {**body["openPerpsSummary"], **body["summary"]}
    for name in set(served) & set(truth):
        assert served[name] == pytest.approx(truth[name], **CLOSE), name
    assert [(row["coin"], row["totalValue"]) for row in body["topAssets"]] == [
        (coin, pytest.approx(value)) for coin, value in truth["topAssets"]
    ]


def test_liquidation_risk(sandbox: Sandbox) -> None:
    truth = sandbox.market.truth_liquidation_risk(START, 2)
    body = fetch(sandbox, "/2/assets/liquidation-risk")
    assert body["totalCount"] == len(truth)
    for row in body["items"]:
        assert list(row.values())[1:] == pytest.approx(truth.loc[row["coin"]].tolist(), **CLOSE)


SERIES = {
    "coin": ("", lambda market, t: market.truth_coin_metrics(t, "ETH")),
    "cohort": ("/segment/2", lambda market, t: market.truth_coin_cohort_metrics(t, "ETH", 2)),
    "bucket": ("/position-size-bucket/3", lambda market, t: market.truth_coin_bucket_metrics(t, "ETH", 3)),
}


@pytest.mark.parametrize("kind", SERIES, ids=str)
def test_coin_series(sandbox: Sandbox, kind: str) -> None:
    path, truth_of = SERIES[kind]
    start = START - timedelta(hours=2)
    rows = fetch(sandbox, f"/position-metrics/coin/ETH{path}", start=start.isoformat()[:-6])["metrics"]
    times = sandbox.market.truth_coin_row_times("ETH", start, START)
    assert [row["createdAt"] for row in reversed(rows)] == times["createdAt"].tolist()
    for row, moment in zip(reversed(rows), times["stateAt"], strict=True):
        truth = truth_of(sandbox.market, moment)
        assert {name: row[name] for name in truth} == pytest.approx(truth, **CLOSE)


def test_equity(sandbox: Sandbox) -> None:
    body = fetch(sandbox, "/exports/total-wallets-equity-chart-data")
    truth = sandbox.market.truth_equity_history(START).astype(object)
    rows = truth.where(truth.notna(), None).to_numpy().tolist()
    assert body["history"]["data"] == rows
    assert body["athData"]["data"] == pytest.approx(list(sandbox.market.truth_equity_highs(START).values()))
    day_ago = sandbox.market.truth_equity(sandbox.market.state_at(START) - timedelta(days=1))
    assert body["data24HoursAgo"]["data"] == list(day_ago.values())


def test_perp_volume(sandbox: Sandbox) -> None:
    start = START - timedelta(days=2)
    rows = fetch(sandbox, "/metrics/perp-volume", start=start.isoformat()[:-6])["metrics"]
    truth = sandbox.market.truth_perp_volume(start, START)
    assert [(row["createdAt"], row["volume"]) for row in reversed(rows)] == list(truth.itertuples(index=False, name=None))


@pytest.mark.parametrize(("period", "label"), [("day", "Day"), ("week", "Week"), ("month", "Month"), ("all", "AllTime")])
def test_leaderboard(sandbox: Sandbox, period: str, label: str) -> None:
    rows = fetch(sandbox, f"/leaderboards/perp-pnl/{period}/download")
    truth = sandbox.market.truth_leaderboard(START, period)
    assert [(row["rank"], row["address"]) for row in rows] == list(zip(truth["rank"], truth["address"], strict=True))
    for name, column in {"openValue": "openValue", "openValueLong": "openValueLong", f"pnl{label}": "pnl"}.items():
        assert [row[name] for row in rows] == pytest.approx(truth[column].tolist(), **CLOSE)


def test_lives_of_positions(sandbox: Sandbox) -> None:
    start = START - timedelta(days=3)
    rows = fetch(sandbox, "/positions", start=start.isoformat()[:-6], coin="BTC")["positions"]
    truth = sandbox.market.truth_position_lives(START, start, coin="BTC").to_dict("records")
    assert {row["closeTime"] is None for row in rows} == {True, False}
    for row, expected in zip(rows, truth, strict=True):
        size, pnl = row["profile"]["segments"]
        served = {**row, "sizeSegmentId": size, "pnlSegmentId": pnl}
        assert {name: served[name] for name in expected} == expected


def test_open_lives_are_the_open_positions(sandbox: Sandbox) -> None:
    lives = sandbox.market.truth_position_lives(START, datetime(2025, 4, 1, tzinfo=UTC), coin="BTC")
    still = lives[lives["closeTime"].isna()].set_index("address").sort_index()
    held = sandbox.market.positions_at(START, "BTC").set_index("address").sort_index()
    held = held.loc[still.index]
    assert len(still) > 100
    assert still["positionValue"].tolist() == pytest.approx(held["value"].tolist())
    assert still["openTime"].tolist() == held["openTime"].tolist()
