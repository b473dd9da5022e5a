"""The published copy can be read, by whatever an analyst types, and nothing else can."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.pipeline.conftest import Day
from warehouse.connection import WarehouseError
from warehouse.query import answered, query, write_parquet

proves = pytest.mark.proves
HOSTILE = (
    "copy dim_coin to '{folder}/a.csv'",
    "copy dim_coin from '{folder}/secret.csv'",
    "export database '{folder}/x'",
    "import database '{folder}'",
    "attach ':memory:' as m",
    "attach '{folder}/other.duckdb'",
    "select 1; attach '{folder}/other.duckdb'",
    "from read_text('{folder}/secret.csv')",
    "from read_blob('{folder}/secret.csv')",
    "from sniff_csv('{folder}/secret.csv')",
    "from '{folder}/secret.csv'",
    "from glob('{folder}/*')",
    "from parquet_metadata('{folder}/secret.csv')",
    "call enable_logging(storage = 'file', storage_path = '{folder}/log')",
    "from \"enable_logging\" (storage = 'file', storage_path = '{folder}/log')",
    "from enable_logging /* */ ()",
    "pragma profiling_output = '{folder}/prof'",
    "from query('from read_text(''{folder}/secret.csv'')')",
    "from json_execute_serialized_sql(json_serialize_sql('select 1'))",
    "from pandas_scan(1)",
    "create secret s (type s3, key_id 'a')",
    "from duckdb_secrets()",
    "install httpfs",
    "load '{folder}/secret.csv'",
    "set enable_external_access = true",
    "set memory_limit = '1TB'",
    "insert into dim_coin select * from dim_coin",
    "create table t (a int)",
    "drop table dim_coin",
    "update dim_coin set coin = 'x'",
    "from of_the_caller",
    "copy dim_coin to '{published}.wal'",
    "explain analyze copy dim_coin to '{published}.wal'",
    "prepare p as copy dim_coin to '{published}.wal'",
    "",
)


@proves("published-read-only", sees="the published files have no right to be written (mode 0444); DuckDB says “read-only mode”")
def test_published_versions_cannot_be_written(day: Day, said: Callable[..., None]) -> None:
    versions = list(day.settings.published_dir.glob("hypertracker-*Z.duckdb"))
    assert versions
    assert {stat.S_IMODE(version.stat().st_mode) for version in versions} == {0o444}
    with pytest.raises(WarehouseError) as caught:
        query(day.settings.published_file, "delete from dim_coin")
    said(caught.value)


@proves(
    "query-confined",
    sees="one line, such as “file system operations are disabled by configuration” or “is no function for reading”",
)
def test_no_statement_leaves_the_published_marts(day: Day, tmp_path: Path, said: Callable[..., None]) -> None:
    published = day.settings.published_file.resolve()
    before = sorted(published.parent.iterdir())
    of_the_caller = pd.DataFrame({"word": ["hush"]})
    (tmp_path / "secret.csv").write_text("word\nhush\n")
    for sql in HOSTILE:
        statement = sql.format(folder=tmp_path, published=published)
        with pytest.raises(WarehouseError) as caught:
            pytest.fail(f"{sql} gave {query(published, statement)}")
        with pytest.raises(WarehouseError), answered(published, statement) as answer:
            pytest.fail(f"{sql} gave {list(answer.rows)}")
        with pytest.raises(WarehouseError):
            pytest.fail(f"{sql} gave {write_parquet(published, statement, tmp_path / 'out.parquet')} rows")
        said(caught.value)
        assert "hush" not in str(caught.value), sql
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]
    assert sorted(published.parent.iterdir()) == before
    assert len(of_the_caller) == 1


@pytest.mark.parametrize(
    "sql",
    ["summarize dim_coin", "show tables", "describe dim_coin", "explain from dim_coin", "pivot dim_coin on dex using count(*)"],
)
def test_what_an_analyst_writes_is_not_refused(day: Day, sql: str) -> None:
    assert len(query(day.settings.published_file, sql)) > 0
