"""Bringing a working file of an earlier release to this one: what it comes to, and doing it.

Belongs here: the order of backup, steps, build and publish. Does not: the steps (`warehouse.schema_version`), copies
(`warehouse.backups`), the command (`upgrade_commands`). The vault is never touched: what is polled before an upgrade waits there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from orchestration.modelling import fingerprint_of_build, is_built_by, prepare_manifest, raise_for_failures
from orchestration.pipeline import Pipeline
from orchestration.services import without_services
from warehouse.backups import back_up
from warehouse.connection import EarlierSchemaError, WarehouseError, connect, refuse_other_schema, writer_lock
from warehouse.schema_version import CURRENT, Step, noted, steps_left, take

Say = Callable[[str], None]


@dataclass(frozen=True)
class Upgrade:
    """What an upgrade comes to. `is_modelled_anew`: other models made the facts, so that all are made again of every payload."""

    file: Path
    byte_count: int
    version: int
    steps: tuple[Step, ...]
    is_modelled_anew: bool
    payload_count: int

    @property
    def is_needed(self) -> bool:
        return bool(self.steps) or self.is_modelled_anew

    def lines(self) -> Iterator[str]:
        """What is to be done, in order, in words."""
        yield f"{self.file} has schema version {self.version}, this release needs {CURRENT}"
        if not self.is_needed:
            yield "nothing is to be done"
            return
        yield f"copy the working file ({self.byte_count / 1e6:,.1f} MB) to {self.file.parent / 'backups'}"
        for step in self.steps:
            yield f"to schema version {step.version}: {step.says}"
        if self.is_modelled_anew:
            yield f"make all models anew of {self.payload_count:,} payloads, test and publish them"


def survey(pipeline: Pipeline) -> Upgrade:
    """What an upgrade of the folder's working file would do. Changes nothing.

    Raises `WarehouseError` where there is no file, and `NewerSchemaError`.
    """
    file = pipeline.settings.warehouse_file
    if not file.exists():
        raise WarehouseError(f"there is no {file} yet", "`htw poll` makes it, and `htw rebuild` from a vault")
    fingerprint = fingerprint_of_build(prepare_manifest(), pipeline.left_out())
    with writer_lock(file), connect(file, read_only=True) as connection:
        with contextlib.suppress(EarlierSchemaError):
            refuse_other_schema(file, connection)
        is_other = not is_built_by(connection, fingerprint)
        version, steps = noted(connection).version, tuple(steps_left(connection))
        return Upgrade(file, file.stat().st_size, version, steps, is_other, _payload_count(connection))


def upgrade(pipeline: Pipeline, say: Say) -> Path | None:
    """Do all that `survey` says; the copy of the working file made before, None where nothing was to be done.

    What was killed or failed goes on when it is run again. Raises `WarehouseLockedError` where a service of the folder runs, and
    `WarehouseError`; the file before can be put back (`htw restore`).
    """
    with without_services(pipeline.settings):
        plan = survey(pipeline)
        if not plan.is_needed:
            return None
        backup = back_up(plan.file, pipeline.clock.now())
        say(f"the working file is kept as {backup}")
        try:
            _bring_up(pipeline, plan, say)
        except WarehouseError as error:
            raise WarehouseError(error.says, f"run `htw upgrade` again once that is mended, or `htw restore {backup}`") from error
    return backup


def _bring_up(pipeline: Pipeline, plan: Upgrade, say: Say) -> None:
    with writer_lock(plan.file), connect(plan.file) as connection:
        for step in plan.steps:
            say(f"to schema version {step.version}: {step.says}")
            take(connection, step)
    pipeline.load()
    if plan.is_modelled_anew:
        say(f"making all models anew of {plan.payload_count:,} payloads")
        raise_for_failures(pipeline.build(full_refresh=True))
        pipeline.publish()


def _payload_count(connection: duckdb.DuckDBPyConnection) -> int:
    try:
        row = connection.execute("select count(*) from ops.payloads").fetchone()
    except duckdb.CatalogException:
        return 0
    return int(row[0]) if row else 0
