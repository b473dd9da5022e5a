"""What a day's end does to old days: pack them in the vault, drop their raw rows. Facts are untouched.

Belongs here: both in order, with the settings that say how old. Does not: either of them (`warehouse.packing`, `raw_keeping`),
the command (`storage_commands`), the job (`jobs`), the lake's files (`warehouse.lake_upkeep`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from orchestration.pipeline import Pipeline
from orchestration.raw_keeping import DroppedRaw, drop_old_raw
from warehouse.packing import PACKED_AFTER_DAYS, PackedDay, pack_days, packable_days
from warehouse.retention import kept_whole


@dataclass(frozen=True)
class Tidied:
    """What was done, or would be: days packed, raw rows dropped. `kept_whole` names the table for which a dataset keeps its raw
    rows."""

    packed: tuple[PackedDay, ...]
    days_to_pack: int
    raw: DroppedRaw
    raw_before: datetime
    kept_whole: dict[str, str]


def tidy_storage(pipeline: Pipeline, is_dry: bool = False) -> Tidied:
    """Pack old days, then drop the raw rows that settings no longer keep and no build needs. May be called again, or cut off."""
    settings, now = pipeline.settings, pipeline.clock.now()
    packed_before = (now - timedelta(days=PACKED_AFTER_DAYS)).date()
    days = len(packable_days(pipeline.vault, packed_before))
    packed = () if is_dry else tuple(pack_days(pipeline.vault, packed_before))
    readers, raw_before = pipeline.raw_readers(), begin_of_day(now - timedelta(days=settings.raw_days))
    dropped = DroppedRaw()
    if settings.warehouse_file.exists():
        dropped = drop_old_raw(settings.warehouse_file, pipeline.sources, readers, raw_before, is_dry)
    return Tidied(packed, days, dropped, raw_before, kept_whole(readers))


def begin_of_day(moment: datetime) -> datetime:
    """Whole days go together: the raw rows of one lie together too."""
    return datetime.combine(moment.astimezone(UTC).date(), time(), UTC)
