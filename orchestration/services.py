"""The long-running processes, started together and ended together: what `htw up` and `htw dev` supervise.

Belongs here: which processes, with which environment, and their orderly end. Does not: what they serve (`definitions`).
Each child gets default signal handling: one started by a shell with `&` would ignore the request to stop. It is asked to stop, on
Linux, also when this process is killed: a daemon that nobody watches would poll on.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import NoReturn

from orchestration.reconciler import free_lost_runs
from orchestration.runs import dagster_instance
from orchestration.settings import Settings
from orchestration.sole import sole_for_good
from warehouse.connection import WarehouseLockedError

GRACE_S = 10.0
LOOK_EVERY_S = 0.5
LOOPBACK = "127.0.0.1"
MODULE = "orchestration.definitions"
DAEMON = "daemon"
# PR_SET_PDEATHSIG of prctl(2).
END_WITH_PARENT = 1


@dataclass(frozen=True)
class Service:
    """One process: its name, command and additional environment."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


def dagster_services(settings: Settings, host: str, port: int) -> list[Service]:
    """Daemon and web UI over this code location, below the data folder's Dagster home."""
    environment = {"DAGSTER_HOME": str(settings.dagster_home), "DAGSTER_DISABLE_TELEMETRY": "1"}
    script = [sys.executable, "-m"]
    return [
        Service(DAEMON, [*script, "dagster._daemon", "run", "-m", MODULE], environment),
        Service("webserver", [*script, "dagster_webserver", "-m", MODULE, "-h", host, "-p", str(port)], environment),
    ]


def prepare_home(settings: Settings) -> tuple[int, list[str]]:
    """Make Dagster's home ready for a daemon that is about to start: a descriptor that keeps other daemons away for as long as
    one that inherits it lives, and the runs that an earlier stop cut off.

    Raises `WarehouseLockedError` where the data folder has a daemon.
    """
    lock_file = settings.data_dir / "daemon.lock"
    lock = sole_for_good(lock_file)
    if lock is None:
        raise WarehouseLockedError(
            f"{settings.data_dir} has a daemon already (process {lock_file.read_text()})",
            "stop it first, or set another HTW_DATA_DIR",
        )
    with dagster_instance(settings.dagster_home) as instance:
        return lock, free_lost_runs(instance)


def become(service: Service) -> NoReturn:
    """Turn this process into a service, so that whoever supervises it speaks to it directly."""
    os.execvpe(service.command[0], list(service.command), {**os.environ, **service.environment})


def sandbox_service(coins: int, positions: int, orders: int, api_port: int, storage_port: int) -> Service:
    """A local HyperTracker whose clock is the machine's."""
    sizes = ["--coins", str(coins), "--positions", str(positions), "--orders", str(orders)]
    ports = ["--api-port", str(api_port), "--storage-port", str(storage_port)]
    return Service("sandbox", [sys.executable, "-m", "sandbox", *sizes, *ports])


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def supervise(services: Sequence[Service], settings: Settings, say: Callable[[str], None]) -> int:
    """Run services until one ends or a signal asks to stop; then end all. 0 after a signal, 1 when a service died.

    Raises `WarehouseLockedError` where the data folder has a daemon.
    """
    lock, lost = prepare_home(settings)
    if lost:
        say(f"{len(lost)} runs that an earlier stop cut off were marked failed")
    stop = _stop_flag()
    children = {service.name: _start(service, [lock] if service.name == DAEMON else []) for service in services}
    try:
        while not stop:
            dead = [name for name, child in children.items() if child.poll() is not None]
            if dead:
                say(f"{', '.join(dead)} ended by itself; stopping the others")
                return 1
            time.sleep(LOOK_EVERY_S)
        return 0
    finally:
        _end(list(children.values()))


def _start(service: Service, descriptors: Sequence[int]) -> subprocess.Popen[bytes]:
    def in_child() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGTERM)

    environment = {**os.environ, **service.environment}
    return subprocess.Popen(service.command, env=environment, preexec_fn=in_child, start_new_session=True, pass_fds=descriptors)


def _stop_flag() -> list[int]:
    """A list that is empty until a signal asks to stop."""
    received: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    return received


def _end(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            child.terminate()
    deadline = time.monotonic() + GRACE_S
    for child in children:
        try:
            child.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
