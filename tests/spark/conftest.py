"""What Spark is asked about: a generated history, and a market day that was polled and modelled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks.measuring import QUICK
from benchmarks.publishing import published_history
from tests.pipeline.conftest import day, new_day  # noqa: F401  # fixtures that belong to the tier of jobs
from tests.spark.engine import Engine, running
from warehouse.export import Wish
from warehouse.spark_export import current_version, export_for_spark

# A week back, for questions that compare with it.
HISTORY = replace(QUICK, history_days=9, history_coins=5, positions=3_000)


@dataclass(frozen=True)
class Exported:
    """A published file, and the version that Spark reads of it."""

    file: Path
    version: Path

    def ask(self, sql: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows as DuckDB has them."""
        with duckdb.connect(str(self.file.resolve()), read_only=True) as connection:
            return connection.execute(sql, values or {}).fetchall()


def exported(file: Path, folder: Path) -> Exported:
    list(export_for_spark(file, folder, Wish(), lambda: datetime.now(UTC)))
    version = current_version(folder)
    assert version is not None
    return Exported(file, version)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with running(tmp_path_factory.mktemp("session")) as engine:
        yield engine


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return exported(published_history(HISTORY).published, tmp_path_factory.mktemp("history") / "spark")


@pytest.fixture(scope="session")
def market_day(day: Any, tmp_path_factory: pytest.TempPathFactory) -> Exported:  # noqa: F811
    return exported(day.settings.published_file, tmp_path_factory.mktemp("day") / "spark")
