"""Dagster's home follows the settings: where its tables are, where its code is, and what is refused."""

from __future__ import annotations

import os
import re
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher import RunLauncher
from dagster_docker import DockerRunLauncher
from dagster_k8s import K8sRunLauncher
from typer.testing import CliRunner

from orchestration import runs
from orchestration.cli import app
from orchestration.dagster_storage import PostgresStorage, StorageUnreachableError, postgres_address
from orchestration.docker_runs import DockerRuns
from orchestration.kubernetes_runs import KubernetesRuns
from orchestration.run_launchers import launcher_config
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


RUNS = Path(__file__).parents[2] / "docs" / "runs"
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: here, user: me}}]
clusters: [{name: here, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: me, user: {}}]
"""


def elsewhere(monkeypatch: pytest.MonkeyPatch, kind: str, file: Path) -> Settings:
    """Settings as a service of the instance finds them, which reads the environment itself."""
    monkeypatch.setenv("HTW_RUN_LAUNCHER", kind)
    monkeypatch.setenv("HTW_RUN_CONFIG_FILE", str(file))
    return settings()


def launcher_of(chosen: Settings) -> RunLauncher:
    """As Dagster makes it from what was written for it."""
    write_dagster_config(chosen)
    return InstanceRef.from_dir(str(chosen.dagster_home)).run_launcher


def test_runs_in_containers_are_launched_as_the_example_says(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = launcher_of(elsewhere(monkeypatch, "docker", RUNS / "docker.yaml"))
    assert isinstance(launcher, DockerRuns)
    assert (launcher.image, launcher.networks) == ("hypertracker-warehouse", ["hypertracker_default"])
    assert "HTW_DATA_DIR=/data" in launcher.env_vars
    assert launcher.supports_check_run_worker_health


def test_runs_in_pods_are_launched_as_the_example_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    outside = f"load_incluster_config: false\nkubeconfig_file: {tmp_path}/kubeconfig\n"
    (tmp_path / "runs.yaml").write_text((RUNS / "kubernetes.yaml").read_text("utf-8") + outside)
    launcher = launcher_of(elsewhere(monkeypatch, "kubernetes", tmp_path / "runs.yaml"))
    assert isinstance(launcher, KubernetesRuns)
    assert launcher.job_image == "registry.example/hypertracker-warehouse:0.1.0"
    assert launcher.supports_check_run_worker_health


def test_the_values_of_the_chart_are_of_this_dagster_and_known_to_the_launcher() -> None:
    values = yaml.safe_load((RUNS / "helm-values.yaml").read_text("utf-8"))
    launched = {"service_account_name": "dagster", "instance_config_map": "dagster-instance", "dagster_home": "/data/dagster"}
    raw = values["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    snake = {re.sub("([A-Z])", lambda found: f"_{found[1].lower()}", key): value for key, value in raw.items()}
    checked = process_config(resolve_to_config_type(K8sRunLauncher.config_type()), launched | {"run_k8s_config": snake})
    assert checked.success, checked.errors
    for service in ("dagsterWebserver", "dagsterDaemon"):
        assert values[service]["image"]["tag"] == dg.__version__
    usual = yaml.safe_load((Path(runs.__file__).parent / "dagster.yaml").read_text("utf-8"))
    assert values["additionalInstanceConfig"]["concurrency"]["pools"] == usual["concurrency"]["pools"]


def test_a_launcher_is_chosen_and_given_up_by_the_setting_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    write_dagster_config(settings())
    file = Path("data/dagster/dagster.yaml")
    before = file.read_text("utf-8")
    for kind in ("docker", "kubernetes"):
        write_dagster_config(elsewhere(monkeypatch, kind, RUNS / f"{kind}.yaml"))
        assert config()["run_launcher"]["module"] == f"orchestration.{kind}_runs"  # type: ignore[index]
    write_dagster_config(settings(run_launcher="local"))
    assert file.read_text("utf-8") == before


def test_a_launcher_that_somebody_else_chose_is_left_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    write_dagster_config(settings())
    file = Path("data/dagster/dagster.yaml")
    file.write_text(file.read_text("utf-8") + "run_launcher:\n  module: dagster_aws.ecs\n  class: EcsRunLauncher\n")
    before = file.read_text("utf-8")
    with pytest.raises(SettingsError, match=r"HTW_RUN_LAUNCHER is set.*has a `run_launcher` of its own"):
        write_dagster_config(elsewhere(monkeypatch, "docker", RUNS / "docker.yaml"))
    assert file.read_text("utf-8") == before


@pytest.mark.parametrize(
    ("text", "words"),
    [("imgae: x", "imgae"), ("env_vars: yes", "env_vars"), ("[", "cannot be read")],
    ids=["unknown key", "another kind", "no YAML"],
)
def test_what_configures_a_launcher_wrongly_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "runs.yaml").write_text(text)
    with pytest.raises(SettingsError, match=rf"HTW_RUN_CONFIG_FILE .*{words}"):
        launcher_config(elsewhere(monkeypatch, "docker", tmp_path / "runs.yaml"), DockerRunLauncher.config_type())


def test_a_launcher_without_its_file_is_refused_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTW_RUN_LAUNCHER", "docker")
    with pytest.raises(SettingsError, match="HTW_RUN_CONFIG_FILE is not set"):
        write_dagster_config(settings())
    assert not Path("data/dagster/dagster.yaml").exists()


def test_runs_elsewhere_outlive_the_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start of daemon or code server must not call runs lost that live in containers of their own."""
    chosen = elsewhere(monkeypatch, "docker", RUNS / "docker.yaml")
    with dagster_instance(chosen) as instance:
        run = instance.create_run_for_job(a_job, status=dg.DagsterRunStatus.STARTED)
    locks, lost = prepare_home(chosen)
    for lock in locks:
        os.close(lock)
    assert lost == []
    with dagster_instance(chosen) as instance:
        assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.STARTED  # type: ignore[union-attr]


@dg.job
def a_job() -> None:
    """Nothing to do."""


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
