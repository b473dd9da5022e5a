"""A Superset of its own on loopback: home, tables and secret in a folder of the test; its API, as a script would use it.

Belongs here: starting it, logging in, asking. Does not: what is expected of it (`test_superset`), its packages (requirements.lock
beside this file, which `make bi-test` installs into an environment of their own: Superset needs another SQLAlchemy).
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from orchestration.services import LOOPBACK, free_port
from tests.integration.processes import REPOSITORY, end

BIN = REPOSITORY / ".venv" / "bi" / "bin"
USER, PASSWORD = "analyst", "analyst"
SETUP_S, START_S, ANSWER_S = 300, 120, 60
ROWS = 10_000
CONFIG = "SECRET_KEY = {secret!r}\nSQLALCHEMY_DATABASE_URI = {tables!r}\n"
WHO = f"--username {USER} --password {PASSWORD} --firstname An --lastname Analyst --email analyst@example.org".split()
SETUP = (("db", "upgrade"), ("fab", "create-admin", *WHO), ("init",))


class RefusedError(Exception):
    """Superset answered with an error; its words."""


@dataclass
class Superset:
    """The API of a running server, logged in as an administrator."""

    address: str
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=f"{self.address}/api/v1", timeout=ANSWER_S, headers={"Referer": self.address})
        who = {"username": USER, "password": PASSWORD, "provider": "db", "refresh": False}
        self.client.headers["Authorization"] = f"Bearer {self._post('security/login', who)['access_token']}"
        self.client.headers["X-CSRFToken"] = self._said(self.client.get("security/csrf_token/"))["result"]

    def register(self, name: str, uri: str) -> int:
        """A database for charts and the SQL editor; its number. Superset itself lets every statement through to it."""
        form = {"database_name": name, "sqlalchemy_uri": uri, "expose_in_sqllab": True, "allow_dml": True}
        return int(self._post("database/", form)["id"])

    def schemas(self, database: int) -> list[str]:
        return list(self._said(self.client.get(f"database/{database}/schemas/"))["result"])

    def ask(self, database: int, sql: str) -> list[dict[str, Any]]:
        """The rows of a statement typed into the SQL editor."""
        form = {"database_id": database, "sql": sql, "client_id": uuid.uuid4().hex[:10], "runAsync": False, "queryLimit": ROWS}
        return list(self._post("sqllab/execute/", form)["data"])

    def dataset(self, database: int, schema: str, name: str, sql: str | None = None) -> int:
        """A table of the database, or a question over it, as what charts are drawn from."""
        form = {"database": database, "schema": schema, "table_name": name} | ({"sql": sql} if sql else {})
        return int(self._post("dataset/", form)["id"])

    def columns(self, dataset: int) -> dict[str, str | None]:
        """Descriptions of a dataset's columns by name."""
        found = self._said(self.client.get(f"dataset/{dataset}"))["result"]["columns"]
        return {column["column_name"]: column["description"] for column in found}

    def chart(self, name: str, dataset: int, form: Mapping[str, Any]) -> int:
        params = {**form, "datasource": f"{dataset}__table"}
        body = {
            "slice_name": name, "viz_type": form["viz_type"], "datasource_id": dataset, "datasource_type": "table",
            "params": json.dumps(params),
        }  # fmt: skip
        return int(self._post("chart/", body)["id"])

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._said(self.client.post(path, json=body))

    def _said(self, answer: httpx.Response) -> dict[str, Any]:
        if answer.is_error:
            raise RefusedError(answer.text)
        found: dict[str, Any] = answer.json()
        return found


@contextmanager
def running(folder: Path, settings: str) -> Iterator[Superset]:
    """A fresh server with one user; `settings` are lines of its superset_config.py. All that it writes is below `folder`."""
    assert BIN.exists(), "Superset is not installed: run `make bi-test`"
    environment = _settled(folder, settings)
    for arguments in SETUP:
        done = _superset(environment, folder, *arguments)
        assert done.returncode == 0, f"superset {' '.join(arguments[:2])}: {done.stdout[-3000:]}"
    port = free_port()
    with (folder / "log").open("w") as log:
        command = [BIN / "gunicorn", "--bind", f"{LOOPBACK}:{port}", "--worker-class", "gthread", "--threads", "4"]
        server = subprocess.Popen(
            [*command, "superset.app:create_app()"], env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _await(f"http://{LOOPBACK}:{port}/health", server, folder / "log")
            yield Superset(f"http://{LOOPBACK}:{port}")
        finally:
            end(server)
            server.wait()


def _settled(folder: Path, settings: str) -> dict[str, str]:
    """Settings written below `folder`, and an environment in which nothing else is found."""
    config = folder / "superset_config.py"
    own = CONFIG.format(secret=uuid.uuid4().hex, tables=f"sqlite:///{folder}/superset.db")
    config.write_text(f"{own}\n{settings}", "utf-8")
    return {
        "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(folder), "SUPERSET_HOME": str(folder),
        "SUPERSET_CONFIG_PATH": str(config), "FLASK_APP": "superset.app:create_app()", "PYTHONPATH": str(REPOSITORY),
    }  # fmt: skip


def _superset(environment: Mapping[str, str], folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "superset", *arguments], env=dict(environment), cwd=folder, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SETUP_S, check=False,
    )  # fmt: skip


def _await(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        with suppress(httpx.TransportError):
            if httpx.get(address).is_success:
                return
        if server.poll() is not None:
            break
        time.sleep(0.2)
    raise AssertionError(f"nothing answers at {address}: {log.read_text('utf-8')[-3000:]}")
