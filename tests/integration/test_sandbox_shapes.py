"""The forms the contract leaves open: each other choice says the same as the default one."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from functools import cache
from typing import Any

import httpx

from sandbox import Sandbox, SandboxSettings, Shapes, running_sandbox

START = datetime(2026, 3, 26, 12, 1, tzinfo=UTC)
SIZES: dict[str, Any] = {"coins": 2, "positions": 120, "orders": 20, "start": START, "clock": "manual"}


@cache
def client() -> httpx.Client:
    """One client for all tests: making one costs more than most requests."""
    return httpx.Client(timeout=20)


def ask(sandbox: Sandbox, path: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {sandbox.token}"}
    answer = client().get(f"{sandbox.api_url}/api/external{path}", headers=headers)
    if answer.status_code == 302:
        return client().get(answer.headers["Location"])
    if b'{"downloadUrl"' in answer.content[:20]:
        return client().get(answer.json()["downloadUrl"])
    return answer


@cache
def default(path: str) -> httpx.Response:
    with running_sandbox(SandboxSettings(**SIZES)) as sandbox:
        return ask(sandbox, path)


def other(path: str, **shapes: Any) -> httpx.Response:
    with running_sandbox(SandboxSettings(**SIZES, shapes=Shapes(**shapes))) as sandbox:
        return ask(sandbox, path)


def read_csv(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_the_bias_export_as_a_named_list_and_as_a_map() -> None:
    path = "/exports/segments-bias-charts-data-24h"
    groups = default(path).json()
    assert other(path, bias_export="named_list").json() == {"segments": groups}
    by_id = {str(group["segmentId"]): {"columns": group["columns"], "data": group["data"]} for group in groups}
    assert other(path, bias_export="map").json() == by_id


def test_open_positions_as_json() -> None:
    path = "/positions/open/coin/BTC"
    answer = other(path, open_positions="json")
    assert answer.headers["content-type"] == "application/json"
    assert [{name: str(value) for name, value in row.items()} for row in answer.json()] == read_csv(default(path))
    with running_sandbox(SandboxSettings(**SIZES, shapes=Shapes(open_positions="json"))) as sandbox:
        snapshot = ask(sandbox, "/coin/BTC/open-positions/history").json()["snapshot"]
        assert snapshot["format"] == "json"
        assert len(client().get(snapshot["downloadUrl"]).json()) == snapshot["rowCount"]


def test_the_leaderboard_as_a_table_and_as_csv() -> None:
    path = "/leaderboards/perp-pnl/week/download"
    rows = default(path).json()
    table = other(path, leaderboard="table").json()
    assert [dict(zip(table["columns"], row, strict=True)) for row in table["data"]] == rows
    lines = read_csv(other(path, leaderboard="csv"))
    assert [{name: str(value) for name, value in row.items()} for row in rows] == lines


def test_the_leaderboards_periods_in_hours() -> None:
    path = "/leaderboards/perp-pnl/{}/download"
    assert other(path.format("7d"), leaderboard_periods="hours").content == default(path.format("week")).content
    assert other(path.format("all"), leaderboard_periods="hours").content == default(path.format("all")).content
    assert other(path.format("week"), leaderboard_periods="hours").status_code == 400
    assert default(path.format("7d")).status_code == 400


def test_metrics_with_the_coin_in_every_row() -> None:
    path = "/exports/coins/BTC/position-metrics"
    ragged, even = default(path).json()["metrics"], other(path, metrics_columns="even").json()["metrics"]
    assert even["columns"] == ragged["columns"]
    assert even["data"] == [["BTC", *row] for row in ragged["data"]]


def test_metrics_every_hour() -> None:
    path = "/exports/coins/BTC/position-metrics"
    sparse, dense = default(path).json()["metrics"]["data"], other(path, metrics_step_h=1).json()["metrics"]["data"]
    assert len(dense) == 2 * len(sparse) - 2
    assert [row for row in dense if row in sparse] == sparse


def test_a_coins_positions_in_any_form_or_none() -> None:
    path = "/exports/coins/BTC/positions"
    top = other(path, coin_positions="top").json()["positions"]
    table = other(path, coin_positions="table").json()["positions"]
    assert [dict(zip(table["columns"], row, strict=True)) for row in table["data"]] == top
    assert [row["value"] for row in top] == sorted((row["value"] for row in top), reverse=True)
    assert other(path, coin_positions="missing").status_code == 404
    assert "range" in default(path).json()["positions"][0]
