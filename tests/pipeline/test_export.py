"""`htw export`: every day of every mart, written once, whole, whatever happens in between."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.pipeline.conftest import Day
from tests.pipeline.exports import EQUITY, differing, killed
from warehouse.connection import WarehouseError
from warehouse.export import FILE, Exported, Wish, export
from warehouse.export_folder import MANIFEST, NO_DAY

MARKET, VERSIONS = "fct_market_metrics", "fct_order_versions"


def written(source: Any, folder: Path, **wish: Any) -> dict[str, Exported]:
    return {table.table: table for table in export(source, folder, Wish(**wish))}


def files_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every Parquet file with its time of writing and its content."""
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*.parquet")}


@pytest.fixture(scope="module")
def whole(day: Day, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Exported]]:
    folder = tmp_path_factory.mktemp("export") / "all"
    return folder, written(day.settings.published_file, folder)


@pytest.mark.long
def test_every_mart_is_exported_row_for_row(day: Day, whole: tuple[Path, dict[str, Exported]]) -> None:
    folder, told = whole
    with_rows = [name for name, table in told.items() if table.rows]
    assert len(told) > 25
    assert {name: differing(day.settings.published_file, folder, name) for name in with_rows} == dict.fromkeys(with_rows, 0)


def test_days_are_folders_that_pandas_reads_too(whole: tuple[Path, dict[str, Exported]]) -> None:
    folder, told = whole
    frame = pd.read_parquet(folder / MARKET)
    assert len(frame) == told[MARKET].rows
    assert (frame.snapshot_at.dt.strftime("%Y-%m-%d") == frame.day.astype(str)).all()


def test_the_manifest_tells_each_file(whole: tuple[Path, dict[str, Exported]]) -> None:
    folder, told = whole
    noted = json.loads((folder / MARKET / MANIFEST).read_text())["days"]
    assert sorted(noted) == sorted(told[MARKET].written)
    for day in noted.values():
        content = (folder / MARKET / day["file"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (day["bytes"], day["sha256"])
    assert sum(day["rows"] for day in noted.values()) == told[MARKET].rows


def test_a_second_export_writes_nothing_and_a_third_only_what_changed(
    day: Day, copied: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    first = written(day.settings.published_file, folder, tables=(MARKET, "dim_coin"))
    before = files_of(folder)
    again = written(day.settings.published_file, folder, tables=(MARKET, "dim_coin"))
    assert [table.days_written for table in again.values()] == [0, 0]
    assert files_of(folder) == before
    changed = copied(f"update marts.{MARKET} set position_count = 7 where snapshot_at >= timestamp '2026-03-24 01:00:00'")
    third = written(changed, folder, tables=(MARKET, "dim_coin"))
    assert third[MARKET].written == ["2026-03-24"]
    assert third[MARKET].days_unchanged == first[MARKET].days_written - 1
    moved = {name for name, file in files_of(folder).items() if file != before[name]}
    assert moved == {f"{MARKET}/day=2026-03-24/{FILE}"}


def test_a_file_that_was_removed_comes_back(day: Day, tmp_path: Path) -> None:
    written(day.settings.published_file, tmp_path / "out", tables=(MARKET,))
    (tmp_path / "out" / MARKET / "day=2026-03-24" / FILE).unlink()
    assert written(day.settings.published_file, tmp_path / "out", tables=(MARKET,))[MARKET].written == ["2026-03-24"]
    assert differing(day.settings.published_file, tmp_path / "out", MARKET) == 0


def test_a_killed_export_goes_on_and_keeps_what_it_had_finished(day: Day, tmp_path: Path) -> None:
    folder, names = tmp_path / "out", (MARKET, EQUITY)
    killed(day, (*names, "--to", str(folder)), folder / EQUITY / MANIFEST)
    done = files_of(folder)
    assert all(content[:4] == content[-4:] == b"PAR1" for _, content in done.values())
    told = written(day.settings.published_file, folder, tables=names)
    noted = {name: file for name, file in files_of(folder).items() if file == done.get(name)}
    # The file that was renamed just before its note is written again.
    assert len(noted) >= len(done) - 1 > 0
    assert sum(table.days_unchanged for table in told.values()) == len(noted)
    assert sum(table.days_written for table in told.values()) > 0, "it was killed before its end"
    assert {name: differing(day.settings.published_file, folder, name) for name in names} == dict.fromkeys(names, 0)
    assert list(folder.rglob("*unfinished*")) == []


def test_a_range_and_coins_are_all_that_is_written(day: Day, tmp_path: Path) -> None:
    wish = {
        "tables": ("fct_coin_metrics",),
        "coins": ("xyz:GOLD", "kPEPE"),
        "since": date(2026, 3, 22),
        "until": date(2026, 3, 24),
    }
    told = written(day.settings.published_file, tmp_path / "out", **wish)
    frame = pd.read_parquet(tmp_path / "out" / "fct_coin_metrics")
    assert set(frame.coin) == {"xyz:GOLD", "kPEPE"}
    assert set(told["fct_coin_metrics"].written) == {"2026-03-22", "2026-03-23"} == set(frame.day)
    with pytest.raises(WarehouseError, match="holds an export of kPEPE, xyz:GOLD; ask for the same"):
        written(day.settings.published_file, tmp_path / "out", tables=("fct_coin_metrics",))


def test_rows_without_a_time_are_exported_too(copied: Callable[..., Path], day: Day, tmp_path: Path) -> None:
    source = copied("insert into marts.fct_slot_coverage by name select 'coins' as dataset, '' as scope")
    told = written(source, tmp_path / "out", tables=("fct_slot_coverage",))
    assert NO_DAY in told["fct_slot_coverage"].written
    assert len(pd.read_parquet(tmp_path / "out" / "fct_slot_coverage" / f"day={NO_DAY}")) == 1


def test_the_parts_of_days_before_the_hot_window_never_replace_whole_ones(
    day: Day, copied: Callable[..., Path], tmp_path: Path
) -> None:
    """The file drops what ended before the window, so that of an earlier day only what still held is left in it."""
    folder = tmp_path / "out"
    written(day.settings.published_file, folder, tables=(VERSIONS,))
    before = files_of(folder)
    source = copied(
        f"delete from marts.{VERSIONS} where valid_to_at is not null",
        f"comment on table marts.{VERSIONS} is "
        "'One row per coin. This file has it from 2026-03-25 on; the lake has the days before: `htw query --lake SQL`.'",
    )
    told = written(source, folder, tables=(VERSIONS,))[VERSIONS]
    assert (told.days_written, told.rows) == (0, 0)
    assert "--lake has all days" in told.note
    assert files_of(folder) == before
    assert written(day.settings.lake, folder, tables=(VERSIONS,))[VERSIONS].note == ""
    assert differing(day.settings.published_file, folder, VERSIONS) == 0


def test_the_lake_gives_the_same_rows(day: Day, tmp_path: Path) -> None:
    names = ("fct_open_positions", MARKET, "fct_wallet_equity_highs")
    written(day.settings.lake, tmp_path / "out", tables=names)
    assert {name: differing(day.settings.published_file, tmp_path / "out", name) for name in names} == dict.fromkeys(names, 0)


def test_a_folder_of_something_else_is_left_alone(day: Day, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(WarehouseError, match="holds something else than an export; name another folder with --to"):
        written(day.settings.published_file, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_exports_into_one_folder_do_not_mix(day: Day, tmp_path: Path) -> None:
    first = export(day.settings.published_file, tmp_path / "out", Wish((MARKET, "dim_coin")))
    next(first)
    with pytest.raises(WarehouseError, match="another export is writing"):
        written(day.settings.published_file, tmp_path / "out")
    first.close()
    assert written(day.settings.published_file, tmp_path / "out", tables=(MARKET,))[MARKET].days_written == 0
