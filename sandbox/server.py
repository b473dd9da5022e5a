"""Two hosts on two ports in one background thread: the API, and the storage its links point to.

What they answer belongs to `sandbox.api`, `storage` and `control`; this file only moves bytes.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from email.utils import format_datetime
from typing import Any

import uvicorn
from starlette.concurrency import run_in_threadpool
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sandbox.api.router import answer
from sandbox.clock import SandboxClock
from sandbox.control import CONTROL_PREFIX, control
from sandbox.core import Core, RequestRecord
from sandbox.faults import FaultBoard
from sandbox.market.market import Market
from sandbox.settings import SandboxSettings
from sandbox.storage import serve_link
from sandbox.wire import Exchange, Leg, Reply, json_reply

_TRANSPORT = "sandbox.transport"
_START_TIMEOUT_S = 20.0
# A reset discards what the other side has not read yet.
_ON_ITS_WAY_S = 0.05


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol that lets the application reset its connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"][_TRANSPORT] = self.transport


class Host:
    """One ASGI application: the API leg or the storage leg."""

    def __init__(self, core: Core, leg: Leg) -> None:
        """Serve one leg of a sandbox."""
        self._core = core
        self._leg: Leg = leg

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        exchange = self._exchange(scope)
        if self._leg == "api" and exchange.path.startswith(CONTROL_PREFIX):
            reply = control(self._core, exchange, scope["method"], await _read_body(receive))
        else:
            reply = await self._reply(exchange, scope["method"])
            self._record(exchange, reply)
        await self._send(reply, scope, send)

    def _exchange(self, scope: dict[str, Any]) -> Exchange:
        headers = dict(scope["headers"])
        authorization = headers.get(b"authorization")
        return Exchange(
            core=self._core,
            leg=self._leg,
            path=scope["raw_path"].decode("latin-1"),
            query_string=scope["query_string"].decode("latin-1"),
            authorization=None if authorization is None else authorization.decode("latin-1"),
            now_ms=self._core.clock.now_ms(),
        )

    async def _reply(self, exchange: Exchange, method: str) -> Reply:
        if method != "GET":
            return json_reply({"statusCode": 405, "message": "Method Not Allowed"}, 405)
        faults = self._core.faults
        if self._leg == "storage":
            return await faults.around(exchange, lambda: run_in_threadpool(serve_link, exchange))
        if exchange.authorization != f"Bearer {self._core.token}":
            return json_reply({"statusCode": 401, "message": "Unauthorized"}, 401)
        refusal = self._core.meter.charge(exchange.now_ms)
        return refusal or await faults.around(exchange, lambda: run_in_threadpool(answer, exchange))

    def _record(self, exchange: Exchange, reply: Reply) -> None:
        has_auth = exchange.authorization is not None
        status = 0 if reply.reset and reply.cut_at is None else reply.status
        self._core.record(RequestRecord(self._core.clock.now(), exchange.target, status, self._leg, has_auth))

    async def _send(self, reply: Reply, scope: dict[str, Any], send: Any) -> None:
        if reply.reset and reply.cut_at is None:
            await _reset(scope["state"][_TRANSPORT])
            return
        headers = {
            "date": format_datetime(self._core.clock.now().astimezone(UTC), usegmt=True),
            "content-length": str(len(reply.body)),
            **({"content-type": reply.content_type} if reply.content_type else {}),
            **{name.lower(): value for name, value in reply.headers.items()},
        }
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": pairs})
        await asyncio.sleep(reply.mute_s)
        # An unfinished body makes uvicorn close the connection, which is what a cut is.
        body = reply.body if reply.cut_at is None else reply.body[: reply.cut_at]
        if reply.drip:
            for start in range(0, len(body), reply.drip[0]):
                await send({"type": "http.response.body", "body": body[start : start + reply.drip[0]], "more_body": True})
                await asyncio.sleep(reply.drip[1])
            body = b""
        await send({"type": "http.response.body", "body": body, "more_body": reply.cut_at is not None})
        if reply.reset:
            await asyncio.sleep(_ON_ITS_WAY_S)
            await _reset(scope["state"][_TRANSPORT])


async def _read_body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _reset(transport: Any) -> None:
    # Zero linger makes the close a TCP reset instead of an orderly end.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await asyncio.sleep(0.01)


class Sandbox:
    """A running sandbox, as `running_sandbox` gives it."""

    def __init__(self, core: Core, api_url: str, storage_url: str) -> None:
        """Name the parts a user needs."""
        self.core = core
        self.api_url = api_url
        self.storage_url = storage_url

    @property
    def token(self) -> str:
        """Give the token that the API accepts now."""
        return self.core.token

    @property
    def market(self) -> Market:
        """Give the market, for its truth."""
        return self.core.market

    @property
    def clock(self) -> SandboxClock:
        """Give the clock."""
        return self.core.clock

    @property
    def faults(self) -> FaultBoard:
        """Give the faults in force."""
        return self.core.faults

    def usage(self) -> dict[str, Any]:
        """Give the requests counted in the present minute, day and month of sandbox time."""
        return self.core.meter.usage(self.core.clock.now_ms())

    def requests(self) -> list[RequestRecord]:
        """Give all requests so far, oldest first, those to the control paths left out."""
        return self.core.requests()


def _listen(host: str, port: int) -> socket.socket:
    # asyncio turns Nagle's delay off only where the protocol is named.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()
    return f"http://{host}:{port}"


@contextmanager
def running_sandbox(settings: SandboxSettings | None = None) -> Iterator[Sandbox]:
    """Serve a sandbox from a background thread until the block ends. Raises OSError where a port is taken."""
    settings = settings or SandboxSettings()
    core = Core(settings)
    api, storage = _listen(settings.host, settings.api_port), _listen(settings.host, settings.storage_port)
    core.links.base_url = _url(storage)
    servers = [uvicorn.Server(_config(Host(core, "api"))), uvicorn.Server(_config(Host(core, "storage")))]

    async def serve() -> None:
        await asyncio.gather(servers[0].serve([api]), servers[1].serve([storage]))

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="sandbox", daemon=True)
    thread.start()
    try:
        _await_start(servers, thread)
        yield Sandbox(core, _url(api), _url(storage))
    finally:
        for server in servers:
            server.should_exit = server.force_exit = True
        thread.join()
        api.close()
        storage.close()


def _config(host: Host) -> uvicorn.Config:
    return uvicorn.Config(
        host,
        http=_Protocol,
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        date_header=False,
        server_header=False,
        backlog=1024,
        timeout_keep_alive=60,
    )


def _await_start(servers: list[uvicorn.Server], thread: threading.Thread) -> None:
    pause = threading.Event()
    for _ in range(int(_START_TIMEOUT_S / 0.01)):
        if all(server.started for server in servers):
            return
        if not thread.is_alive():
            break
        pause.wait(0.01)
    raise RuntimeError("the sandbox did not start listening")
