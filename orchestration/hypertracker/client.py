"""Asking the API and downloading what it hands over, in one step, within bounds.

Belongs here: requests, retries, redirects and links, streaming to a body store. Does not: what a status means (`answers`),
where links may lead (`links`), where bytes are kept (a `BodyStore`, which the vault gives), or when to ask (`collecting`).

Two HTTP clients: one carries the token and only ever talks to the API host; the other knows no token and fetches
pre-signed links, which live seconds and are never kept or logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Generic, Protocol, Self, TypeVar

import httpx
import stamina
from aiolimiter import AsyncLimiter
from pydantic import SecretStr
from stamina.instrumentation import RetryDetails

from orchestration.hypertracker.answers import api_error, storage_error
from orchestration.hypertracker.endpoint import Dataset, LinkNote
from orchestration.hypertracker.errors import (
    BadRequestError,
    HyperTrackerError,
    LinkExpiredError,
    NotFoundError,
    RateLimitedError,
    TooLargeError,
    TransientError,
    TransportError,
)
from orchestration.hypertracker.links import is_loopback, safe_link
from orchestration.hypertracker.paging import pager_for
from orchestration.hypertracker.redaction import install_redaction

LOGGER = logging.getLogger("hypertracker")
CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0
FETCH_DEADLINE_S = 300.0
MOST_ATTEMPTS = 5
RETRY_SPAN_S = 180.0
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 20.0
MOST_FRESH_LINKS = 2
ERROR_BODY_BYTES = 4096
LINK_BODY_BYTES = 16_384
API_PREFIX = "/api/external"
STATUS_PATH = "/hypertracker/state/status"

PartT = TypeVar("PartT", covariant=True)
StoredT = TypeVar("StoredT")


class Body(Protocol[PartT]):
    """One body being written; `finish` makes it durable and gives the stored part."""

    def write(self, chunk: bytes) -> None: ...
    def finish(self) -> PartT: ...


class BodyStore(Protocol[StoredT]):
    """Where bodies go."""

    def new_body(self) -> contextlib.AbstractContextManager[Body[StoredT]]: ...
    def read(self, part: StoredT) -> bytes: ...


@dataclass(frozen=True)
class ApiAccess:
    """Where to ask, as whom, how fast. `per_minute` 0 means no limit of our own."""

    base_url: str
    token: SecretStr
    storage_hosts: tuple[str, ...] = ()
    per_minute: int = 0
    connections: int = 16


@dataclass
class Tally:
    """What a fetch has cost so far, also when it fails, and what the answer said beside its link."""

    requests: int = 0
    stale_links: int = 0
    notes: dict[str, str] = field(default_factory=dict)


class Client(Generic[StoredT]):
    """An async context manager; one per event loop. All fetches of one client share its rate limit."""

    def __init__(self, access: ApiAccess) -> None:
        install_redaction()
        stamina.instrumentation.set_on_retry_hooks([_note_retry])
        self._access = access
        self._api_url = httpx.URL(access.base_url)
        limits = httpx.Limits(max_connections=access.connections, max_keepalive_connections=access.connections)
        timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S, pool=None)
        # A proxy from the environment must not see traffic that never leaves this machine.
        trust_env = not is_loopback(self._api_url.host)
        headers = {"Authorization": f"Bearer {access.token.get_secret_value()}"}
        self._api = httpx.AsyncClient(
            base_url=access.base_url, headers=headers, timeout=timeout, limits=limits, trust_env=trust_env
        )
        self._storage = httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=trust_env)
        self._limiter = AsyncLimiter(access.per_minute, 60) if access.per_minute else None
        self._places = asyncio.Semaphore(access.connections)
        self._quiet_until = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.aclose()
        await self._storage.aclose()

    async def fetch(
        self, dataset: Dataset, scope: str, slot: datetime, store: BodyStore[StoredT], tally: Tally
    ) -> tuple[StoredT, ...]:
        """The payload of one (dataset, scope, slot): one stored part, or one a page. `tally` counts the requests.

        Raises the errors of `errors`; nothing of a failed attempt stays in the store.
        """
        async with self._places, _deadline(FETCH_DEADLINE_S):
            *others, last = dataset.url_paths(scope, slot)
            for path in others:
                with contextlib.suppress(NotFoundError, BadRequestError):
                    return await self._pages(dataset, path, dataset.params(scope, slot), store, tally)
            return await self._pages(dataset, last, dataset.params(scope, slot), store, tally)

    async def _pages(
        self, dataset: Dataset, path: str, first: dict[str, str], store: BodyStore[StoredT], tally: Tally
    ) -> tuple[StoredT, ...]:
        pager, parts = pager_for(dataset), list[StoredT]()
        while not pager.finished:
            part = await self._with_retries(dataset, path, pager.params(first), store, tally)
            parts.append(part)
            pager.advance(store, part)
        return tuple(parts)

    async def server_time(self) -> datetime | None:
        """The API's present (UTC), by one request that also proves the token; None where it does not say."""
        with _transport_errors(self._api_url.host):
            answer = await self._api.get(API_PREFIX + STATUS_PATH)
        if answer.status_code != 200:
            raise api_error(answer.status_code, answer.headers, answer.content[:ERROR_BODY_BYTES], datetime.now(UTC))
        date = answer.headers.get("date")
        return parsedate_to_datetime(date).astimezone(UTC) if date else None

    async def _with_retries(
        self, dataset: Dataset, path: str, params: dict[str, str], store: BodyStore[StoredT], tally: Tally
    ) -> StoredT:
        async for attempt in stamina.retry_context(
            on=_retry_rule(tally),
            attempts=MOST_ATTEMPTS,
            timeout=RETRY_SPAN_S,
            wait_initial=FIRST_WAIT_S,
            wait_max=LONGEST_WAIT_S,
        ):
            with attempt:
                return await self._attempt(dataset, path, params, store, tally)
        raise AssertionError("stamina returns or raises")

    async def _attempt(
        self, dataset: Dataset, path: str, params: dict[str, str], store: BodyStore[StoredT], tally: Tally
    ) -> StoredT:
        """Ask once and download at once: a link is worth nothing later."""
        await self._wait_for_turn()
        tally.requests += 1
        with _transport_errors(self._api_url.host), store.new_body() as body:
            async with self._api.stream("GET", API_PREFIX + path, params=params, headers={"Accept": dataset.accept}) as answer:
                link = await self._take(answer, body, dataset, tally)
            if link is not None:
                await self._download(link, body, dataset.cap_bytes)
            return body.finish()

    async def _take(self, answer: httpx.Response, body: Body[StoredT], dataset: Dataset, tally: Tally) -> str | None:
        """Store an inline body, or give the link that the answer holds."""
        if answer.status_code in (301, 302, 303, 307, 308) and "location" in answer.headers:
            return answer.headers["location"]
        if answer.status_code != 200:
            raise self._noted(api_error(answer.status_code, answer.headers, await _beginning(answer), datetime.now(UTC)))
        chunks = _capped(answer, dataset.cap_bytes)
        first = b""
        async for chunk in chunks:
            first += chunk
            if len(first) > LINK_BODY_BYTES:
                break
        else:
            if (link := _download_url(first, dataset.link_note, tally.notes)) is not None:
                return link
        body.write(first)
        async for chunk in chunks:
            body.write(chunk)
        return None

    async def _download(self, link: str, body: Body[StoredT], cap_bytes: int) -> None:
        url = safe_link(link, self._api_url, self._access.storage_hosts)
        with _transport_errors(url.host):
            async with self._storage.stream("GET", url) as answer:
                if answer.status_code != 200:
                    raise storage_error(answer.status_code)
                async for chunk in _capped(answer, cap_bytes):
                    body.write(chunk)

    async def _wait_for_turn(self) -> None:
        if (pause := self._quiet_until - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(pause)
        if self._limiter is not None:
            await self._limiter.acquire()

    def _noted(self, error: HyperTrackerError) -> HyperTrackerError:
        """One worker's 429 keeps every worker of this client quiet."""
        if isinstance(error, RateLimitedError) and error.wait_s:
            self._quiet_until = max(self._quiet_until, asyncio.get_running_loop().time() + error.wait_s)
        return error


def _retry_rule(tally: Tally) -> Callable[[Exception], bool | float]:
    """Which errors are tried again, and after how many seconds where the server said so."""

    def rule(error: Exception) -> bool | float:
        if isinstance(error, LinkExpiredError):
            tally.stale_links += 1
            return tally.stale_links <= MOST_FRESH_LINKS
        if isinstance(error, RateLimitedError) and error.wait_s is not None:
            return error.wait_s
        return isinstance(error, TransientError)

    return rule


def _note_retry(details: RetryDetails) -> None:
    """Retries are logged for those who look; our errors hold no address and no token."""
    LOGGER.info("asking again in %.1f s, attempt %d: %s", details.wait_for, details.retry_num + 1, details.caused_by)


@contextlib.contextmanager
def _transport_errors(host: str) -> Iterator[None]:
    """httpx's errors as ours; their texts may hold a URL, so only the kind and the host are repeated."""
    try:
        yield
    except httpx.InvalidURL as error:
        raise TransportError(f"{host}: the address is no URL") from error
    except httpx.HTTPError as error:
        raise TransportError(f"{host}: {_words(error)}") from None


def _words(error: httpx.HTTPError) -> str:
    kinds: Sequence[tuple[type[Exception], str]] = (
        (httpx.ConnectTimeout, f"no connection within {CONNECT_TIMEOUT_S:.0f} s"),
        (httpx.ConnectError, "the connection is refused or the name is unknown"),
        (httpx.TimeoutException, f"silence for {READ_TIMEOUT_S:.0f} s"),
        (httpx.RemoteProtocolError, "the answer broke off or is no HTTP"),
        (httpx.DecodingError, "the answer's compression is damaged"),
    )
    return next((words for kind, words in kinds if isinstance(error, kind)), type(error).__name__)


@contextlib.asynccontextmanager
async def _deadline(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise TransportError(f"not finished within {seconds:.0f} s") from None


async def _capped(answer: httpx.Response, cap_bytes: int) -> AsyncIterator[bytes]:
    total = 0
    async for chunk in answer.aiter_bytes():
        total += len(chunk)
        if total > cap_bytes:
            raise TooLargeError(f"more than {cap_bytes:,} bytes")
        yield chunk


async def _beginning(answer: httpx.Response) -> bytes:
    """The first bytes of an error body."""
    text = b""
    async for chunk in answer.aiter_bytes():
        text += chunk
        if len(text) >= ERROR_BODY_BYTES:
            break
    return text[:ERROR_BODY_BYTES]


def _download_url(text: bytes, note: LinkNote | None, notes: dict[str, str]) -> str | None:
    """The `downloadUrl` of a JSON object that holds one, else None; what stands beside it goes into `notes`.

    Raises `NotFoundError` where the object that should hold it is null: the provider has no such file.
    """
    if not text.lstrip().startswith(b"{"):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if note is not None and note.at in value:
        value = value[note.at]
        if not value:
            raise NotFoundError("the provider has nothing at or before that time")
        notes |= {name: str(value[name]) for name in (note.row_count, note.snapshot) if name in value}
    link = value.get("downloadUrl")
    return link if isinstance(link, str) else None
