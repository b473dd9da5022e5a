"""What Spark reads of an export is what DuckDB has: days and rows, types, and the ten questions of the benchmarks."""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks.history import END
from benchmarks.queries import COIN, questions
from tests.integration.processes import REPOSITORY
from tests.spark.conftest import Exported, exported
from tests.spark.engine import BIN, Engine, environment
from tests.spark.in_spark import plain
from warehouse.export_folder import read_manifest

pytestmark = pytest.mark.spark
# Their numbers are sums of doubles, whose last digits depend on the order in which rows are added.
SUMS = {
    "size-bucket shares over a quarter",
    "liquidation value within 5 % of price, now and a week ago",
    "resting liquidity around price",
    "funding by cohort",
    "coins where whales and retail disagree most",
}
NEARLY = 1e-9
WHOLE = ("dim_coin", "fct_open_positions", "fct_order_versions", "fct_perp_volume_daily", "fct_restatements")
NEW_YORK = "America/New_York"
PAGE = REPOSITORY / "docs" / "engines.md"
ODD = """
    create table marts.fct_odd as
    select timestamp '2026-03-29 01:30:00.123456' as snapshot_at, 'xyz:GOLD' as coin,
        170141183460469231731687303715884105727 // 10 as huge, 18446744073709551615::ubigint as large,
        4294967295::uinteger as middling,
        time '23:59:59.999999' as at_time, '00000000-0000-0000-0000-00000000002a'::uuid as id, 'inf'::double as boundless,
        [timestamp '2026-03-29 02:30:00', null] as times, {'Count': 200::utinyint, 'at': timestamp '2026-01-01'} as inner,
        map {'a': 1::uhugeint} as counts, 1.50::decimal(9, 2) as price, '{"a": [1]}'::json as document
"""
SEEN = [
    "2026-03-29T01:30:00.123456", "xyz:GOLD", "17014118346046923173168730371588410572", "18446744073709551615", 4294967295,
    "23:59:59.999999", "00000000-0000-0000-0000-00000000002a", math.inf, ["2026-03-29T02:30:00", None],
    {"Count": 200, "at": "2026-01-01T00:00:00"}, {"a": "1"}, "1.50", '{"a": [1]}', "2026-03-29",
]  # fmt: skip


def is_same(ours: Any, theirs: Any, tolerance: float) -> bool:
    if isinstance(ours, float) and isinstance(theirs, float):
        return ours == theirs or math.isclose(ours, theirs, rel_tol=tolerance)
    return bool(ours == theirs)


def first_difference(ours: Sequence[Any], theirs: Sequence[Any], tolerance: float = 0.0) -> str:
    """The first row in which two answers differ; empty where none does."""
    for number, (our, their) in enumerate(zip(ours, theirs, strict=False)):
        if not all(is_same(*pair, tolerance) for pair in zip(our, their, strict=True)):
            return f"row {number}: {our} is {their} in Spark"
    return "" if len(ours) == len(theirs) else f"{len(ours)} rows are {len(theirs)} in Spark"


@pytest.mark.parametrize("question", questions())
def test_the_ten_questions_have_the_same_answer(question: str, history: Exported, spark: Engine) -> None:
    sql = questions()[question]
    given = {name: value for name, value in {"coin": COIN, "now": END.replace(tzinfo=None)}.items() if f"${name}" in sql}
    ours = plain(history.ask(sql, given))
    theirs = spark.ask(history.version, sql, {name: str(value) for name, value in given.items()})
    assert len(ours) > 1
    assert first_difference(ours, theirs, NEARLY if question in SUMS else 0.0) == ""


def test_every_day_of_every_mart_has_the_rows_of_the_manifest(market_day: Exported, spark: Engine) -> None:
    tables = sorted(path.name for path in market_day.version.iterdir() if path.is_dir())
    noted = {
        (table, day if (market_day.version / table / done.file).parent.name != table else ""): done.rows
        for table in tables
        for day, done in read_manifest(market_day.version / table).items()
        if done.rows
    }
    dated = {table for table in tables if list((market_day.version / table).glob("day=*"))}
    counts = " union all ".join(
        f"select '{table}' as name, {'cast(day as varchar)' if table in dated else repr('')} as day, count(*) as row_count "
        f"from marts.{table} group by all"
        for table in tables
    )
    found = {(table, day): rows for table, day, rows in spark.ask(market_day.version, counts)}
    assert len(tables) > 25
    assert found == noted


@pytest.mark.parametrize("table", WHOLE)
def test_a_table_is_read_row_for_row(table: str, market_day: Exported, spark: Engine) -> None:
    described = market_day.ask(f"describe marts.{table}")
    columns = ", ".join(f'"{name}"' for name, *_ in described)
    sql = f"select {columns} from marts.{table} order by all"
    ours, theirs = plain(market_day.ask(sql)), spark.ask(market_day.version, f"select {columns} from marts.{table}")
    assert first_difference(sorted(ours, key=repr), sorted(theirs, key=repr)) == ""
    assert bool(ours) == (table != "fct_restatements")


def test_coins_keep_their_names(market_day: Exported, spark: Engine) -> None:
    sql = "select distinct coin from marts.fct_open_positions order by coin"
    coins = [row[0] for row in spark.ask(market_day.version, sql)]
    assert coins == [row[0] for row in market_day.ask(sql)]
    assert {"xyz:GOLD", "kPEPE", "hyna:BTC"} <= set(coins)


@pytest.mark.parametrize("zone", ["UTC", NEW_YORK])
def test_types_that_spark_has_not_arrive_and_times_are_moments_in_any_zone(zone: str, spark: Engine, tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "odd.duckdb")) as connection:
        connection.execute("create schema marts")
        connection.execute(ODD)
    odd = exported(tmp_path / "odd.duckdb", tmp_path / "spark")
    assert spark.ask(odd.version, "select * from marts.fct_odd", zone=zone) == [SEEN]


def test_a_moment_is_asked_for_in_any_zone(history: Exported, spark: Engine) -> None:
    sql = questions()["a week of open interest"]
    given = {"coin": COIN, "now": f"{END:%Y-%m-%d %H:%M:%S}+00:00"}
    assert spark.ask(history.version, sql, given, NEW_YORK) == spark.ask(history.version, sql, given)


def test_the_python_of_the_page_runs(market_day: Exported, tmp_path: Path) -> None:
    (block,) = re.findall(r"^```python\n(.+?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    script = block.replace("/srv/spark", str(market_day.version.parent))
    done = subprocess.run(
        [BIN / "python", "-c", script], env=environment(tmp_path), cwd=tmp_path, text=True, capture_output=True, check=False
    )
    counts = "select snapshot_at::date as day, coin, count(*) from marts.fct_open_positions group by all order by all limit 5"
    said = re.findall(r"^\|(\d+-\d+-\d+)\| *(\S+?)\| *(\d+)\|$", done.stdout, re.MULTILINE)
    assert said == [(str(day), coin, str(rows)) for day, coin, rows in market_day.ask(counts)], done.stderr[-2000:]
