"""What every exchange with a host has: certificates, deadlines, caps, and httpx's errors in our words.

Belongs here: httpx, whatever is asked of it. Does not: what is asked and what becomes of it (`client`).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType

import httpx

from orchestration.hypertracker.errors import ServerError, TooLargeError, TransportError, UnsafeLinkError
from orchestration.hypertracker.links import joined
from orchestration.hypertracker.tally import Bounds

ERROR_BODY_BYTES = 4096
REDIRECTS = (301, 302, 303, 307, 308)


@cache
def certificates() -> ssl.SSLContext:
    """Whom to trust; reading it takes longer than most requests, so every client of the process shares it."""
    return httpx.create_ssl_context()


async def check_location(answer: httpx.Response) -> None:
    """httpx reads every `Location` before we do, and fails on what is no URL with errors that mean something else."""
    if "location" in answer.headers:
        joined(answer.request.url, answer.headers["location"])


def http_client(
    bounds: Bounds,
    connections: int,
    base_url: str = "",
    headers: Mapping[str, str] = MappingProxyType({}),
    trust_env: bool = True,
) -> httpx.AsyncClient:
    """One that waits no longer than the bounds say, and follows no redirect by itself."""
    return httpx.AsyncClient(
        base_url=base_url,
        # gzip alone, because zstd and brotli inflate a few bytes to gigabytes in one step.
        headers={"Accept-Encoding": "gzip", **headers},
        timeout=httpx.Timeout(bounds.read_s, connect=bounds.connect_s, pool=None),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        verify=certificates(),
        event_hooks={"response": [check_location]},
        trust_env=trust_env,
    )


def onward_address(answer: httpx.Response) -> str | None:
    """Where a redirect leads, as it says; None for any other answer."""
    return answer.headers["location"] if answer.status_code in REDIRECTS and "location" in answer.headers else None


def content_type(answer: httpx.Response) -> str:
    """As the answer calls its body, without parameters; empty where it does not say."""
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


@contextlib.contextmanager
def transport_errors(host: str) -> Iterator[None]:
    """httpx's errors as ours; their texts may hold a URL, so only the kind and the host are repeated."""
    try:
        yield
    except httpx.InvalidURL:
        raise UnsafeLinkError(f"{host} names an address that is no URL") from None
    except httpx.HTTPError as error:
        raise TransportError(f"{host}: {_words(error)}") from None


def _words(error: httpx.HTTPError) -> str:
    kinds: Sequence[tuple[type[Exception], str]] = (
        (httpx.ConnectTimeout, "no connection in time"),
        (httpx.ConnectError, _why_unconnected(error)),
        (httpx.TimeoutException, "silence for too long"),
        (httpx.NetworkError, "the connection was reset"),
        (httpx.RemoteProtocolError, "the answer broke off or is no HTTP"),
        (httpx.DecodingError, "the answer's compression is damaged"),
    )
    return next((words for kind, words in kinds if isinstance(error, kind)), type(error).__name__)


def _why_unconnected(error: BaseException | None) -> str:
    """What the network said, which httpx keeps at the end of a chain of errors."""
    kinds: Sequence[tuple[type[Exception], str]] = (
        (socket.gaierror, "the name is unknown"),
        (ssl.SSLCertVerificationError, "its certificate is not to be trusted"),
        (ConnectionRefusedError, "the connection is refused"),
    )
    while error is not None:
        if words := next((words for kind, words in kinds if isinstance(error, kind)), ""):
            return words
        error = error.__cause__ or error.__context__
    return "no connection"


@contextlib.asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[asyncio.Timeout]:
    """An end to everything inside, however lively it is; it can be put off. Raises `TransportError`."""
    try:
        async with asyncio.timeout(seconds) as end:
            yield end
    except TimeoutError:
        raise TransportError(f"not finished within {seconds:g} s") from None


async def capped(answer: httpx.Response, cap_bytes: int) -> AsyncIterator[bytes]:
    """The body's bytes. Raises `TooLargeError` as soon as the announced or the received length is above the cap."""
    inflated = _inflated_codings(answer)
    if not _is_tame(inflated):
        raise ServerError(f"the answer is compressed as {', '.join(inflated)}, which nobody asked for")
    announced = 0 if inflated else int(answer.headers.get("content-length", "0"))
    if announced > cap_bytes:
        raise TooLargeError(f"{announced:,} bytes are announced, more than {cap_bytes:,}")
    total = 0
    async for chunk in answer.aiter_bytes():
        total += len(chunk)
        if total > cap_bytes:
            raise TooLargeError(f"more than {cap_bytes:,} bytes")
        yield chunk


def _inflated_codings(answer: httpx.Response) -> list[str]:
    """The content codings that httpx undoes of its own accord."""
    codings = answer.headers.get("content-encoding", "").lower().split(",")
    return [coding.strip() for coding in codings if coding.strip() in ("gzip", "deflate", "br", "zstd")]


def _is_tame(codings: list[str]) -> bool:
    """zstd and brotli inflate a few bytes to gigabytes in one step, and two codings multiply what one does."""
    return codings in ([], ["gzip"], ["deflate"])


async def beginning(answer: httpx.Response) -> bytes:
    """The first bytes of an error's text; empty where its compression is not what it says, or not to be trusted."""
    text = b""
    if not _is_tame(_inflated_codings(answer)):
        return text
    with contextlib.suppress(httpx.DecodingError):
        async for chunk in answer.aiter_bytes():
            text += chunk
            if len(text) >= ERROR_BODY_BYTES:
                break
    return text[:ERROR_BODY_BYTES]
