"""The container files, as far as they can be judged without an engine: what they name exists, secrets stay out."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from sqlalchemy import make_url
from typer.main import get_command

from orchestration.cli import app
from orchestration.settings import Settings

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "docker-compose.yml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text("utf-8")
OURS = sorted(name for name, service in SERVICES.items() if service["image"] == "hypertracker-warehouse")
OF_DAGSTER = ("code", "daemon", "webserver")
CHECK = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]

each_service = pytest.mark.parametrize("name", sorted(SERVICES))


def test_the_services_are_these() -> None:
    assert set(SERVICES) == {"postgres", "code", "daemon", "webserver", "dashboard", "sandbox"}
    assert SERVICES["sandbox"]["profiles"] == ["sandbox"], "only on request"
    assert "never started" in TEXT.splitlines()[0]


def test_the_file_is_as_the_compose_specification_wants_it(tmp_path: Path) -> None:
    assert checked(COMPOSE, tmp_path).returncode == 0
    broken = COMPOSE | {"services": SERVICES | {"code": SERVICES["code"] | {"restarts": "always"}}}
    refused = checked(broken, tmp_path)
    assert refused.returncode == 1
    assert "restarts" in refused.stdout


def checked(compose: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "compose.yml").write_text(yaml.safe_dump(compose))
    return subprocess.run([*CHECK, folder / "compose.yml"], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", OURS)
def test_every_command_and_health_check_exists_here(name: str) -> None:
    health = SERVICES[name]["healthcheck"]["test"]
    assert health[0] == "CMD"
    for command in (SERVICES[name]["command"], health[1:]):
        assert exists(command), command


def exists(command: list[str]) -> bool:
    program, *arguments = command
    if program != "python":
        return program in {script.name for script in entry_points(group="console_scripts")} and understands(program, arguments)
    if arguments[0] == "-c":
        return bool(compile(arguments[1], "health check", "exec"))
    return importlib.util.find_spec(f"{arguments[1]}.__main__") is not None


def understands(program: str, arguments: list[str]) -> bool:
    """Whether the program knows the arguments; asked for help, it does nothing else."""
    from dagster._cli import create_dagster_cli
    from dagster._daemon.cli import create_dagster_daemon_cli

    known = {"htw": get_command(app), "dagster": create_dagster_cli(), "dagster-daemon": create_dagster_daemon_cli()}
    return CliRunner().invoke(known[program], [*arguments, "--help"]).exit_code == 0


@pytest.mark.parametrize("arguments", [["serve", "moon"], ["serve", "daemon", "--moon"]], ids=["service", "option"])
def test_other_services_and_options_are_refused(arguments: list[str]) -> None:
    assert CliRunner().invoke(get_command(app), arguments).exit_code == 2


def test_the_sandbox_understands_its_arguments() -> None:
    from sandbox.__main__ import parse_settings

    settings = parse_settings(SERVICES["sandbox"]["command"][3:])
    assert f"'127.0.0.1', {settings.api_port}" in SERVICES["sandbox"]["healthcheck"]["test"][3]
    assert SERVICES["sandbox"]["network_mode"] == "service:code", "runs are there, and its links lead to loopback"


@pytest.mark.proves("loopback", sees="containers publish their ports on 127.0.0.1 only")
@each_service
def test_ports_are_bound_to_loopback_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


@pytest.mark.proves("containers", sees="all capabilities dropped, no new privileges")
@each_service
def test_services_come_back_and_have_no_rights_to_spare(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_images_are_ours_or_pinned() -> None:
    assert {name: service["image"] for name, service in SERVICES.items() if name not in OURS} == {
        "postgres": "postgres:15.14-bookworm"
    }


@each_service
def test_secrets_come_by_file_and_every_setting_exists(name: str) -> None:
    environment, secrets = SERVICES[name].get("environment", {}), SERVICES[name].get("secrets", [])
    named = {value for variable, value in environment.items() if variable.endswith("_FILE")}
    assert named == {f"/run/secrets/{secret}" for secret in secrets}
    assert all(set(COMPOSE["secrets"][secret]) == {"file"} for secret in secrets)
    assert {"HTW_API_TOKEN", "POSTGRES_PASSWORD"}.isdisjoint(environment)
    known = {f"HTW_{field.upper()}" for field in Settings.model_fields}
    assert {variable for variable in environment if variable.startswith("HTW_")} <= known


def test_the_token_is_known_to_the_code_server_only() -> None:
    assert [name for name, service in SERVICES.items() if "hypertracker_token" in service.get("secrets", [])] == ["code"]
    assert "ports" not in SERVICES["code"], "whoever reaches it can start runs"


@pytest.mark.parametrize("name", OF_DAGSTER)
def test_services_of_dagster_find_its_tables_and_its_code(name: str) -> None:
    environment = SERVICES[name]["environment"]
    assert environment["DAGSTER_HOME"] == f"{environment['HTW_DATA_DIR']}/dagster"
    storage, database = make_url(environment["HTW_DAGSTER_STORAGE"]), SERVICES["postgres"]["environment"]
    assert (storage.host, storage.port, storage.password) == ("postgres", 5432, None)
    assert (storage.username, storage.database) == (database["POSTGRES_USER"], database["POSTGRES_DB"])
    assert environment["HTW_DAGSTER_PASSWORD_FILE"] == database["POSTGRES_PASSWORD_FILE"]
    assert environment["HTW_CODE_SERVER"] == f"code:{SERVICES['code']['healthcheck']['test'][-1]}"
    assert SERVICES[name]["depends_on"]["postgres"] == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", OF_DAGSTER)
def test_they_share_the_data_on_a_volume(name: str) -> None:
    assert SERVICES[name]["volumes"] == [f"data:{SERVICES[name]['environment']['HTW_DATA_DIR']}"]
    assert "data" in COMPOSE["volumes"]


def test_the_dashboard_reads_the_data_and_has_no_token() -> None:
    service = SERVICES["dashboard"]
    assert service["volumes"] == [f"data:{service['environment']['HTW_DATA_DIR']}:ro"]
    assert "secrets" not in service
    assert service["read_only"] is True


def test_the_image_is_small_in_rights_and_installs_what_is_locked() -> None:
    assert DOCKERFILE.splitlines()[1] == "FROM python:3.11.14-slim-bookworm"
    assert "pip install --require-hashes --no-deps -r requirements.lock" in DOCKERFILE
    (user,) = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert user not in ("root", "0")
    assert f"useradd --uid 10001 --create-home {user}" in DOCKERFILE
    assert "10001" in TEXT
    assert not re.search(r"(?i)^(env|arg)\b.*(token|secret|password)", DOCKERFILE, re.MULTILINE)


def test_the_image_takes_what_exists_and_no_data_or_secret_with_it() -> None:
    sources = [path for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE) for path in line.split()[:-1]]
    allowed = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}
    assert [path for path in sources if not (REPOSITORY / path).exists()] == []
    assert set(sources) == allowed
    assert (REPOSITORY / ".dockerignore").read_text("utf-8").startswith("*\n")
    assert "/secrets/" in (REPOSITORY / ".gitignore").read_text("utf-8").splitlines()
