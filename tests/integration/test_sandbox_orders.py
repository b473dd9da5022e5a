"""One snapshot of orders, asked for in every way there is, is the same orders."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import httpx
import lz4.frame
import pytest

from sandbox import Sandbox, SandboxSettings, running_sandbox

START = datetime(2026, 3, 12, 12, 1, tzinfo=UTC)
SNAPSHOT = "2026-03-12T12:00:00.000Z"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox(SandboxSettings(coins=4, positions=200, orders=300, start=START, clock="manual")) as sandbox:
        yield sandbox


@cache
def client() -> httpx.Client:
    """One client for all tests: making one costs more than most requests."""
    return httpx.Client(timeout=20)


def ask(sandbox: Sandbox, path: str, **params: Any) -> Any:
    headers = {"Authorization": f"Bearer {sandbox.token}"}
    answer = client().get(f"{sandbox.api_url}/api/external/orders/5m-snapshots{path}", params=params, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def pages(sandbox: Sandbox, path: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor = None
    while cursor or not rows:
        body = ask(sandbox, path, limit=70, **({"nextCursor": cursor} if cursor else {}))
        rows, cursor = rows + body["orders"], body["nextCursor"]
    return rows


def test_pages_archive_and_files_of_coins_hold_the_same_orders(sandbox: Sandbox) -> None:
    assert ask(sandbox, "/latest-snapshot-timestamp") == SNAPSHOT
    paged = pages(sandbox, f"/{SNAPSHOT}")
    assert len(paged) == len({row["oid"] for row in paged}) == 300
    assert {row["snapshotTs"] for row in paged} == {SNAPSHOT}
    assert pages(sandbox, "/latest") == paged
    packed = client().get(ask(sandbox, f"/{SNAPSHOT}/download")["downloadUrl"]).content
    archive = json.loads(lz4.frame.decompress(packed))
    assert {row.pop("snapshotTime") for row in archive} == {int(datetime.fromisoformat(SNAPSHOT).timestamp() * 1000)}
    assert archive == [{name: value for name, value in row.items() if name != "snapshotTs"} for row in paged]
    for coin in sandbox.market.coins.names:
        zipped = client().get(ask(sandbox, f"/coins/{coin}/download")["downloadUrl"]).content
        assert json.loads(gzip.decompress(zipped)) == [row for row in paged if row["coin"] == coin]


def test_some_children_repeat_top_level_orders(sandbox: Sandbox) -> None:
    rows = {row["oid"]: row for row in pages(sandbox, f"/{SNAPSHOT}")}
    children = [(row, child) for row in rows.values() for child in row["children"]]
    repeated = [(row, child) for row, child in children if child["oid"] in rows]
    assert len(repeated) == len(sandbox.market.coins.names) < len(children)
    for parent, child in repeated:
        top = rows[child["oid"]]
        assert {**child, "snapshotTs": SNAPSHOT} == top
        assert (child["address"], child["coin"], child["reduceOnly"]) == (parent["address"], parent["coin"], True)
        assert child["side"] != parent["side"]


def test_linked_orders_appear_and_end_together(sandbox: Sandbox) -> None:
    for days in range(0, 40, 4):
        keys = sandbox.market.orders.keys(int((START - timedelta(days=days)).timestamp()) // 300)
        rows = sandbox.market.orders.draw(0, keys)
        assert rows.repeated is not None
        assert set(rows.repeated.oid) <= set(rows.oid)


def test_an_order_of_2023_rests_in_a_snapshot_of_2026(sandbox: Sandbox) -> None:
    first = ask(sandbox, f"/{SNAPSHOT}", limit=1)["orders"][0]
    assert first["timestamp"].startswith("2023-")
    assert first["snapshotTs"] == SNAPSHOT
