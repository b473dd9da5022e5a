"""A private PostgreSQL, of the binaries that the distribution has: on a free port of loopback, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from orchestration.services import LOOPBACK, free_port

USER, PASSWORD, DATABASE = "dagster", "pass:5ec/7e7@x", "dagster"
# Which account owns the server where these tests run as root, which PostgreSQL refuses.
OWNER = os.environ.get("HTW_TEST_POSTGRES_OWNER", "postgres")


def binaries() -> Path | None:
    """The folder of the newest PostgreSQL here; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda file: int(file.parts[-3]))
    on_path = shutil.which("pg_ctl")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def required_binaries() -> Path:
    """The same; where there are none, the test that asks is skipped."""
    if (found := binaries()) is None:
        pytest.skip("no PostgreSQL is installed here (Debian: apt-get install postgresql)")
    return found


@dataclass(frozen=True)
class Cluster:
    """A server that can be stopped and started again; its only user logs in with a password."""

    folder: Path
    port: int
    bin: Path

    @property
    def address(self) -> str:
        """Without the password."""
        return f"postgresql://{USER}@{LOOPBACK}:{self.port}/{DATABASE}"

    def start(self) -> None:
        options = f"-c listen_addresses={LOOPBACK} -c port={self.port} -c unix_socket_directories={self.folder}"
        self._run("pg_ctl", "-D", str(self.data), "-l", str(self.folder / "log"), "-o", options, "-w", "start")

    def stop(self, mode: str = "fast") -> None:
        """`immediate` is as a kill: nothing is written that was not written yet."""
        self._run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "stop")

    def ask(self, sql: str) -> str:
        """What a query answers, unaligned."""
        where = [f"--host={LOOPBACK}", f"--port={self.port}", f"--username={USER}", DATABASE]
        return self._run("psql", "--no-password", "--tuples-only", "--no-align", "--command", sql, *where)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def create(self) -> None:
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        if os.geteuid() == 0:
            shutil.chown(self.folder, OWNER)
            shutil.chown(secret, OWNER)
        self._run(
            "initdb", "-D", str(self.data), "--username", USER, "--pwfile", str(secret), "--auth", "scram-sha-256", "--no-sync"
        )

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [self.bin / program, *arguments], cwd=self.folder, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=120, check=False, user=OWNER if os.geteuid() == 0 else None,
            env={"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD, "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        assert done.returncode == 0, f"{program}: {done.stdout}"
        return done.stdout


@contextmanager
def running_cluster(bin: Path) -> Iterator[Cluster]:
    """A fresh server with the database of Dagster in it; gone at the end."""
    with TemporaryDirectory(prefix="postgres") as folder:
        cluster = Cluster(Path(folder), free_port(), bin)
        cluster.create()
        cluster.start()
        try:
            cluster._run(
                "createdb", f"--host={LOOPBACK}", f"--port={cluster.port}", f"--username={USER}", "--no-password", DATABASE
            )
            yield cluster
        finally:
            cluster.stop("immediate")
