"""Slots as Dagster partitions, one definition a cadence, from a start that never moves.

Belongs here: partition definitions and their start. Does not: the slot grid itself (`planning.slots`). A start that moved with
the clock would fail in-flight backfills and late retries at midnight, so it is written once, at first start: that day minus 30.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg

from orchestration.planning.slots import Cadence
from warehouse.small_files import read_small, write_durably

SLOT_FORMAT = "%Y-%m-%dT%H:%MZ"
DAYS_BEFORE_FIRST_START = 30
START_FILE = "first_slot.txt"


def raw_key(dataset: str) -> dg.AssetKey:
    """The asset of a dataset's payloads, partitioned by its slots."""
    return dg.AssetKey(["raw", dataset])


def first_slot(data_dir: Path, now: datetime) -> datetime:
    """The fixed start of the partitions (UTC midnight); written at the first call, the same ever after.

    A damaged file is written anew, by the oldest slot of the vault: that was there to be polled at the first start.
    """
    path = data_dir / START_FILE
    start = read_small(path, _midnight, data_dir)
    if start is None:
        start = _midnight((_first_day(data_dir, now) - timedelta(days=DAYS_BEFORE_FIRST_START)).isoformat())
        data_dir.mkdir(parents=True, exist_ok=True)
        write_durably(path, f"{start:%Y-%m-%d}\n")
    return start


def _first_day(data_dir: Path, now: datetime) -> date:
    held = (day.name for day in data_dir.glob("vault/*/????-??-??"))
    return min(map(date.fromisoformat, held), default=now.astimezone(UTC).date())


def _midnight(text: str) -> datetime:
    return datetime.fromisoformat(text.strip()).replace(tzinfo=UTC)


def slot_partitions(cadence: Cadence, start: datetime) -> dg.TimeWindowPartitionsDefinition:
    """Keys like `2026-03-24T10:05Z`; the slot that has just begun is the last one."""
    return dg.TimeWindowPartitionsDefinition(
        cron_schedule=cadence.value, start=start.strftime(SLOT_FORMAT), fmt=SLOT_FORMAT, end_offset=1, timezone="UTC"
    )


def slot_key(slot: datetime) -> str:
    return slot.strftime(SLOT_FORMAT)


def slot_of(key: str) -> datetime:
    """The UTC instant of a partition key. Raises `ValueError` for anything else."""
    return datetime.strptime(key, SLOT_FORMAT).replace(tzinfo=UTC)
