"""Processes that do the pipeline's work and can be killed at a named step of it: real code, real processes, real SIGKILL.

Belongs here: a warm parent that forks a worker for each order (to import everything anew would cost seconds a kill), and the
other end of its pipe. Does not: what must hold afterwards (the tests).

A step is `module:name:when:count`: the worker kills itself `before` or `after` the count-th call of that function; `sql:TEXT`
stands for a statement that begins so on the working file.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120 - for PYTHONPATH
# What a worker would import for itself, in seconds.
WARM = (
    "httpx", "httpcore", "pandas", "anyio._backends._asyncio", "dbt.cli.main", "dbt.task.build", "dbt.runners", "sqlparse",
    "dbt.adapters.duckdb.connections", "orchestration.pipeline", "orchestration.modelling",
)  # fmt: skip


@dataclass
class Parent:
    """The warm process; one worker at a time."""

    process: subprocess.Popen[str]

    def start(self, settings: dict[str, Any], now: datetime, *verbs: str, step: str = "") -> int:
        """A worker that does the verbs (`poll SLOT DATASET ...`, `load`, `build`, `publish`) at one instant; its pid."""
        order = {"settings": settings, "now": now.isoformat(), "verbs": verbs, "step": step}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def wait(self) -> int:
        """How the worker ended: its exit status, or minus the signal."""
        return self._answer()

    def __call__(self, settings: dict[str, Any], now: datetime, *verbs: str, step: str = "") -> int:
        self.start(settings, now, *verbs, step=step)
        return self.wait()

    def _answer(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


@contextmanager
def warm_parent() -> Iterator[Parent]:
    """A parent that has imported everything; ended with the block."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("HTW_")}
    # What multiprocessing says of the semaphores of the dead is no news here.
    environment = {**outside, "PYTHONPATH": REPOSITORY, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "tests.reliability.mortal"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=REPOSITORY,
        preexec_fn=_as_in_the_background,
    ) as process:  # fmt: skip
        parent = Parent(process)
        assert parent._answer() == process.pid
        try:
            yield parent
        finally:
            process.kill()


def _as_in_the_background() -> None:
    """What a script's `&` does to the processes that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def serve() -> None:
    """Read orders, fork a worker for each, say its pid and how it ended."""
    for module in WARM:
        importlib.import_module(module)
    print(os.getpid(), flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            os._exit(_work(json.loads(line)))
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _work(order: dict[str, Any]) -> int:
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    try:
        if order["step"]:
            _arm(order["step"])
        _do(order)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _do(order: dict[str, Any]) -> None:
    from orchestration.clock import SteppedClock
    from orchestration.hypertracker.datasets import BY_NAME
    from orchestration.modelling import raise_for_failures
    from orchestration.pipeline import Pipeline
    from orchestration.runs import hear_termination
    from orchestration.settings import load_settings

    hear_termination()
    now = [datetime.fromisoformat(order["now"])]
    pipeline = Pipeline(load_settings(**order["settings"]), SteppedClock(lambda: now[-1], now.append))
    for verb, *words in (verb.split() for verb in order["verbs"]):
        if verb == "poll":
            pipeline.poll([BY_NAME[name] for name in words[1:]], datetime.fromisoformat(words[0]), beyond_plan=True)
        elif verb == "build":
            raise_for_failures(pipeline.build())
        else:
            getattr(pipeline, verb)()


def _arm(step: str) -> None:
    place, name, when, count = step.split(":")
    strike = _Strike(when, int(count))
    if place == "sql":
        _watch_statements(name, strike)
        return
    holder: Any = importlib.import_module(place)
    *path, last = name.split(".")
    for part in path:
        holder = getattr(holder, part)
    setattr(holder, last, strike.around(getattr(holder, last)))


@dataclass
class _Strike:
    """Kills this process before or after the call that counts."""

    when: str
    left: int

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*given: Any, **named: Any) -> Any:
                self.pass_by("before")
                result = await function(*given, **named)
                self.pass_by("after")
                return result

            return awaited

        @functools.wraps(function)
        def called(*given: Any, **named: Any) -> Any:
            self.pass_by("before")
            result = function(*given, **named)
            self.pass_by("after")
            return result

        return called

    def pass_by(self, when: str) -> None:
        if when == self.when:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def _watch_statements(text: str, strike: _Strike) -> None:
    from warehouse import connection as module

    connect = module.connect

    class Watched:
        """A connection whose statements are looked at; all else is the connection's."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def execute(self, sql: str, *values: Any) -> Any:
            run = strike.around(self._inner.execute) if " ".join(sql.split()).startswith(text) else self._inner.execute
            return run(sql, *values)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    module.connect = lambda *given, **named: Watched(connect(*given, **named))  # type: ignore[assignment,return-value]


if __name__ == "__main__":
    serve()
