"""One position is missing in one endpoint, and every other endpoint still has it."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

import httpx
import pytest

from sandbox import Fault, Sandbox, SandboxSettings, running_sandbox
from sandbox.settings import PLANTABLE

START = datetime(2026, 3, 26, 12, 1, tzinfo=UTC)
SIZES: dict[str, Any] = {"coins": 3, "positions": 300, "orders": 60, "start": START, "clock": "manual", "foreign_share": 0.0}
COIN = "ETH"


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with running_sandbox(SandboxSettings(**SIZES)) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared: Sandbox) -> Sandbox:
    shared.faults.clear()
    return shared


@cache
def client() -> httpx.Client:
    """One client for all tests: making one costs more than most requests."""
    return httpx.Client(timeout=20)


def fetch(sandbox: Sandbox, path: str) -> bytes:
    headers = {"Authorization": f"Bearer {sandbox.token}"}
    answer = client().get(f"{sandbox.api_url}/api/external{path}", headers=headers)
    if answer.status_code == 302:
        answer = client().get(answer.headers["Location"])
    elif b'{"downloadUrl"' in answer.content[:20]:
        answer = client().get(answer.json()["downloadUrl"])
    assert answer.status_code == 200, answer.text
    return answer.content


def of_coin(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return next(row for row in rows if row["coin"] == COIN)


def sums(rows: list[dict[str, Any]], count: str, value: str) -> tuple[float, float]:
    return sum(row[count] for row in rows), sum(row[value] for row in rows)


def _segment_heads(body: Any) -> tuple[float, float]:
    heads = [group["metrics"]["data"][0] for group in body["data"] if group["segment"]["category"] == "size"]
    return sum(head[1] for head in heads), sum(head[3] for head in heads)


def _axis(body: Any) -> tuple[float, float]:
    rows = [row for row in body["breakdownByCohort"] if row["segment"]["category"] == "size"]
    return sums(rows, "positionCount", "totalPositionValue")


def _csv(content: bytes) -> tuple[float, float]:
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    return len(rows), sum(float(row["value"]) for row in rows)


def _orders(content: bytes) -> tuple[float, float]:
    rows = json.loads(gzip.decompress(content))
    return len(rows), len({row["oid"] for row in rows})


def of_json(read: Callable[[Any], tuple[float, float]]) -> Callable[[bytes], tuple[float, float]]:
    return lambda content: read(json.loads(content))


EXPORTS = f"/exports/coins/{COIN}"
SEEN: dict[str, tuple[str, Callable[[bytes], tuple[float, float]]]] = {
    "coins": ("/positions/coins", of_json(lambda body: sums([of_coin(body)], "count", "totalValue"))),
    "heatmap": ("/positions/heatmap", of_json(lambda body: sums([of_coin(body["heatmap"])], "count", "totalValue"))),
    "breakdown_by_size": (
        f"{EXPORTS}/position-breakdown-by-size",
        of_json(lambda body: sums(body["breakdownBySize"], "positionCount", "totalPositionValue")),
    ),
    "breakdown_by_cohort": (f"{EXPORTS}/position-breakdown-by-cohort", of_json(_axis)),
    "position_metrics": (
        f"{EXPORTS}/position-metrics",
        of_json(lambda body: (body["metrics"]["data"][0][1], body["metrics"]["data"][0][3])),
    ),
    "segment_metrics": (f"{EXPORTS}/segment-metrics", of_json(_segment_heads)),
    "open_positions": (f"/positions/open/coin/{COIN}", _csv),
    "liquidation_heatmap": (
        f"{EXPORTS}/liquidation-heatmap",
        of_json(lambda body: sums(body["heatmap"], "positionsCount", "liquidationValue")),
    ),
    "market_metrics": (
        "/position-metrics/general?start=2026-03-26T11:30:00Z&limit=1",
        of_json(lambda body: sums(body["metrics"], "count", "openInterest")),
    ),
    "coin_metrics": (
        f"/position-metrics/coin/{COIN}?start=2026-03-26T11:30:00Z&limit=1",
        of_json(lambda body: sums(body["metrics"], "positionCount", "totalPositionValue")),
    ),
    "open_positions_history": (
        f"/coin/{COIN}/open-positions/history",
        of_json(lambda body: (body["snapshot"]["rowCount"], 0)),
    ),
    "orders_missing": (f"/orders/5m-snapshots/coins/{COIN}/download", _orders),
    "orders_twice": (f"/orders/5m-snapshots/coins/{COIN}/download", _orders),
}
ORDER_ERRORS = {"orders_missing": (-1, -1), "orders_twice": (1, 0)}


def read(sandbox: Sandbox, name: str) -> tuple[float, float]:
    path, parse = SEEN[name]
    return parse(fetch(sandbox, path))


def assert_short(name: str, whole: tuple[float, float], planted: tuple[float, float]) -> None:
    if name in ORDER_ERRORS:
        assert (planted[0] - whole[0], planted[1] - whole[1]) == ORDER_ERRORS[name]
    else:
        assert planted[0] == whole[0] - 1
        assert planted[1] < whole[1] or name == "open_positions_history"


@pytest.mark.parametrize("name", PLANTABLE, ids=str)
def test_a_setting_plants_an_error_in_one_endpoint_alone(sandbox: Sandbox, name: str) -> None:
    with running_sandbox(SandboxSettings(**SIZES, planted_error=name, planted_coin=COIN)) as planted:
        for other, (path, _) in SEEN.items():
            if path != SEEN[name][0]:
                assert read(planted, other) == read(sandbox, other), other
        assert_short(name, read(sandbox, name), read(planted, name))


@pytest.mark.parametrize("name", PLANTABLE, ids=str)
def test_a_fault_plants_it_while_it_strikes(sandbox: Sandbox, name: str) -> None:
    whole = read(sandbox, name)
    mode = {"mode": "twice"} if name == "orders_twice" else {}
    path = SEEN[name][0].partition("?")[0]
    sandbox.faults.add(Fault("planted", path, count=1, coin=COIN, **mode))
    assert_short(name, whole, read(sandbox, name))
    assert read(sandbox, name) == whole


def test_the_same_position_is_missing_everywhere(sandbox: Sandbox) -> None:
    missing = {}
    for name in ("coins", "heatmap", "breakdown_by_size", "open_positions", "liquidation_heatmap", "segment_metrics"):
        whole = read(sandbox, name)[1]
        sandbox.faults.add(Fault("planted", SEEN[name][0], coin=COIN))
        missing[name] = whole - read(sandbox, name)[1]
    assert list(missing.values()) == pytest.approx([missing["coins"]] * len(missing), abs=0.01)


def test_the_past_of_an_export_is_not_planted(sandbox: Sandbox) -> None:
    path = SEEN["position_metrics"][0]
    whole = json.loads(fetch(sandbox, path))["metrics"]["data"]
    sandbox.faults.add(Fault("planted", path, coin=COIN))
    assert json.loads(fetch(sandbox, path))["metrics"]["data"][1:] == whole[1:]


def test_an_unknown_planted_error_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown planted error"):
        SandboxSettings(planted_error="everything")
