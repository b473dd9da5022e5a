"""The `htw` command and other real processes, for tests."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 540.0
END_S = 10.0
# For the code of a process: `getrusage` tells of the peak of whoever started it too.
PEAK_MIB = """
def peak_mib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) >> 10 for line in status if line.startswith("VmHWM"))
"""


@dataclass(frozen=True)
class Htw:
    """`htw` against one API with one data folder; neither a `.env` nor a variable of whoever runs the tests is seen."""

    api_url: str
    token: str
    data_dir: Path

    def environment(self, **changes: str) -> dict[str, str]:
        """Changes are settings without their prefix: `coins="BTC"`."""
        ours = {"api_url": self.api_url, "api_token": self.token, "data_dir": str(self.data_dir), "plan": "1000000/day"}
        outside = {name: value for name, value in os.environ.items() if not name.startswith("HTW_")}
        return (
            outside | {"PYTHONPATH": str(REPOSITORY)} | {f"HTW_{name.upper()}": value for name, value in (ours | changes).items()}
        )

    def __call__(self, *arguments: str, stdin: str = "", **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments), env=self.environment(**changes), cwd=self.data_dir.parent, input=stdin, text=True,
            capture_output=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip

    def start(self, *arguments: str, **changes: str) -> subprocess.Popen[bytes]:
        """The same without waiting for its end; what it says is dropped."""
        return subprocess.Popen(
            command(*arguments), env=self.environment(**changes), cwd=self.data_dir.parent,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


def end(process: subprocess.Popen[Any]) -> None:
    """Ask a process to end, and kill it where it does not: below a shell's background job some ignore `SIGTERM`."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_S)
    process.kill()


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "orchestration.cli", *arguments]


@contextmanager
def python_process(code: str, *arguments: Any, environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has reached its first `print()`; killed at the end. Its code may ask for `peak_mib()`."""
    with subprocess.Popen(
        [sys.executable, "-c", PEAK_MIB + textwrap.dedent(code), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **(environment or {})},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        try:
            assert child.stdout.readline(), "it ended before it said anything"
            yield child
        finally:
            child.kill()
