"""Spark in a process of its own, from the environment that `make spark-test` sets up, and what it answers.

Belongs here: starting it, asking, a cluster of one machine. Does not: what is expected of it (the tests), its packages
(requirements.lock beside this file), what runs inside it (`in_spark`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestration.services import LOOPBACK, free_port
from tests.integration.processes import REPOSITORY, end

BIN = REPOSITORY / ".venv" / "spark" / "bin"
INSIDE = Path(__file__).with_name("in_spark.py")
MASTER, WORKER = (f"org.apache.spark.deploy.{part}" for part in ("master.Master", "worker.Worker"))
START_S = 180


@dataclass(frozen=True)
class Engine:
    """A session that answers one question after another."""

    process: subprocess.Popen[str]
    log: Path

    def ask(self, version: Path, sql: str, values: Mapping[str, str] | None = None, zone: str = "UTC") -> list[list[Any]]:
        """The rows of a question in DuckDB's SQL over a version; times as text in UTC, whatever the session's zone."""
        asked = {"version": str(version), "sql": sql, "values": values or {}, "zone": zone}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{json.dumps(asked)}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"Spark has ended: {self.log.read_text('utf-8')[-3000:]}"
        told = json.loads(line)
        assert "error" not in told, told["error"]
        return list(told["rows"])


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """That of a process of Spark's environment: nothing else is found, and all it writes is below the folder.

    Skips the test where there is no Java.
    """
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java 17 or 21, and there is no `java` on the path")
    assert BIN.exists(), "Spark is not installed: run `make spark-test`"
    ours = {"HOME": str(folder), "TZ": "UTC", "LANG": "C.UTF-8", "SPARK_LOCAL_IP": LOOPBACK, "SPARK_LOCAL_DIRS": str(folder)}
    return {"PATH": f"{BIN}:{os.environ['PATH']}", **ours, **settings}


@contextmanager
def running(folder: Path) -> Iterator[Engine]:
    """A fresh session; ended afterwards."""
    settings, log = environment(folder), folder / "log"
    with log.open("w") as errors, subprocess.Popen(
        [BIN / "python", INSIDE], env=settings, cwd=folder, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
    ) as process:  # fmt: skip
        yield Engine(process, log)
        assert process.stdin is not None
        process.stdin.close()


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A standalone cluster of one worker with processes of its own, by its address; somebody must have used it in the end."""
    address, log = f"spark://{LOOPBACK}:{free_port()}", folder / "master.log"
    host = ("--host", LOOPBACK, "--webui-port", "0")
    with ExitStack() as stack:
        master = (MASTER, *host, "--port", address.rpartition(":")[2])
        stack.enter_context(_part(folder, log, *master))
        _await(log, "Successfully started service 'sparkMaster'")
        worker = (WORKER, *host, "--cores", "2", "--memory", "1g", "--work-dir", str(folder / "work"), address)
        stack.enter_context(_part(folder, folder / "worker.log", *worker))
        _await(log, "Registering worker")
        yield address
        assert "Registered app" in log.read_text("utf-8")


@contextmanager
def _part(folder: Path, log: Path, *arguments: str) -> Iterator[None]:
    with log.open("w") as output, subprocess.Popen(
        [BIN / "spark-class", *arguments], env=environment(folder), cwd=folder, stdout=output, stderr=subprocess.STDOUT
    ) as process:  # fmt: skip
        try:
            yield
        finally:
            end(process)


def _await(log: Path, words: str) -> None:
    until = time.monotonic() + START_S
    while words not in log.read_text("utf-8"):
        assert time.monotonic() < until, log.read_text("utf-8")[-3000:]
        time.sleep(0.2)
