"""Packing and dropping old rows while a backfill writes the same day: no payload and no fact goes with them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestration.clock import SteppedClock
from orchestration.collecting import Ask
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.modelling import raise_for_failures
from orchestration.pipeline import Pipeline
from orchestration.planning.slots import Cadence, slots_between
from orchestration.settings import load_settings
from sandbox import Sandbox, SandboxSettings, running_sandbox
from tests.integration.processes import python_process
from tests.reliability.oracles import check_vault, facts
from warehouse.connection import open_reader

pytestmark = pytest.mark.long
proves = pytest.mark.proves

BEGIN = datetime(2026, 3, 26, tzinfo=UTC)
SLOTS = list(slots_between(Cadence.FIVE_MINUTES, BEGIN, BEGIN + timedelta(hours=1)))
AT_ONCE = 4
# Files count as at rest at once, and every slot is old by the machine's clock.
TIDIES_ON = """
    import os, sys
    from pathlib import Path
    from orchestration.pipeline import Pipeline
    from orchestration.settings import load_offline_settings
    from orchestration.tidying import tidy_storage
    pipeline = Pipeline(load_offline_settings(data_dir=Path(sys.argv[1])))
    print("begun", flush=True)
    dropped = packed = 0
    while not Path(sys.argv[2]).exists():
        for path in pipeline.vault.root.glob("*/*-*-*/*"):
            try:
                os.utime(path, (0, 1_000_000_000))
            except FileNotFoundError:
                pass
        did = tidy_storage(pipeline)
        dropped, packed = dropped + len(did.raw.payloads), packed + sum(day.record_count for day in did.packed)
    print(dropped, packed, flush=True)
"""


def pipeline_of(sandbox: Sandbox, data_dir: Path) -> Pipeline:
    settings = load_settings(
        api_url=sandbox.api_url, api_token=SecretStr(sandbox.token), coins="BTC", plan="1000000/day", data_dir=data_dir,
        datasets="order_snapshots", warehouse_url=None,
    )  # fmt: skip
    return Pipeline(settings, SteppedClock(sandbox.clock.now, sandbox.clock.set))


@pytest.fixture(scope="module")
def past() -> Iterator[Sandbox]:
    with running_sandbox(SandboxSettings(start=BEGIN, clock="manual", coins=2, positions=40, orders=60)) as sandbox:
        sandbox.clock.set(SLOTS[-1] + timedelta(hours=1))
        yield sandbox


def ask(pipeline: Pipeline, slots: list[datetime]) -> None:
    pipeline.ask([Ask.of(BY_NAME["order_snapshots"], "BTC", slot) for slot in slots])


@proves("retention-and-backfill", sees="the facts of a folder that keeps everything; every payload verifies")
def test_old_days_are_tidied_while_a_backfill_writes_them(past: Sandbox, tmp_path: Path) -> None:
    disturbed, is_over = pipeline_of(past, tmp_path / "disturbed"), tmp_path / "over"
    disturbed.vault.create()
    shuffled = random.Random(3).sample(SLOTS, len(SLOTS))
    with python_process(TIDIES_ON, disturbed.settings.data_dir, is_over) as tidies:
        for first in range(0, len(shuffled), AT_ONCE):
            ask(disturbed, shuffled[first : first + AT_ONCE])
            raise_for_failures(disturbed.build())
            # Once more what is there already: the same bytes, beside the packs.
            ask(disturbed, shuffled[first : first + 1])
        is_over.touch()
        assert tidies.stdout is not None
        dropped, packed = map(int, tidies.stdout.readline().split())
    assert dropped > AT_ONCE, "rows that came back were dropped again"
    assert packed > AT_ONCE
    assert len(list(disturbed.vault.root.glob("order_snapshots/*/records-*.jsonl.gz"))) > 1
    assert check_vault(disturbed) == len(SLOTS)
    with open_reader(disturbed.settings.warehouse_file) as connection:
        twice = connection.execute("select payload_id from ops.payloads group by all having count(*) > 1").fetchall()
    assert twice == []
    calm = pipeline_of(past, tmp_path / "calm")
    ask(calm, SLOTS)
    raise_for_failures(calm.build())
    assert facts(disturbed) == facts(calm)
    raise_for_failures(disturbed.build(full_refresh=True))
    assert facts(disturbed) == facts(calm)
