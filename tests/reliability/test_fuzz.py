"""Damaged bytes, by the thousand, within little memory and time: rows or a verdict, never a crash.

Belongs here: random damage to real payloads, in a process of its own under a cap. Does not: what undamaged payloads may be
(`test_properties`), the damage somebody thought of (`test_shapes_and_values`).
"""

from __future__ import annotations

import gzip
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import lz4.frame
import pytest
import zstandard

from orchestration.hypertracker.datasets import BY_NAME
from orchestration.hypertracker.errors import TooLargeError
from orchestration.hypertracker.inspection import BodyWatch
from orchestration.landing import land_all
from orchestration.registering import prepare
from warehouse.fetches import FetchRecord
from warehouse.ledger import Verdict
from warehouse.vault import Vault

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
SLOT = datetime(2026, 4, 28, tzinfo=UTC)
MEMORY_CAP_BYTES = 3 << 30
INFLATED_CAP_BYTES = 4 << 20
SLOWEST_S = 20.0
SEED = int(os.environ.get("HTW_SOAK_SEED", "0"))
PAYLOADS = {
    "open_positions": "positions_open_coin_BTC.csv",
    "position_metrics_export": "exports_position_metrics_BTC.json",
    "breakdown_by_size_export": "exports_position_breakdown_by_size_BTC.json",
    "wallets_equity_export": "exports_total_wallets_equity_chart_data.json",
    "coins": "positions_coins.json",
    "market_metrics": "position_metrics_general.json",
    "perp_volume": "metrics_perp_volume.json",
    "coin_metrics": "position_metrics_coin_BTC.json",
    "positions": "positions.json",
    "liquidation_risk": "segment_assets_liquidation_risk.json",
}
SCOPES = {"liquidation_risk": "9"}
Damage = Callable[[random.Random, bytes], bytes]


def orders() -> bytes:
    order = dict.fromkeys(BY_NAME["order_snapshots"].columns) | {
        "oid": 2**53 + 1, "coin": "BTC", "sz": 0.5, "snapshotTs": "2026-04-27T10:00:00.000Z", "children": [{"oid": 7}],
    }  # fmt: skip
    return json.dumps([order | {"oid": place} for place in range(20)]).encode()


def flip(chance: random.Random, body: bytes) -> bytes:
    damaged = bytearray(body)
    for _ in range(chance.choice((1, 1, 3, 30))):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def cut(chance: random.Random, body: bytes) -> bytes:
    return body[: chance.randrange(len(body))]


def splice(chance: random.Random, body: bytes) -> bytes:
    at, other, size = chance.randrange(len(body)), chance.randrange(len(body)), chance.randrange(1, 400)
    return body[:at] + body[other : other + size] + body[at + chance.choice((0, size)) :]


def plant(chance: random.Random, body: bytes) -> bytes:
    """Something unpleasant in place of a few bytes."""
    at = chance.randrange(len(body))
    nasty = (
        b"9" * 5_000, b"1e999", b"-", b"NaN", b"null", b"[" * 5_000, b'{"a":' * 2_000, b'"', b"\\ud800", b"\0", b"\r", b",,,,",
        b"\xff\xfe", b"\xed\xa0\x80", b"0x10", b'"":', b"1_0", b"<html>", b"\xef\xbb\xbf", b"'; drop table raw.coins; --",
    )  # fmt: skip
    return body[:at] + chance.choice(nasty) + body[at + chance.choice((0, 1, 8)) :]


DAMAGES: tuple[Damage, ...] = (flip, cut, splice, plant)
PACKERS: tuple[Callable[[bytes], bytes], ...] = (gzip.compress, lz4.frame.compress, zstandard.compress)


def bodies(chance: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    """Datasets and damaged payloads of theirs, one in four damaged after it was packed."""
    whole = {name: (SAMPLES / file).read_bytes() for name, file in PAYLOADS.items()} | {"order_snapshots": orders()}
    for _ in range(count):
        dataset = chance.choice(list(whole))
        body = whole[dataset]
        if chance.random() < 0.25:
            packed = chance.choice(PACKERS)(body)
            yield dataset, chance.choice((flip, cut, splice))(chance, packed)
        else:
            for _ in range(chance.choice((1, 1, 2))):
                body = chance.choice(DAMAGES)(chance, body) or b" "
            yield dataset, body


def watch(chance: random.Random, body: bytes) -> None:
    """A body seen in pieces inflates to no more than the cap, and is doubted or not."""
    seen, at = BodyWatch(INFLATED_CAP_BYTES), 0
    try:
        while at < len(body):
            size = chance.choice((1, 7, 1_000, 1 << 16))
            seen.see(body[at : at + size])
            at += size
    except TooLargeError:
        pass
    assert isinstance(seen.doubt(), str)
    assert seen.inflated_bytes <= INFLATED_CAP_BYTES + (1 << 20)


def fuzz(seed: int, count: int) -> None:
    """Watch and land so many damaged payloads; every one gets a verdict, in words where it is refused."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_CAP_BYTES, MEMORY_CAP_BYTES))
    chance, verdicts = random.Random(seed), dict[str, int]()
    with TemporaryDirectory() as folder, duckdb.connect(config={"memory_limit": "512MB", "threads": 2}) as connection:
        connection.execute("set timezone = 'UTC'")
        prepare(connection)
        vault = Vault(Path(folder))
        vault.create()
        for number, (dataset, body) in enumerate(bodies(chance, count)):
            began, where = time.monotonic(), f"seed {seed}, payload {number} of {dataset}"
            watch(chance, body)
            verdict = land_one(connection, vault, dataset, body, where)
            verdicts[verdict] = verdicts.get(verdict, 0) + 1
            assert time.monotonic() - began < SLOWEST_S, where
        held = connection.execute("select count(*), count(*) filter (where reason = '') from ops.quarantine").fetchone()
        assert held == (verdicts.get("quarantined", 0), 0), held
    print(json.dumps(verdicts))


def land_one(connection: duckdb.DuckDBPyConnection, vault: Vault, dataset: str, body: bytes, where: str) -> str:
    """The verdict on one body, the first of its dataset; rows are there exactly where it is loaded."""
    connection.execute(f"delete from ops.definitions; delete from raw.{dataset}; delete from ops.payloads")
    with vault.new_body(dataset, SLOT, BY_NAME[dataset].suffix) as writer:
        writer.write(body)
        part = writer.finish()
    scope = SCOPES.get(dataset, "BTC" if BY_NAME[dataset].is_per_coin else "")
    at = SLOT + timedelta(hours=1)
    record = FetchRecord(
        os.urandom(16).hex(), dataset, scope, SLOT, at, at, "received", (part,), state_before=SLOT, state_after=SLOT
    )  # fmt: skip
    try:
        ((_, judgement),) = land_all(connection, vault, [record])
    except BaseException as error:
        error.add_note(f"{where}: {body[:2000]!r}")
        raise
    (rows,) = connection.execute(f"select count(*) from raw.{dataset}").fetchone() or (0,)
    assert (rows > 0) == (judgement.verdict is Verdict.LOADED), where
    return judgement.verdict.value


def in_a_process(seed: int, count: int, within_s: float) -> dict[str, int]:
    code = f"from tests.reliability.test_fuzz import fuzz; fuzz({seed}, {count})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=within_s, check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, f"seed {seed}: {done.stderr[-3000:]}"
    verdicts: dict[str, int] = json.loads(done.stdout)
    return verdicts


def test_damaged_payloads_are_read_or_refused_within_the_caps() -> None:
    verdicts = in_a_process(SEED, 200, within_s=120)
    assert sum(verdicts.values()) == 200
    assert {"loaded", "quarantined"} <= verdicts.keys() <= {"loaded", "quarantined", "empty"}


@pytest.mark.soak
@pytest.mark.parametrize("step", range(10))
def test_thousands_of_damaged_payloads_are_read_or_refused(step: int) -> None:
    seed = SEED + 1 + step
    print(f"seed {seed}: {in_a_process(seed, 1_000, within_s=900)}")
