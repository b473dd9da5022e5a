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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import NoReturn

from orchestration.reconciler import free_lost_runs, limit_pools
from orchestration.runs import MODULE, dagster_instance, write_workspace
from orchestration.settings import Settings, SettingsError
from orchestration.sole import sole_for_good
from warehouse.connection import WarehouseLockedError

GRACE_S = 10.0
UI_PORT = 3000
LOOK_EVERY_S = 0.5
LOOPBACK = "127.0.0.1"
DAEMON, WEBSERVER, CODE = "daemon", "webserver", "code"
SPOKEN = {DAEMON: "daemon", CODE: "code server"}
# PR_SET_PDEATHSIG of prctl(2).
END_WITH_PARENT = 1


@dataclass(frozen=True)
class Service:
    """One process: its name, command and additional environment."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


def dagster_services(settings: Settings, host: str, port: int) -> list[Service]:
    """Daemon and web UI below the data folder's Dagster home, with the definitions of the code server where there is one."""
    address = settings.code_address
    code = ["-m", MODULE] if address is None else ["-w", str(write_workspace(settings, address))]
    return [
        _dagster_service(settings, DAEMON, "dagster._daemon", "run", *code),
        _dagster_service(settings, WEBSERVER, "dagster_webserver", *code, "-h", host, "-p", str(port)),
    ]


def service_named(name: str, settings: Settings, host: str, port: int | None) -> Service:
    """One of code, daemon and webserver. Raises `SettingsError` for a code server that nobody would ask."""
    if name == CODE:
        return code_service(settings, host, port)
    return next(found for found in dagster_services(settings, host, port or UI_PORT) if found.name == name)


def code_service(settings: Settings, host: str, port: int | None = None) -> Service:
    """The definitions served over gRPC; runs are processes below it, because Dagster starts them where the code is.

    Whoever reaches the port can start runs: it has no login. Raises `SettingsError` where HTW_CODE_SERVER is not set.
    """
    if settings.code_address is None:
        raise SettingsError(
            "HTW_CODE_SERVER is not set, so no daemon would ask this server; set it for all services to the HOST:PORT where they "
            "reach it, such as 127.0.0.1:4000"
        )
    where = ["-h", host, "-p", str(port or settings.code_address[1])]
    return _dagster_service(settings, CODE, "dagster", "api", "grpc", "-m", MODULE, "--location-name", MODULE, *where)


def _dagster_service(settings: Settings, name: str, module: str, *arguments: str) -> Service:
    environment = {"DAGSTER_HOME": str(settings.dagster_home), "DAGSTER_DISABLE_TELEMETRY": "1"}
    return Service(name, [sys.executable, "-m", module, *arguments], environment)


def prepare_home(settings: Settings, service: str = DAEMON) -> tuple[list[int], list[str]]:
    """Make Dagster's home ready for a daemon or a code server that is about to start: descriptors that keep others away for as
    long as one that inherits them lives, and the runs that an earlier stop cut off.

    Runs live and end with the code server, where there is one: only its start tells that those under way are lost. Those in
    containers or pods outlive it; Dagster's monitoring asks after them.
    Raises `WarehouseLockedError` where the data folder has such a service.
    """
    locks = [_only_one(settings, service)]
    if settings.are_runs_elsewhere or (service == DAEMON and settings.code_address is not None):
        with dagster_instance(settings) as instance:
            limit_pools(instance)
            return locks, []
    locks += [_only_one(settings, CODE)] if service == DAEMON else []
    with dagster_instance(settings) as instance:
        return locks, free_lost_runs(instance)


@contextlib.contextmanager
def without_services(settings: Settings) -> Iterator[None]:
    """Keep daemon and code server away from the data folder. Raises `WarehouseLockedError` where it has one."""
    with contextlib.ExitStack() as held:
        for service in (DAEMON, CODE):
            held.callback(os.close, _only_one(settings, service))
        yield


def _only_one(settings: Settings, service: str) -> int:
    lock_file = settings.data_dir / f"{service}.lock"
    lock = sole_for_good(lock_file)
    if lock is None:
        raise WarehouseLockedError(
            f"{settings.data_dir} has a {SPOKEN[service]} already (process {lock_file.read_text()})",
            "stop it first, or set another HTW_DATA_DIR",
        )
    return lock


def become(service: Service) -> NoReturn:
    """Turn this process into a service, so that whoever supervises it speaks to it directly.

    Signals get their usual meaning: a code server started by a script with `&` would ignore the request to stop.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
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
    locks, lost = prepare_home(settings)
    if lost:
        say(f"{len(lost)} runs that an earlier stop cut off were marked failed")
    stop = _stop_flag()
    children = {service.name: _start(service, locks if service.name == DAEMON else []) for service in services}
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
