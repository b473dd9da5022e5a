"""`htw export --for spark`: whole versions, each with all days of all marts, whatever happens while they are written.

Spark itself reads them in tests/spark.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.pipeline.conftest import Day
from tests.pipeline.exports import EQUITY, differing, killed
from warehouse.connection import WarehouseError
from warehouse.export import FILE, Exported, TableExport, Wish, export
from warehouse.export_folder import MANIFEST, NO_DAY, DayFile, read_manifest
from warehouse.spark_export import CURRENT, UNFINISHED, VERSIONS_KEPT, current_version, export_for_spark, versions

pytestmark = pytest.mark.long
MARKET, BUCKETS = "fct_market_metrics", "fct_size_bucket_metrics"
NOW = datetime(2026, 3, 25, tzinfo=UTC)
INSTANT = "TIMESTAMP WITH TIME ZONE"


def written(source: Any, folder: Path, *tables: str, now: datetime = NOW, **wish: Any) -> dict[str, Exported]:
    return {done.table: done for done in export_for_spark(source, folder, Wish(tables, **wish), lambda: now)}


def newest(folder: Path) -> Path:
    version = current_version(folder)
    assert version is not None
    return version


def content_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every Parquet file with its place on the disk and its content."""
    return {str(path.relative_to(folder)): (path.stat().st_ino, path.read_bytes()) for path in folder.rglob("*.parquet")}


@pytest.fixture(scope="module")
def whole(day: Day, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Exported]]:
    folder = tmp_path_factory.mktemp("spark") / "all"
    return folder, written(day.settings.published_file, folder)


def test_every_mart_is_in_the_version_row_for_row(day: Day, whole: tuple[Path, dict[str, Exported]]) -> None:
    folder, told = whole
    assert len(told) > 25
    assert {name: differing(day.settings.published_file, newest(folder), name) for name in told} == dict.fromkeys(told, 0)


def test_the_manifests_count_what_the_files_hold(whole: tuple[Path, dict[str, Exported]]) -> None:
    folder, told = whole
    version = newest(folder)
    noted = {
        str(version / table / done["file"]): done["rows"]
        for table in told
        for done in json.loads((version / table / MANIFEST).read_text())["days"].values()
    }
    with duckdb.connect() as reader:
        found = reader.execute(
            "select file_name, sum(num_rows)::bigint from parquet_file_metadata($1) group by file_name",
            [f"{version}/**/*.parquet"],
        ).fetchall()
    assert noted == dict(found)
    assert sum(noted.values()) == sum(table.rows for table in told.values()) > 0


def test_times_are_instants_and_a_table_without_rows_has_its_columns(day: Day, whole: tuple[Path, dict[str, Exported]]) -> None:
    folder, told = whole
    assert told["fct_restatements"].rows == 0
    with duckdb.connect() as reader:
        for table in told:
            file = next((newest(folder) / table).rglob("*.parquet"))
            kinds = dict(row[:2] for row in reader.execute(f"describe from '{file}'").fetchall())
            times = {kind for name, kind in kinds.items() if name.endswith("_at") or name == "slot"}
            assert times <= {INSTANT}, table
            assert kinds, table


def test_a_next_version_writes_what_changed_and_leaves_the_one_before_as_it_was(
    day: Day, copied: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    written(day.settings.published_file, folder, MARKET, "dim_coin")
    first = newest(folder)
    before = content_of(first)
    again = written(day.settings.published_file, folder, MARKET, "dim_coin", now=NOW + timedelta(hours=1))
    assert {table.days_written for table in again.values()} == {0}
    assert versions(folder) == [first] == [newest(folder)]
    changed = copied(f"update marts.{MARKET} set position_count = 7 where snapshot_at >= timestamp '2026-03-24 01:00:00'")
    told = written(changed, folder, MARKET, "dim_coin", now=NOW + timedelta(hours=2))
    second = newest(folder)
    assert told[MARKET].written == ["2026-03-24"]
    assert versions(folder) == [first, second]
    assert content_of(first) == before
    moved = {name for name, file in content_of(second).items() if file != before[name]}
    assert moved == {f"{MARKET}/day=2026-03-24/{FILE}"}
    assert differing(changed, second, MARKET) == 0


def test_a_day_that_is_gone_from_the_source_is_in_no_later_version(day: Day, copied: Callable[..., Path], tmp_path: Path) -> None:
    written(day.settings.published_file, tmp_path / "out", BUCKETS)
    fewer = copied(f"delete from marts.{BUCKETS} where snapshot_at < timestamp '2026-03-24'")
    written(fewer, tmp_path / "out", BUCKETS, now=NOW + timedelta(hours=1))
    assert differing(fewer, newest(tmp_path / "out"), BUCKETS) == 0
    assert differing(day.settings.published_file, versions(tmp_path / "out")[0], BUCKETS) == 0


def test_a_day_that_is_gone_before_the_version_is_finished_is_not_in_it(
    day: Day, copied: Callable[..., Path], tmp_path: Path
) -> None:
    folder, names = tmp_path / "out", (BUCKETS, "dim_coin")
    first = export_for_spark(day.settings.published_file, folder, Wish(names), lambda: NOW)
    next(first)
    first.close()
    (folder / UNFINISHED / BUCKETS / "day=2026-03-23" / f".{FILE}.unfinished").touch()
    fewer = copied(f"delete from marts.{BUCKETS} where snapshot_at < timestamp '2026-03-24'")
    told = written(fewer, folder, *names)[BUCKETS]
    table = newest(folder) / BUCKETS
    assert (told.days_written, differing(fewer, newest(folder), BUCKETS)) == (0, 0)
    files = {path for path in table.rglob("*") if path.is_file()}
    assert files == {table / MANIFEST, *(table / done.file for done in read_manifest(table).values())}
    assert {path.parent.name for path in files} == {BUCKETS, "day=2026-03-24"}


def test_killed_at_any_time_no_half_version_is_seen_and_the_next_goes_on(
    day: Day, copied: Callable[..., Path], tmp_path: Path
) -> None:
    folder, names = tmp_path / "out", (MARKET, EQUITY)
    killed(day, (*names, "--for", "spark", "--to", str(folder)), folder / UNFINISHED / EQUITY / MANIFEST)
    assert (versions(folder), current_version(folder)) == ([], None)
    done = content_of(folder / UNFINISHED)
    gone = copied(
        f"delete from marts.{EQUITY} where snapshot_at < (select min(snapshot_at) + interval 1 day from marts.{EQUITY})"
    )
    told = written(gone, folder, *names)
    version = newest(folder)
    assert {name: differing(gone, version, name) for name in names} == dict.fromkeys(names, 0)
    kept = {name for name, file in content_of(version).items() if file == done.get(name)}
    # The file renamed just before its note is written again; the day that is gone goes.
    assert len(kept) >= len(done) - 2 > 0
    assert sum(table.days_unchanged for table in told.values()) == len(kept)
    assert {path.name for path in folder.iterdir()} == {version.name, CURRENT, "_export.json", "_export.lock"}


def test_a_file_that_does_not_hold_what_its_source_has_makes_no_version(
    day: Day, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = TableExport._write

    def write_less(self: TableExport, *arguments: Any) -> DayFile:
        done = write(self, *arguments)
        with duckdb.connect() as other:
            file = self._folder / done.file
            other.execute(f"copy (select * from read_parquet('{file}') offset 1) to '{file}.less' (format parquet)")
            file.with_name(f"{FILE}.less").replace(file)
        return done

    with monkeypatch.context() as patch:
        patch.setattr(TableExport, "_write", write_less)
        with pytest.raises(WarehouseError, match=r"has \d+ rows, not the \d+ of its source, or other values; run it again"):
            written(day.settings.published_file, tmp_path / "out", MARKET)
    assert current_version(tmp_path / "out") is None
    written(day.settings.published_file, tmp_path / "out", MARKET)
    assert differing(day.settings.published_file, newest(tmp_path / "out"), MARKET) == 0


def test_old_versions_go_once_nobody_can_be_reading_them(copied: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    for hour in range(VERSIONS_KEPT + 2):
        written(copied(f"update marts.dim_coin set symbol = 's{hour}'"), folder, "dim_coin", now=NOW + timedelta(hours=hour))
    assert len(versions(folder)) == VERSIONS_KEPT + 2
    written(copied("update marts.dim_coin set symbol = 'later'"), folder, "dim_coin", now=NOW + timedelta(days=3))
    assert len(versions(folder)) == VERSIONS_KEPT
    assert newest(folder) == versions(folder)[-1]


def test_rows_without_a_time_and_coins_of_any_name_are_there(copied: Callable[..., Path], tmp_path: Path) -> None:
    source = copied("insert into marts.fct_slot_coverage by name select 'coins' as dataset, '' as scope, 'xyz:GO/LD=1' as reason")
    told = written(source, tmp_path / "a", "fct_slot_coverage")
    assert NO_DAY in told["fct_slot_coverage"].written
    assert differing(source, newest(tmp_path / "a"), "fct_slot_coverage") == 0
    written(source, tmp_path / "b", "fct_coin_metrics", coins=("xyz:GOLD",))
    with duckdb.connect() as reader:
        found = reader.execute(f"select distinct coin from '{newest(tmp_path / 'b')}/*/*/*.parquet'").fetchall()
    assert found == [("xyz:GOLD",)]


def test_the_lake_gives_the_same_rows(day: Day, tmp_path: Path) -> None:
    written(day.settings.lake, tmp_path / "out", "fct_open_positions", "fct_order_versions")
    version = newest(tmp_path / "out")
    assert json.loads((version / "_version.json").read_text())["of"] == "lake"
    for table in ("fct_open_positions", "fct_order_versions"):
        assert differing(day.settings.published_file, version, table) == 0


def test_a_folder_serves_one_kind_of_reader(day: Day, tmp_path: Path) -> None:
    written(day.settings.published_file, tmp_path / "spark", "dim_coin")
    with pytest.raises(WarehouseError, match=r"holds an export of all coins for spark \(dim_coin only\); ask for the same"):
        list(export(day.settings.published_file, tmp_path / "spark", Wish(("dim_coin",))))
    with pytest.raises(WarehouseError, match="for spark"):
        written(day.settings.published_file, tmp_path / "spark", "dim_cohort")
    list(export(day.settings.published_file, tmp_path / "plain", Wish(("dim_coin",))))
    with pytest.raises(WarehouseError, match="holds an export of all coins; ask for the same"):
        written(day.settings.published_file, tmp_path / "plain", "dim_coin")
