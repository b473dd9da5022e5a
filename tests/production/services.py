"""The services of the compose file as processes of this machine; commands, settings, health checks and order are read from it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from orchestration.services import LOOPBACK, free_port
from sandbox import Sandbox
from tests.integration.processes import REPOSITORY
from tests.production.cluster import DATABASE, PASSWORD, USER, Cluster

COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text("utf-8"))
# In the order of `depends_on`.
NAMES = ("code", "daemon", "webserver")
GRACE_S = {name: float(COMPOSE["services"][name]["stop_grace_period"].removesuffix("s")) for name in NAMES}
PATIENCE_S = 900.0
RUNS = "{ runsOrError(limit: 100) { ... on Runs { results { runId jobName status tags { key value } } } } }"
LAUNCH = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
LOCATION = "orchestration.definitions"
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


@dataclass
class Services:
    """Started one by one, as the compose file says; what they print goes to a file each."""

    folder: Path
    cluster: Cluster
    sandbox: Sandbox
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    code_port: int = field(default_factory=free_port)
    ui_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.data_dir.mkdir()
        self.secrets.mkdir()
        (self.secrets / "hypertracker_token").write_text(self.sandbox.token)
        (self.secrets / "dagster_password").write_text(PASSWORD)

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    def local(self, text: str) -> str:
        """A value of the compose file, with this machine's places for those inside the containers."""
        places = {
            "/data": str(self.data_dir), "/run/secrets": str(self.secrets), "0.0.0.0": LOOPBACK,
            f"{USER}@postgres:5432/{DATABASE}": f"{USER}@{LOOPBACK}:{self.cluster.port}/{DATABASE}",
            "code:4000": f"{LOOPBACK}:{self.code_port}", "4000": str(self.code_port),
            "127.0.0.1:3000": f"{LOOPBACK}:{self.ui_port}", "3000": str(self.ui_port),
        }  # fmt: skip
        for there, here in places.items():
            if there == text or (there in text and not there.isdigit()):
                return text.replace(there, here)
        return "" if text.startswith("${") else text

    def environment(self, name: str) -> dict[str, str]:
        """What the service is given by the compose file; only the code server is told of the API, with little to poll."""
        outside = {variable: value for variable, value in os.environ.items() if not variable.startswith(("HTW_", "DAGSTER_"))}
        given = {variable: self.local(value) for variable, value in COMPOSE["services"][name]["environment"].items()}
        polled = {"HTW_API_URL": self.sandbox.api_url, "HTW_PLAN": "1000000/day", "HTW_COINS": "BTC,ETH"}
        polled |= {"HTW_DATASETS": "order_snapshots,coins"}
        return outside | given | {variable: value for variable, value in polled.items() if variable in given}

    def command(self, words: list[str]) -> list[str]:
        program, *arguments = map(self.local, words)
        return [sys.executable if program == "python" else str(Path(sys.executable).parent / program), *arguments]

    def start(self, *names: str) -> None:
        """Start services in order, each as soon as the ones it needs are healthy; return when all are."""
        for name in names:
            with (self.folder / f"{name}.log").open("ab") as log:
                self.children[name] = subprocess.Popen(
                    self.command(COMPOSE["services"][name]["command"]), env=self.environment(name), cwd=self.folder,
                    stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
            wait_until(lambda name=name: self.is_healthy(name), f"{name} healthy")  # type: ignore[misc]

    def is_healthy(self, name: str) -> bool:
        assert self.children[name].poll() is None, f"{name} ended by itself: {self.said(name)[-2000:]}"
        check = self.command(COMPOSE["services"][name]["healthcheck"]["test"][1:])
        return (
            subprocess.run(check, env=self.environment(name), cwd=self.folder, capture_output=True, check=False).returncode == 0
        )

    def stop(self, *names: str) -> dict[str, float]:
        """Ask services to stop, and wait for as long as the compose file does; the seconds each took."""
        begun, took = time.monotonic(), {}
        for name in names:
            self.children[name].terminate()
        for name in names:
            self.children[name].wait(timeout=max(0.1, begun + GRACE_S[name] - time.monotonic()))
            took[name] = time.monotonic() - begun
        return took

    def kill(self, *names: str) -> None:
        """End services with all below them, as losing a container does."""
        for name in names:
            with suppress(ProcessLookupError):
                os.killpg(self.children[name].pid, signal.SIGKILL)
            self.children[name].wait()

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text("utf-8", errors="replace")

    def ui(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self.ui_port}{path}", timeout=30) as answer:
            return str(answer.read().decode("utf-8"))

    def ask(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What the web UI's GraphQL answers."""
        request = urllib.request.Request(
            f"http://{LOOPBACK}:{self.ui_port}/graphql", json.dumps({"query": query, "variables": variables or {}}).encode(),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=60) as answer:
            answered: dict[str, Any] = json.load(answer)
        assert "errors" not in answered, answered["errors"]
        return dict(answered["data"])

    def runs(self) -> dict[str, dict[str, Any]]:
        """Every run by its id: job, status, tags."""
        found = self.ask(RUNS)["runsOrError"]["results"]
        return {run["runId"]: run | {"tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in found}

    def launch(self, job: str, slot: str) -> str:
        """The id of a run of this slot, asked for as a person in the UI does."""
        params = {
            "selector": {"repositoryLocationName": LOCATION, "repositoryName": "__repository__", "jobName": job},
            "runConfigData": {}, "executionMetadata": {"tags": [{"key": "dagster/partition", "value": slot}]},
        }  # fmt: skip
        launched = self.ask(LAUNCH, {"params": params})["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def status(self, run_id: str) -> str:
        return str(self.runs()[run_id]["status"])


def wait_until(is_so: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
    """Look every half second. Fails where it takes too long."""
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, f"not {what} within {seconds:.0f} s"
        time.sleep(0.5)
