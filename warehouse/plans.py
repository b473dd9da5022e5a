"""Plans with their validity: what was to be polled, how often, from when on.

Belongs here: plan records as files in the vault's folder `plans`, and the same as tables (`ops.plans`, `ops.plan_paces`), so
that the slot grid can be held against the ledger. Does not: choosing what is polled (`orchestration.planning.quota`), or when
a plan is made anew (`orchestration.plan_in_force`). A plan is valid until the next one is. All times are UTC.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Self

import duckdb

from warehouse.ledger import naive, transaction
from warehouse.small_files import read_small, write_durably

FOLDER = "plans"
STAMP = "%Y%m%dT%H%M%SZ"
TABLES = (
    "create schema if not exists ops",
    """create table if not exists ops.plans (
        valid_from_at timestamp, plan varchar, requests_a_day bigint, requests_a_month bigint, requests_a_minute bigint,
        reserve_fraction double)""",
    "create table if not exists ops.plan_paces (valid_from_at timestamp, dataset varchar, interval_s bigint, units varchar[])",
)


@dataclass(frozen=True)
class PlannedPace:
    """Units of a dataset (coins, ages; `''` where it has none) polled at one interval; None: wished for, not afforded."""

    dataset: str
    interval_s: int | None
    units: tuple[str, ...]


@dataclass(frozen=True)
class PlanRecord:
    """One plan. `made_of` tells the wishes it was made of; `reviewed_on` is the last day on which it was found to be still right.

    `requests_*` are the limits of the quota (0: none); `perishable_a_day` and `freshness_a_day` what the plan spends of it.
    """

    valid_from_at: datetime
    plan: str
    requests_a_day: int
    requests_a_month: int
    requests_a_minute: int
    reserve_fraction: float
    perishable_a_day: int
    freshness_a_day: int
    paces: tuple[PlannedPace, ...]
    made_of: str
    reviewed_on: date

    def intervals(self, dataset: str) -> dict[str, int]:
        """Seconds between the polls of each unit of a dataset that is polled at all."""
        held = (pace for pace in self.paces if pace.dataset == dataset and pace.interval_s is not None)
        return {unit: pace.interval_s for pace in held for unit in pace.units if pace.interval_s}

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=lambda value: value.isoformat(), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        values = json.loads(text)
        values["paces"] = tuple(PlannedPace(p["dataset"], p["interval_s"], tuple(p["units"])) for p in values["paces"])
        values["valid_from_at"] = datetime.fromisoformat(values["valid_from_at"])
        values["reviewed_on"] = date.fromisoformat(values["reviewed_on"])
        return cls(**values)


class PlanBook:
    """Every plan there was, below a vault's folder, one file each, named by the instant from which it is valid."""

    def __init__(self, vault_dir: Path) -> None:
        self.folder = vault_dir / FOLDER

    def keep(self, record: PlanRecord) -> None:
        """Write a plan durably; one that is valid from the same instant is replaced."""
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / f"{record.valid_from_at.astimezone(UTC):{STAMP}}.json"
        write_durably(target, record.to_json())

    def all(self) -> list[PlanRecord]:
        """Oldest first."""
        return list(filter(None, map(self._read, self._files())))

    def newest(self) -> PlanRecord | None:
        return next(filter(None, map(self._read, reversed(self._files()))), None)

    def in_force(self, moment: datetime) -> PlanRecord | None:
        """The plan that was valid at an instant; None before the first."""
        files = self._files()
        place = bisect_right([path.stem for path in files], f"{moment.astimezone(UTC):{STAMP}}")
        return next(filter(None, map(self._read, reversed(files[:place]))), None)

    def written(self) -> dict[datetime, Path]:
        """The file of each plan, by the instant (UTC, without an offset) from which it is valid."""
        return {datetime.strptime(path.stem, STAMP): path for path in self._files()}

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.json"))

    def _read(self, path: Path) -> PlanRecord | None:
        """None where it is damaged: the plan before it is taken to have gone on."""
        return read_small(path, PlanRecord.from_json, self.folder.parent)


def create_plans(connection: duckdb.DuckDBPyConnection) -> None:
    """Create what is not there yet; may be called again."""
    for statement in TABLES:
        connection.execute(statement)


def write_plans(connection: duckdb.DuckDBPyConnection, book: PlanBook) -> None:
    """Make `ops.plans` and `ops.plan_paces` hold every plan of the book; cheap where they do already."""
    known = {row[0] for row in connection.execute("select valid_from_at from ops.plans").fetchall()}
    files = book.written()
    new = list(filter(None, (book._read(path) for moment, path in files.items() if moment not in known)))
    if new or known - files.keys():
        with transaction(connection):
            connection.execute("delete from ops.plans where not list_contains(?, valid_from_at)", [[*files]])
            connection.execute("delete from ops.plan_paces where not list_contains(?, valid_from_at)", [[*files]])
            _insert(connection, new)


def _insert(connection: duckdb.DuckDBPyConnection, records: Sequence[PlanRecord]) -> None:
    for record in records:
        connection.execute(
            "insert into ops.plans values (?, ?, ?, ?, ?, ?)",
            [
                naive(record.valid_from_at), record.plan, record.requests_a_day, record.requests_a_month,
                record.requests_a_minute, record.reserve_fraction,
            ],
        )  # fmt: skip
        rows = [[naive(record.valid_from_at), pace.dataset, pace.interval_s, list(pace.units)] for pace in record.paces]
        connection.executemany("insert into ops.plan_paces values (?, ?, ?, ?)", rows)
