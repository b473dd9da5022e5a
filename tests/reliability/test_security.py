"""Nobody in: tokens and signatures stay on the way to the API, readers only read, what is locked is what is installed."""

from __future__ import annotations

import contextlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import lz4.frame
import pytest
import yaml
import zstandard
from typer.main import get_command

from orchestration.cli import app
from orchestration.services import LOOPBACK
from sandbox import Fault, Sandbox, SandboxSettings, running_sandbox
from tests.integration.processes import REPOSITORY, Htw
from warehouse.query import query

proves = pytest.mark.proves
ECHO = {
    "message": "no",
    "headers": {"Authorization": "Bearer {token}"},
    "next": "https://x.example/y?X-Amz-Signature=5ec7e7&sig=5ec7e7",
}
HOOK, PASSWORD = "http://127.0.0.1:9/hook-5ec7e7", "pass-5ec7e7"
SECRETS = ("sandbox-token", "5ec7e7", "Bearer s", "sig=", "X-Amz-Signature=")
LOUD = {"alert_webhook": HOOK, "smtp_host": "127.0.0.1", "smtp_password": PASSWORD, "smtp_user": "me@a.example",
        "alert_email_to": "you@a.example"}  # fmt: skip
COINS = "BTC,ETH"


@dataclass
class Night:
    """A folder after commands that met every kind of trouble, and all that they said."""

    htw: Htw
    said: list[str] = field(default_factory=list)

    def run(self, *arguments: str, **changes: str) -> None:
        result = self.htw(*arguments, **(LOUD | changes))
        self.said += [result.stdout, result.stderr]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """Every answer echoes what was sent, links expire and break off, the token is refused at last."""
    with running_sandbox(SandboxSettings(coins=4, positions=120, orders=60)) as sandbox:
        night = Night(Htw(sandbox.api_url, sandbox.token, tmp_path_factory.mktemp("night") / "data"))
        echo(sandbox)
        night.run("poll", coins=COINS)
        for command in (("status",), ("quarantine", "list"), ("alerts",), ("alerts", "test"), ("doctor",)):
            night.run(*command, coins=COINS)
        night.run("poll", "coins", api_token="sandbox-token-5ec7e7")
        night.run("poll", "coins", api_url=f"http://me:{PASSWORD}@127.0.0.1:9", api_token="sandbox-token-5ec7e7")
        yield night


def echo(sandbox: Sandbox) -> None:
    """Answers that repeat the request, as gateways and stores do."""
    body = {name: str(value).replace("{token}", sandbox.token) for name, value in ECHO.items()}
    sandbox.faults.add(Fault("status", "/positions/coins", status=500, body=body))
    sandbox.faults.add(Fault("status", "/positions/heatmap", status=400, body=body))
    sandbox.faults.add(Fault("status", "/exchange/metrics", status=403, body=str(body)))
    sandbox.faults.add(Fault("status", "coin/ETH", leg="storage", status=403, body=str(body)))
    sandbox.faults.add(Fault("cut", leg="storage", count=3))
    sandbox.faults.add(
        Fault("status", "/segments$", status=302, body="", headers={"Location": "https://evil.example/a?sig=5ec7e7"})
    )


@pytest.mark.long
@proves("token-printed", sees="`Bearer ***` and `?***` where a provider repeats what it was sent")
def test_no_token_and_no_signature_is_anywhere_after_a_night_of_faults(night: Night) -> None:
    said = "\n".join(night.said)
    assert "fail" in said
    assert "evil.example" in said
    assert "***" in said
    assert [secret for secret in SECRETS if secret in said] == []
    files = [path for path in night.htw.data_dir.rglob("*") if path.is_file()]
    assert len(files) > 30
    assert [(path.name, secret) for path in files for secret in SECRETS if holds(path, secret.encode())] == []


def holds(path: Path, secret: bytes) -> bool:
    content = path.read_bytes()
    return any(secret in text for text in (content, *inflated(content)))


def inflated(content: bytes) -> Iterator[bytes]:
    import gzip

    for decode in (zstandard.ZstdDecompressor().decompressobj().decompress, gzip.decompress, lz4.frame.decompress):
        with contextlib.suppress(OSError, EOFError, RuntimeError, zstandard.ZstdError):
            yield decode(content)


@pytest.mark.long
@proves("token-printed", sees="tables hold what an answer means, not what it repeated")
def test_no_table_holds_a_secret(night: Night) -> None:
    with duckdb.connect(str(night.htw.data_dir / "warehouse.duckdb"), read_only=True) as connection:
        tables = connection.execute(
            """select schema_name || '."' || table_name || '"' from duckdb_tables() where not internal"""
        ).fetchall()
        assert len(tables) > 40
        text = "\n".join(str(connection.execute(f"select * from {table}").fetchall()) for (table,) in tables)
    assert [secret for secret in SECRETS if secret in text] == []


@proves("token-source", sees="no command has an option for a token; `HTW_API_TOKEN` or `HTW_API_TOKEN_FILE` hold it")
def test_no_command_takes_a_token() -> None:
    group = get_command(app)
    options = [str(option) for command in walked(group) for parameter in command.params for option in parameter.opts]
    assert len(options) > 40
    assert [option for option in options if re.search("token|password|secret|webhook", option)] == []


def walked(command: object) -> Iterator[object]:
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from walked(below)


@proves("loopback", sees="the UI answers on 127.0.0.1; `--host` tells otherwise, and the README how to put a login in front")
def test_pages_are_served_on_loopback_unless_told_otherwise() -> None:
    asked = [parameter for command in walked(get_command(app)) for parameter in command.params if parameter.name == "host"]
    assert asked
    assert {parameter.default for parameter in asked} == {LOOPBACK}
    assert "login" in (REPOSITORY / "README.md").read_text("utf-8")


@proves("dependencies", sees="`make audit` names known vulnerabilities, or says that the list of them cannot be reached")
@pytest.mark.parametrize("lock", ["requirements.lock", "tests/requirements.lock", "tests/bi/requirements.lock"])
def test_every_dependency_is_pinned_with_hashes_and_without_an_address(lock: str) -> None:
    text = (REPOSITORY / lock).read_text("utf-8")
    entries = re.split(r"\n(?=[a-z0-9])", "\n" + text.replace("\\\n", " "))
    pinned = [entry for entry in entries if re.match(r"\n?[a-z0-9]", entry)]
    assert len(pinned) > 80
    for entry in pinned:
        assert re.match(r"\n?[a-z0-9._\[\]-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry
    assert "://" not in text


def test_what_is_locked_is_audited_before_a_change_is_taken() -> None:
    assert "make audit" in (REPOSITORY / ".ci" / "run").read_text("utf-8")
    assert {"requirements.lock", "tests/requirements.lock"} <= set((REPOSITORY / ".ci" / "audit").read_text("utf-8").split())


@proves("containers", sees="uid 10001, all capabilities dropped, a root that cannot be written (compose file)")
def test_containers_run_as_a_user_on_a_root_that_cannot_be_written() -> None:
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text("utf-8"))
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert set(service["tmpfs"]) == {"/tmp"} | ({"/var/run/postgresql"} if name == "postgres" else set()), name
    assert "\nUSER htw\n" in (REPOSITORY / "Dockerfile").read_text("utf-8")


@pytest.mark.long
@proves("containers", sees="a poll works where nothing but the data folder and /tmp can be written")
def test_a_poll_writes_nothing_outside_its_data_folder() -> None:
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a root that cannot be written takes the right to mount")
    with running_sandbox(SandboxSettings(coins=2, positions=60, orders=30)) as sandbox, TemporaryDirectory() as folder:
        data = Path(folder)
        result = subprocess.run(
            ["unshare", "--mount", "sh", "-c", inspect.cleandoc(READ_ONLY_ROOT), "sh", REPOSITORY, data, sys.executable],
            env=Htw(sandbox.api_url, sandbox.token, data).environment(coins="BTC"), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        assert query(data / "published" / "hypertracker.duckdb", "select count(*) as n from dim_coin")["n"][0] > 0


READ_ONLY_ROOT = """
    mount --make-rprivate /
    mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"
    mount --bind "$2" "$2"
    mount -o remount,bind,ro /
    cd "$2"
    touch "$1/x" 2>/dev/null && exit 9
    exec "$3" -m orchestration.cli poll coins
"""
