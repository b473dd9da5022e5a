"""The two heaviest aggregates, built by dbt on Spark from an export: what the warehouse's own models made of the same rows."""

from __future__ import annotations

import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.integration.processes import REPOSITORY
from tests.spark.conftest import Exported
from tests.spark.engine import BIN, cluster, environment

pytestmark = pytest.mark.spark
PROJECT = REPOSITORY / "dbt_project" / "spark"
PATIENCE_S = 600
FLOWS_KEY = ("snapshot_at", "coin", "cohort_id")
LIQUIDITY_KEY = ("snapshot_at", "coin", "side", "order_type", "price_band_from_pct", "price_band_to_pct")
# Sums of doubles differ in their last digits by the order in which rows are added, of some hundred million dollars here.
NEARLY_USD = 1e-6
NEARLY = 1e-9


@pytest.fixture(scope="module", params=["session", "cluster"])
def built(request: pytest.FixtureRequest, market_day: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what dbt made, in its own process or by the processes of a cluster."""
    folder = tmp_path_factory.mktemp("dbt")
    arguments = ["--project-dir", PROJECT, "--profiles-dir", PROJECT, "--target-path", folder / "target", "--log-path", folder]
    settings = {"HTW_SPARK_VERSION": str(market_day.version), "HTW_SPARK_TABLES": str(folder / "tables")}
    with cluster(folder) if request.param == "cluster" else nullcontext("local[2]") as master:
        done = subprocess.run(
            [BIN / "dbt", "build", *arguments], cwd=folder, text=True, capture_output=True, timeout=PATIENCE_S, check=False,
            env=environment(folder, **settings, HTW_SPARK_MASTER=master, HTW_SPARK_PARTITIONS="4"),
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return folder / "tables"


def differences(market_day: Exported, built: Path, mart: str, key: tuple[str, ...], only: str = "true") -> dict[str, Any]:
    """Rows of the mart, rows that only one of both has, and columns of which a value differs (floats: by more than sums may)."""
    with duckdb.connect(str(market_day.file.resolve()), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        theirs = f"read_parquet('{built}/{mart}/*.parquet')"
        kinds = {row[0]: row[1] for row in connection.execute(f"describe from {theirs}").fetchall()}
        same = {
            name: f"(ours.{name} is not distinct from theirs.{name} or abs(ours.{name} - theirs.{name}) "
            f"<= {NEARLY_USD} + {NEARLY} * abs(ours.{name}))"
            if kind == "DOUBLE" and name not in key
            else f"ours.{name} is not distinct from theirs.{name}"
            for name, kind in kinds.items()
        }
        counts = ", ".join(f"count(*) filter (where not ({condition})) as {name}" for name, condition in same.items())
        joined = f"(select * from marts.{mart} where {only}) as ours {{}} join {theirs} as theirs using ({', '.join(key)})"
        matched = connection.execute(f"select count(*), {counts} from {joined.format('inner')}").fetchone()
        alone = connection.execute(
            f"select count(*) from {joined.format('full')} where ours.{key[1]} is null or theirs.{key[1]} is null"
        ).fetchone()
    assert matched is not None
    assert alone is not None
    return {"rows": matched[0], "alone": alone[0], **{name: n for name, n in zip(same, matched[1:], strict=True) if n}}


def test_flows_of_cohorts_are_those_of_the_mart(market_day: Exported, built: Path) -> None:
    ((rows,),) = market_day.ask("select count(*) from marts.fct_cohort_flows")
    assert rows > 50
    assert differences(market_day, built, "fct_cohort_flows", FLOWS_KEY) == {"rows": rows, "alone": 0}


def test_liquidity_of_orders_is_that_of_the_mart_wherever_a_book_changed(market_day: Exported, built: Path) -> None:
    changed = """(snapshot_at, coin) in (
        select (valid_from_at, coin) from marts.fct_order_versions
        union select (valid_to_at, coin) from marts.fct_order_versions
    )"""
    ((rows,),) = market_day.ask(f"select count(*) from marts.fct_order_liquidity where {changed}")
    assert rows > 100
    assert differences(market_day, built, "fct_order_liquidity", LIQUIDITY_KEY, changed) == {"rows": rows, "alone": 0}
