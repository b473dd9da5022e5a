"""The working file made again: from the vault, and on a machine that models what others send, from the shared lake.

Belongs here: building it aside, and putting it in its place. Does not: landing what is replayed (`landing`), taking (`pipeline`),
the command (`cli`).
"""

from __future__ import annotations

import shutil
from collections.abc import Set as AbstractSet
from pathlib import Path

from orchestration import modelling
from orchestration.landing import land_all
from orchestration.pipeline import Pipeline, Progress
from orchestration.sole import sole
from warehouse.connection import WarehouseError, open_writer, wal_of, writer_lock
from warehouse.repair import mend_records


def rebuild(pipeline: Pipeline, on_record: Progress | None = None) -> int:
    """Make the working file again, offline but for a shared lake, and publish it. The number of fetches replayed.

    The new file is built aside and takes the old one's place only when its build and tests succeeded. Raises `WarehouseError`
    where another process is at it, and `LakeError` where what others sent cannot be had whole.
    """
    with sole(pipeline.settings.data_dir / "rebuild.lock") as is_alone:
        if not is_alone:
            raise WarehouseError("another process is making the working file again", "wait for it")
        count = _rebuild_aside(pipeline, on_record)
    pipeline.publish(anew=True)
    return count


def _rebuild_aside(pipeline: Pipeline, on_record: Progress | None) -> int:
    settings = pipeline.settings
    aside = settings.data_dir / "rebuilding" / settings.warehouse_file.name
    shutil.rmtree(aside.parent, ignore_errors=True)
    mend_records(pipeline.vault)
    replayed = _replay(pipeline, aside, on_record, set())
    modelling.raise_for_failures(modelling.build(aside, settings.data_dir / "dbt", left_out=pipeline.left_out()))
    with writer_lock(settings.warehouse_file):
        # What another process loaded in the meantime went into the old file only.
        replayed |= _replay(pipeline, aside, on_record, replayed)
        wal_of(settings.warehouse_file).unlink(missing_ok=True)
        aside.replace(settings.warehouse_file)
    shutil.rmtree(aside.parent, ignore_errors=True)
    return len(replayed)


def _replay(pipeline: Pipeline, file: Path, on_record: Progress | None, known: AbstractSet[str]) -> set[str]:
    """Land all of the vault but the fetches known, and take what others sent; the ids of what was landed."""
    replayed = set()
    with open_writer(file) as connection:
        pipeline.prepare(connection)
        records = (record for record in pipeline.vault.records() if record.fetch_id not in known)
        for record, _ in land_all(connection, pipeline.vault, records):
            replayed.add(record.fetch_id)
            if on_record:
                on_record(record)
        if pipeline.takes:
            pipeline.take_into(connection)
    return replayed
