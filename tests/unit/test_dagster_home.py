"""Dagster's home follows the settings: where its tables are, where its code is, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from orchestration.cli import app
from orchestration.dagster_storage import PostgresStorage, StorageUnreachableError, postgres_address
from orchestration.runs import MODULE, dagster_instance, write_dagster_config
from orchestration.services import CODE, DAEMON, code_service, dagster_services, free_port, prepare_home
from orchestration.settings import Settings, SettingsError, load_offline_settings
from warehouse.connection import WarehouseLockedError

PASSWORD = "pass:5ec/7e7@x"
ADDRESS = "postgresql://dagster@db.example:5433/dagster"
STORAGE = {"custom": {"module": PostgresStorage.__module__, "class": PostgresStorage.__name__}}


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("HTW_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def settings(**wanted: object) -> Settings:
    return load_offline_settings(**wanted)


def config() -> dict[str, object]:
    return dict(yaml.safe_load(Path("data/dagster/dagster.yaml").read_text("utf-8")))


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    return file


def test_the_storage_of_a_home_follows_the_setting_and_all_else_stays() -> None:
    write_dagster_config(settings())
    assert "storage" not in config()
    file = Path("data/dagster/dagster.yaml")
    file.write_text(file.read_text("utf-8").replace("max_concurrent_runs: 4", "max_concurrent_runs: 2  # ours"))
    before = file.read_text("utf-8")
    write_dagster_config(settings(dagster_storage=ADDRESS))
    assert config()["storage"] == STORAGE
    assert "max_concurrent_runs: 2  # ours" in file.read_text("utf-8")
    write_dagster_config(settings())
    assert file.read_text("utf-8") == before


def test_a_storage_that_somebody_else_chose_is_left_and_named() -> None:
    file = Path("data/dagster/dagster.yaml")
    file.parent.mkdir(parents=True)
    file.write_text("storage: {sqlite: {base_dir: /x}}\n")
    with pytest.raises(SettingsError, match=r"dagster\.yaml has a `storage` of its own"):
        write_dagster_config(settings(dagster_storage=ADDRESS))
    assert file.read_text("utf-8") == "storage: {sqlite: {base_dir: /x}}\n"


def test_the_password_of_the_file_is_in_the_address_and_never_shown(password_file: Path) -> None:
    found = settings(dagster_storage=ADDRESS, dagster_password_file=password_file)
    address = postgres_address(found)
    assert (address.host, address.port, address.username, address.password) == ("db.example", 5433, "dagster", PASSWORD)
    assert address.drivername == "postgresql+psycopg2"
    assert "***" in str(address)
    assert PASSWORD not in repr(found)
    assert "5ec7e7" not in repr(settings(dagster_storage="postgresql://me:5ec7e7@db.example/dagster"))


def test_a_home_on_postgresql_without_the_setting_is_named() -> None:
    with pytest.raises(SettingsError, match="names PostgreSQL, but HTW_DAGSTER_STORAGE is not set here"):
        postgres_address(settings())


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"dagster_storage": "mysql://me:5ec7e7@db/dagster"}, "HTW_DAGSTER_STORAGE is neither sqlite nor"),
        ({"dagster_storage": "postgresql://db.example/"}, "HTW_DAGSTER_STORAGE is neither sqlite nor"),
        ({"dagster_password_file": "/nowhere"}, "HTW_DAGSTER_PASSWORD_FILE names /nowhere, which cannot be read"),
        ({"code_server": "code"}, "HTW_CODE_SERVER is 'code'; it is a host and a port"),
        ({"code_server": "http://code:4000"}, "HTW_CODE_SERVER is 'http://code:4000'; it is"),
    ],
    ids=["another database", "no database", "no file", "no port", "an address"],
)
def test_settings_that_cannot_be_are_named_without_a_password(wrong: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError) as error:
        settings(**wrong)
    assert named in str(error.value)
    assert "5ec7e7" not in str(error.value)


def test_a_postgresql_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch, password_file: Path) -> None:
    monkeypatch.setattr("dagster_postgres.utils.time.sleep", lambda _: None)
    address = f"postgresql://dagster@127.0.0.1:{free_port()}/dagster"
    with pytest.raises(StorageUnreachableError, match=r"Connection refused.*; start PostgreSQL") as error:
        dagster_instance(settings(dagster_storage=address, dagster_password_file=password_file))
    assert PASSWORD not in str(error.value)


def test_with_a_code_server_nobody_else_loads_definitions() -> None:
    alone = dagster_services(settings(), "127.0.0.1", 3000)
    assert [MODULE in service.command for service in alone] == [True, True]
    served = dagster_services(settings(code_server="code:4000"), "127.0.0.1", 3000)
    assert [MODULE in service.command for service in served] == [False, False]
    workspace = yaml.safe_load(Path("data/dagster/workspace.yaml").read_text("utf-8"))
    assert workspace == {"load_from": [{"grpc_server": {"host": "code", "port": 4000, "location_name": MODULE}}]}
    command = code_service(settings(code_server="code:4000"), "127.0.0.1").command
    assert list(command[-4:]) == ["-h", "127.0.0.1", "-p", "4000"]


def test_a_code_server_that_nobody_would_ask_is_refused() -> None:
    result = CliRunner().invoke(app, ["serve", "code"], env={"HTW_API_URL": "http://127.0.0.1:1"})
    assert result.exit_code == 2
    assert "HTW_CODE_SERVER is not set" in result.stderr


def test_runs_belong_to_one_process_whoever_starts_it() -> None:
    served = settings(code_server="127.0.0.1:4000")
    locks = [prepare_home(served, CODE)[0], prepare_home(served, DAEMON)[0]]
    try:
        with pytest.raises(WarehouseLockedError, match="has a code server already"):
            prepare_home(served, CODE)
        with pytest.raises(WarehouseLockedError, match="has a daemon already"):
            prepare_home(served, DAEMON)
        os.close(locks.pop()[0])
        with pytest.raises(WarehouseLockedError, match="has a code server already"):
            prepare_home(settings(), DAEMON)
    finally:
        for held in locks:
            os.close(held[0])
