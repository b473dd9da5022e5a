"""A snapshot of the whole market's orders is loaded within little memory."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox import SandboxSettings, running_sandbox
from tests.integration.conftest import by_hand
from tests.integration.processes import python_process
from warehouse.fetches import FetchRecord, new_fetch_id
from warehouse.vault import Vault

pytestmark = pytest.mark.long

SLOT = datetime(2026, 3, 26, 12, tzinfo=UTC)
ORDERS = 350_000
MOST_MIB = 1024
LOAD = """
    import sys
    from orchestration.pipeline import Pipeline
    from orchestration.settings import load_settings
    pipeline = Pipeline(load_settings(api_url="http://127.0.0.1:1", data_dir=sys.argv[1], warehouse_url=None))
    print("ready", flush=True)
    (outcome,) = pipeline.load()
    print(outcome.judgement.row_count, peak_mib(), outcome.judgement.reason)
"""


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """A data folder whose vault holds a coin's file of so many orders, each under an id of its own."""
    vault = Vault(tmp_path / "data" / "vault")
    vault.create()
    with vault.new_body("order_snapshots", SLOT, ".json") as body:
        for text in many(orders_of_a_coin()):
            body.write(text.encode())
        kept = body.finish()
    vault.keep(FetchRecord(new_fetch_id(), "order_snapshots", "BTC", SLOT, SLOT, SLOT, "received", (kept,)))
    return vault.root.parent


def orders_of_a_coin() -> list[dict[str, Any]]:
    with running_sandbox(SandboxSettings(start=SLOT, clock="manual", coins=2, positions=40, orders=400)) as sandbox:
        path = f"{sandbox.api_url}/api/external/orders/5m-snapshots/coins/BTC/download"
        answer = by_hand().get(path, headers={"Authorization": f"Bearer {sandbox.token}"})
        link = answer.headers.get("location") or answer.json()["downloadUrl"]
        return list(json.loads(gzip.decompress(by_hand().get(link).content)))


def many(orders: list[dict[str, Any]]) -> Iterator[str]:
    yield "["
    for number in range(ORDERS):
        yield json.dumps({**orders[number % len(orders)], "oid": 10**9 + number}) + ("," if number + 1 < ORDERS else "]")


@pytest.mark.proves("memory-cap", sees=f"nothing: it is loaded with less than {MOST_MIB} MiB at the peak")
def test_a_snapshot_of_350_000_orders_is_loaded_in_little_memory(snapshot: Path) -> None:
    with python_process(LOAD, snapshot) as child:
        assert child.stdout is not None
        count, peak_mib, *reason = child.stdout.read().split()
    print(f"a peak of {peak_mib} MiB")
    assert (int(count), reason) == (ORDERS, [])
    assert int(peak_mib) < MOST_MIB
