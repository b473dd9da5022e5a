"""One writer at a time, told in words when it is somebody else; a killed writer and a full disk leave nothing half-visible."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import stamina

from orchestration.clock import SteppedClock
from orchestration.pipeline import Pipeline
from orchestration.settings import load_settings
from sandbox import SandboxSettings, running_sandbox
from tests.integration.processes import Htw, python_process
from warehouse.connection import (
    DamagedFileError,
    WarehouseError,
    WarehouseLockedError,
    connect,
    left_holder,
    moved_aside,
    open_reader,
    open_writer,
    writer_lock,
)
from warehouse.fetches import FetchRecord, new_fetch_id
from warehouse.ledger import Verdict
from warehouse.query import query

SLOT = datetime(2026, 3, 24, 10, 0, tzinfo=UTC)
STATE = datetime(2026, 3, 24, 9, 54, 30, tzinfo=UTC)
HOLD_FILE = "import duckdb, sys; connection = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
HOLD_LOCK = """
    import sys
    from pathlib import Path
    from warehouse.connection import writer_lock
    with writer_lock(Path(sys.argv[1])):
        print("locked", flush=True)
        sys.stdin.read()
"""
SHORT_WAIT_S = 0.2
DISK_MIB = 96
FULL_LEVELS_KIB = (0, 900)
POSITIONS = "select count(*) as positions, count(distinct snapshot_at) as snapshots from fct_open_positions"


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return pipeline_of(tmp_path / "data")


@pytest.fixture
def fetched(pipeline: Pipeline, samples: Path) -> FetchRecord:
    return fetched_by(pipeline, samples)


def pipeline_of(data_dir: Path) -> Pipeline:
    settings = load_settings(api_url="http://127.0.0.1:1", data_dir=data_dir, warehouse_url=None)
    pipeline = Pipeline(settings, SteppedClock(lambda: SLOT + timedelta(hours=1), lambda _: None))
    pipeline.vault.create()
    return pipeline


def fetched_by(pipeline: Pipeline, samples: Path) -> FetchRecord:
    """One fetch of open positions, in the vault and not loaded."""
    with pipeline.vault.new_body("open_positions", SLOT, ".csv") as body:
        body.write((samples / "positions_open_coin_BTC.csv").read_bytes())
        part = body.finish()
    record = FetchRecord(
        new_fetch_id(), "open_positions", "BTC", SLOT, SLOT, SLOT, "received", (part,), state_before=STATE, state_after=STATE
    )
    pipeline.vault.keep(record)
    return record


def loaded_rows(file: Path) -> int:
    with connect(file, read_only=True) as connection:
        row = connection.execute("select count(*) from raw.open_positions").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.proves(
    "dbeaver",
    sees="the culprit by its process number, “close it there: readers use the published copy”; the payload stays in the vault",
)
def test_a_file_open_in_another_program_is_named_and_the_same_load_works_afterwards(
    pipeline: Pipeline, fetched: FetchRecord, said: Callable[..., None]
) -> None:
    file = pipeline.settings.warehouse_file
    with python_process(HOLD_FILE, file) as holder:
        with pytest.raises(WarehouseLockedError, match=f"(?s)is open in another program.*PID {holder.pid}.*close it there"):
            pipeline.load([fetched])
        with pytest.raises(WarehouseLockedError, match=f"PID {holder.pid}") as caught:
            pipeline.publish()
        said(caught.value)
    (outcome,) = pipeline.load([fetched])
    assert outcome.judgement.verdict is Verdict.LOADED
    assert loaded_rows(file) == 18


def test_a_load_waits_for_another_program_that_lets_go(pipeline: Pipeline, fetched: FetchRecord) -> None:
    stamina.set_testing(False)
    with python_process(HOLD_FILE, pipeline.settings.warehouse_file) as holder:
        threading.Timer(1.0, holder.kill).start()
        (outcome,) = pipeline.load([fetched])
    assert outcome.judgement.verdict is Verdict.LOADED


def test_what_a_locked_file_kept_out_is_loaded_by_the_next_load(pipeline: Pipeline, fetched: FetchRecord) -> None:
    with python_process(HOLD_FILE, pipeline.settings.warehouse_file), pytest.raises(WarehouseLockedError):
        pipeline.load([fetched])
    (outcome,) = pipeline.load([])
    assert (outcome.record, outcome.judgement.verdict) == (fetched, Verdict.LOADED)
    assert loaded_rows(pipeline.settings.warehouse_file) == 18


def test_the_holder_of_the_writer_lock_is_named(tmp_path: Path) -> None:
    file = tmp_path / "warehouse.duckdb"
    with python_process(HOLD_LOCK, file) as holder:
        with pytest.raises(WarehouseLockedError, match=f"held by process {holder.pid} for"), writer_lock(file, SHORT_WAIT_S):
            pass
        with pytest.raises(WarehouseLockedError, match=f"held by process {holder.pid} for"), open_writer(file, SHORT_WAIT_S):
            pass
    assert not file.exists()


@pytest.mark.proves("lock-stale", sees="nothing: the lock is free; `htw doctor` says who had it, and `--fix` forgets the name")
def test_the_lock_of_a_killed_process_is_free_again(tmp_path: Path) -> None:
    file = tmp_path / "warehouse.duckdb"
    with python_process(HOLD_LOCK, file) as holder:
        assert left_holder(file, forget=True) == "", "it lives"
        holder.kill()
        holder.wait()
        assert left_holder(file) == f"process {holder.pid}"
        with open_writer(file, SHORT_WAIT_S) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    assert left_holder(file) == ""


def test_the_name_of_a_process_that_died_is_forgotten_when_asked(tmp_path: Path) -> None:
    file = tmp_path / "warehouse.duckdb"
    with python_process(HOLD_LOCK, file) as holder:
        holder.kill()
        holder.wait()
        assert left_holder(file, forget=True) == f"process {holder.pid}"
    assert not file.with_suffix(".holder").exists()


def test_a_writer_waits_for_one_that_ends(tmp_path: Path) -> None:
    file = tmp_path / "warehouse.duckdb"
    with python_process(HOLD_LOCK, file) as holder:
        assert holder.stdin is not None
        holder.stdin.close()
        with writer_lock(file):
            assert holder.wait(timeout=30) == 0


@pytest.mark.parametrize("content", [b"", b"no database" * 1000, b"\xff" * 20_000], ids=["empty", "text", "bytes"])
def test_a_file_that_is_no_database_is_named_and_kept_aside(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "warehouse.duckdb"
    file.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"is damaged .*moved aside to .*; run `htw rebuild`"), open_writer(file):
        pass
    (kept,) = moved_aside(file)
    assert kept.read_bytes() == content
    assert not file.exists()
    for way_in in (open_writer, open_reader):
        with pytest.raises(DamagedFileError, match=f"is kept as {kept.name}; run `htw rebuild`"), way_in(file):
            pass
    assert not file.exists()


def test_damage_found_while_reading_is_named_too(tmp_path: Path) -> None:
    file = tmp_path / "warehouse.duckdb"
    with open_writer(file) as connection:
        connection.execute("create table numbers as select range as number, repeat('x', 100) as words from range(200_000)")
    with file.open("r+b") as damaged:
        damaged.truncate(file.stat().st_size // 2)
    with pytest.raises(DamagedFileError, match=r"is damaged .*htw rebuild"), open_writer(file) as connection:
        connection.execute("select max(number), max(words) from numbers").fetchall()
    assert len(moved_aside(file)) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of some megabytes, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no small disk can be mounted here: that takes the rights of root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path, left_kib: int) -> Path:
    """Take all of the disk but some KiB; the file that does."""
    ballast, room = folder / "ballast", os.statvfs(folder)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - (left_kib << 10))
    return ballast


@pytest.mark.long
@pytest.mark.proves("disk-full", sees="“the disk is full (HTW_DATA_DIR); free some space”; readers keep what they had")
def test_a_full_disk_is_told_and_nothing_is_half_visible(small_disk: Path, said: Callable[..., None]) -> None:
    with running_sandbox(SandboxSettings(coins=4, positions=6000, orders=100)) as sandbox:
        htw = Htw(sandbox.api_url, sandbox.token, small_disk / "data")
        published = htw.data_dir / "published" / "hypertracker.duckdb"
        assert htw("poll", "open_positions", coins="BTC").returncode == 0
        before = query(published, POSITIONS)
        for left_kib in FULL_LEVELS_KIB:
            ballast = fill(small_disk, left_kib)
            failed = htw("poll", "open_positions", coins="ETH")
            ballast.unlink()
            assert failed.returncode == 1, failed
            said(failed.stderr)
            assert "the disk is full" in failed.stderr
            assert "Traceback" not in failed.stderr
            assert query(published, POSITIONS).equals(before)
        again = htw("poll", "open_positions", coins="ETH")
        assert again.returncode == 0, again
        after = query(published, POSITIONS)
    assert after["positions"][0] > before["positions"][0]


@pytest.mark.proves("disk-read-only", sees="“cannot be written”; “see that HTW_DATA_DIR can be read and written”")
def test_a_read_only_disk_is_told_and_nothing_is_lost(small_disk: Path, samples: Path, said: Callable[..., None]) -> None:
    pipeline = pipeline_of(small_disk / "data")
    fetched = fetched_by(pipeline, samples)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(WarehouseError) as caught:
        pipeline.load([fetched])
    said(caught.value)
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    (outcome,) = pipeline.load()
    assert outcome.judgement.verdict is Verdict.LOADED


def test_those_who_wait_differently_share_one_lock(tmp_path: Path) -> None:
    file = tmp_path / "warehouse.duckdb"
    with writer_lock(file, 5.0), writer_lock(file, SHORT_WAIT_S), open_writer(file) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
