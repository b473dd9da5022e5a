"""A working file of another release is refused and left as it is, until `htw upgrade`; copies of it are whole, and go back."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from orchestration.cli import app
from orchestration.division import Landing
from orchestration.modelling import raise_for_failures
from orchestration.pipeline import Pipeline
from orchestration.registering import prepare
from orchestration.services import DAEMON
from orchestration.sole import sole_for_good
from orchestration.upgrading import survey
from tests.earlier import unpack_vault, unpack_working_file
from tests.integration.test_writer import fetched_by, pipeline_of
from warehouse import backups, repair
from warehouse.backups import back_up, restore
from warehouse.connection import EarlierSchemaError, NewerSchemaError, WarehouseError, connect, open_reader, open_writer, wal_of
from warehouse.ledger import Verdict
from warehouse.publish import origin_of
from warehouse.schema_version import CURRENT, STEPS, note, noted, steps_left, take

SCHEMA = Path(__file__).parent.parent / "data" / "schema.txt"
TABLES = """
    select
        schema_name || '.' || table_name || ' '
        || string_agg(column_name || ' ' || lower(data_type), ', ' order by column_index)
    from duckdb_columns() where schema_name in ('raw', 'ops') and database_name = current_database()
    group by schema_name, table_name order by all
"""
# Made by builds and publishes, not when a file begins.
LATER = ("ops.whole_builds ", "ops.origin ", "ops.dropped_raw ")
Tables = dict[str, set[str]]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack_working_file(tmp_path_factory.mktemp("earlier"))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("prepared") / "warehouse.duckdb"
    with open_writer(file) as connection:
        prepare(connection)
    return file


@pytest.fixture
def early(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(packed, tmp_path))


@pytest.fixture
def fresh(prepared: Path, tmp_path: Path) -> Path:
    (tmp_path / "fresh").mkdir()
    return Path(shutil.copy(prepared, tmp_path / "fresh"))


def contents(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def listed(connection: duckdb.DuckDBPyConnection) -> list[str]:
    return [line for (line,) in connection.execute(TABLES).fetchall() if not line.startswith(LATER)]


def columns(connection: duckdb.DuckDBPyConnection) -> Tables:
    """Columns by table; their order is that of adding them."""
    lines = (line.partition(" ") for line in listed(connection))
    return {table: set(words.split(", ")) for table, _, words in lines}


def upgraded(file: Path) -> None:
    with connect(file) as connection:
        for step in steps_left(connection):
            take(connection, step)


@pytest.mark.parametrize("opened", [open_reader, open_writer], ids=["to read", "to write"])
def test_a_file_of_an_earlier_release_is_refused_and_left_as_it_was(early: Path, opened: object) -> None:
    before = contents(early)
    with pytest.raises(EarlierSchemaError, match=r"schema version 1; this one needs 2.*run `htw upgrade`"), opened(early):  # type: ignore[operator]
        pass
    assert contents(early) == before


@pytest.mark.parametrize("opened", [open_reader, open_writer], ids=["to read", "to write"])
def test_a_file_of_a_newer_release_is_refused_by_its_name_and_left_as_it_was(fresh: Path, opened: object) -> None:
    with connect(fresh) as connection:
        connection.execute("insert into ops.schema_version values (?, '9.1.0', now()::timestamp)", [CURRENT + 1])
    before = contents(fresh)
    with (
        pytest.raises(NewerSchemaError, match=rf"release 9\.1\.0 .schema version {CURRENT + 1}.*nothing was touched"),
        opened(fresh),
    ):  # type: ignore[operator]
        pass
    assert contents(fresh) == before


def test_a_file_that_lacks_nothing_but_the_note_gets_it_in_passing(fresh: Path) -> None:
    with connect(fresh) as connection:
        connection.execute("drop table ops.schema_version")
        assert noted(connection).version == 1
    with open_reader(fresh) as connection:
        assert noted(connection).version == 1
    with open_writer(fresh) as connection:
        assert noted(connection).version == CURRENT


def test_the_steps_give_an_early_file_the_tables_of_a_new_one(early: Path, fresh: Path) -> None:
    upgraded(early)
    with open_writer(early) as old, open_writer(fresh) as new:
        prepare(old)
        assert columns(old) == columns(new)
        assert noted(old).version == noted(new).version == CURRENT
        ledger = old.execute(
            "select count(distinct fetch_seq) = count(*), bool_and(source = dataset) from ops.fetches"
        ).fetchone()
        assert ledger == (True, True)
        assert old.execute("select nextval('ops.fetch_seq') > max(fetch_seq) from ops.fetches").fetchone() == (True,)


def test_a_step_that_was_killed_before_its_last_statement_goes_on(early: Path, fresh: Path) -> None:
    with connect(early) as connection:
        for statement in STEPS[0].statements[:-1]:
            connection.execute(statement)
        assert [step.version for step in steps_left(connection)] == [2]
    upgraded(early)
    with open_writer(early) as old, open_writer(fresh) as new:
        prepare(old)
        assert columns(old) == columns(new)


def test_the_tables_are_those_of_the_schema_version(fresh: Path) -> None:
    """Whoever changes a table of raw or ops adds a step to `schema_version`, then puts the new tables here."""
    with open_reader(fresh) as connection:
        assert [f"schema version {CURRENT}", *listed(connection)] == SCHEMA.read_text("utf-8").splitlines()


def test_what_was_polled_before_the_upgrade_is_loaded_after_it(tmp_path: Path, packed: Path, samples: Path) -> None:
    pipeline = pipeline_of(unpack_vault(tmp_path / "data"))
    file = Path(shutil.copy(packed, pipeline.settings.warehouse_file))
    record = fetched_by(pipeline, samples)
    with pytest.raises(EarlierSchemaError):
        pipeline.load([record])
    upgraded(file)
    assert [outcome.judgement.verdict for outcome in pipeline.load()] == [Verdict.LOADED]


@pytest.fixture
def htw(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    monkeypatch.setenv("HTW_DATA_DIR", str(tmp_path))
    return CliRunner()


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(early: Path, htw: CliRunner) -> None:
    before = contents(early), sorted(path.name for path in early.parent.iterdir() if path.suffix == ".duckdb" or path.is_dir())
    said = " ".join(htw.invoke(app, ["upgrade", "--dry-run"]).output.split())
    for words in ("has schema version 1, this release needs 2", "to schema version 2:", "make all models anew of 17 payloads"):
        assert words in said
    assert before == (contents(early), sorted(p.name for p in early.parent.iterdir() if p.suffix == ".duckdb" or p.is_dir()))


def test_an_upgrade_waits_for_no_service_but_says_so(early: Path, htw: CliRunner) -> None:
    lock = sole_for_good(early.parent / f"{DAEMON}.lock")
    before, result = contents(early), htw.invoke(app, ["upgrade"])
    assert lock is not None
    assert result.exit_code == 1
    assert "has a daemon already" in result.output
    assert contents(early) == before


def test_a_newer_file_is_no_upgrade(fresh: Path, htw: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTW_DATA_DIR", str(fresh.parent))
    with connect(fresh) as connection:
        note(connection, CURRENT + 1)
    result = htw.invoke(app, ["upgrade"])
    assert result.exit_code == 1
    assert "use that release, or a newer one" in " ".join(result.output.split())


def test_the_release_is_told(htw: CliRunner) -> None:
    result = htw.invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("htw ")
    assert f"(schema version {CURRENT})" in result.output


def test_a_copy_goes_back_with_all_it_had_and_under_an_origin_of_its_own(tmp_path: Path, samples: Path) -> None:
    pipeline = pipeline_of(tmp_path / "data")
    file, record = pipeline.settings.warehouse_file, fetched_by(pipeline, samples)
    with open_writer(file) as connection:
        prepare(connection)
        before = origin_of(connection)
    backup = back_up(file, pipeline.clock.now())
    pipeline.load([record])
    # A log that a killed process left is that of the file before.
    wal_of(file).write_bytes(b"of another file")
    restore(backup, file)
    with open_writer(file) as connection:
        assert connection.execute("select count(*) from ops.fetches").fetchone() == (0,)
        assert origin_of(connection) != before
        found = repair.compare(connection, pipeline.vault, pipeline.vault.records())
    # What `htw doctor --fix` does with what came since.
    pipeline.vault.mark_pending(found.forgotten)
    assert [outcome.record.fetch_id for outcome in pipeline.load()] == [record.fetch_id]


def test_a_copy_is_whole_or_not_there(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = pipeline_of(fresh.parent)
    folder, now = fresh.parent / backups.FOLDER, pipeline.clock.now()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(backups.os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            back_up(fresh, now)
    assert [path.suffix for path in folder.iterdir()] == [backups.UNFINISHED]
    backup = back_up(fresh, now)
    assert list(folder.iterdir()) == [backup]
    assert contents(backup) == contents(fresh)


def test_without_room_for_a_copy_nothing_is_done(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(fresh.parent)._replace(free=fresh.stat().st_size)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(WarehouseError, match="free some space; nothing was changed"):
        back_up(fresh, pipeline_of(fresh.parent).clock.now())
    assert not list((fresh.parent / backups.FOLDER).iterdir())


def test_what_is_no_copy_is_not_put_back(fresh: Path, tmp_path: Path) -> None:
    before, text = contents(fresh), tmp_path / "text"
    text.write_text("no database" * 1000)
    for wrong in (text, tmp_path / "missing"):
        with pytest.raises(WarehouseError):
            restore(wrong, fresh)
    assert contents(fresh) == before


def test_models_that_are_left_to_other_machines_are_none_to_upgrade(tmp_path: Path) -> None:
    alone = pipeline_of(tmp_path)
    sends = Pipeline(alone.settings.model_copy(update={"landing": Landing.SEND}), alone.clock)
    with open_writer(sends.settings.warehouse_file) as connection:
        prepare(connection)
    assert survey(sends).is_modelled_anew
    raise_for_failures(sends.build())
    assert not survey(sends).is_needed
    assert survey(alone).is_modelled_anew
