"""Asking the API and downloading what it hands over, in one step, within bounds.

Belongs here: requests, retries, redirects and links, streaming to a body store. Does not: what a status means (`answers`),
where links may lead (`links`), how httpx is held within bounds (`transport`), where bytes are kept (a `BodyStore`, which the
vault gives), or when to ask (`collecting`).

Two HTTP clients: one carries the token and only ever talks to the API host; the other knows no token and fetches
pre-signed links, which live seconds and are never kept or logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Generic, Protocol, Self, TypeVar

import httpx
import stamina
from aiolimiter import AsyncLimiter
from pydantic import SecretStr
from stamina.instrumentation import RetryDetails

from orchestration.hypertracker.answers import api_error, said_time, storage_error
from orchestration.hypertracker.endpoint import Dataset, Delivery, LinkNote
from orchestration.hypertracker.errors import (
    BadRequestError,
    DoubtfulBodyError,
    HyperTrackerError,
    NotFoundError,
    RateLimitedError,
    TransientError,
    UnsafeLinkError,
)
from orchestration.hypertracker.inspection import UTF8_BOM, BodyWatch
from orchestration.hypertracker.links import is_loopback, safe_link
from orchestration.hypertracker.paging import pager_for
from orchestration.hypertracker.redaction import install_redaction
from orchestration.hypertracker.transport import beginning, capped, certificates, check_location, deadline, transport_errors

LOGGER = logging.getLogger("hypertracker")
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 20.0
MOST_FRESH_LINKS = 2
MOST_HOPS = 3
REDIRECTS = (301, 302, 303, 307, 308)
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


@dataclass(frozen=True)
class Bounds:
    """How long and how often a fetch may try; seconds. `deadline_s` holds for a whole fetch, with its retries and pages.

    `unsaid_wait_s` is the wait after a 429 that names none: the provider counts by the minute.
    """

    connect_s: float = 10.0
    read_s: float = 30.0
    deadline_s: float = 300.0
    attempts: int = 5
    retry_span_s: float = 180.0
    unsaid_wait_s: float = 15.0


@dataclass
class Tally:
    """What a fetch has cost so far, also when it fails, and what the answer said beside its link.

    `stale_links` counts the downloads that came to nothing: links that were refused or broke off, and doubtful bodies.
    `doubt` says why the body kept last cannot be data; `kept_bytes` is what the bodies kept so far inflate to.
    `path` is what was asked last, `delivery` and `content_type` how its body was handed over and what it was called.
    """

    requests: int = 0
    stale_links: int = 0
    doubt: str = ""
    kept_bytes: int = 0
    path: str = ""
    delivery: Delivery | None = None
    content_type: str = ""
    notes: dict[str, str] = field(default_factory=dict)


class Client(Generic[StoredT]):
    """An async context manager; one per event loop. All fetches of one client share its rate limit."""

    def __init__(self, access: ApiAccess, bounds: Bounds | None = None) -> None:
        install_redaction()
        stamina.instrumentation.set_on_retry_hooks([_note_retry])
        self._access, self._bounds = access, bounds or Bounds()
        self._api_url = httpx.URL(access.base_url)
        self._api = self._http(access.base_url, {"Authorization": f"Bearer {access.token.get_secret_value()}"})
        self._storage = self._http()
        self._limiter = _limiter(access.per_minute)
        self._places = asyncio.Semaphore(access.connections)
        self._quiet_until = 0.0

    def _http(self, base_url: str = "", headers: Mapping[str, str] = MappingProxyType({})) -> httpx.AsyncClient:
        connections = self._access.connections
        return httpx.AsyncClient(
            base_url=base_url,
            # gzip alone, because zstd and brotli inflate a few bytes to gigabytes in one step.
            headers={"Accept-Encoding": "gzip", **headers},
            timeout=httpx.Timeout(self._bounds.read_s, connect=self._bounds.connect_s, pool=None),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            verify=certificates(),
            event_hooks={"response": [check_location]},
            # A proxy from the environment must not see traffic that never leaves this machine.
            trust_env=not is_loopback(self._api_url.host),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.aclose()
        await self._storage.aclose()

    async def fetch(
        self, dataset: Dataset, scope: str, slot: datetime, store: BodyStore[StoredT], tally: Tally
    ) -> tuple[StoredT, ...]:
        """The payload of one (dataset, scope, slot): one stored part, or one a page. `tally` counts the requests.

        Raises the errors of `errors`; nothing of a failed attempt stays in the store but the pages before it, unnamed.
        """
        async with self._places, deadline(self._bounds.deadline_s):
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
            if tally.doubt:
                break  # a page that cannot be read names no next one; what came is kept, for the quarantine to show
            pager.advance(store, part)
        return tuple(parts)

    async def server_time(self) -> datetime | None:
        """The API's present (UTC), by one request that also proves the token; None where it does not say."""
        with transport_errors(self._api_url.host):
            async with deadline(self._bounds.deadline_s), self._api.stream("GET", API_PREFIX + STATUS_PATH) as answer:
                if answer.status_code != 200:
                    raise await self._refusal(answer)
                return said_time(answer.headers.get("date"))

    async def _with_retries(
        self, dataset: Dataset, path: str, params: dict[str, str], store: BodyStore[StoredT], tally: Tally
    ) -> StoredT:
        async for attempt in stamina.retry_context(
            on=_retry_rule(tally, self._bounds.unsaid_wait_s),
            attempts=self._bounds.attempts,
            timeout=self._bounds.retry_span_s,
            wait_initial=FIRST_WAIT_S,
            wait_max=LONGEST_WAIT_S,
        ):
            with attempt:
                return await self._attempt(dataset, path, params, store, tally)
        raise AssertionError("stamina returns or raises")

    async def _attempt(
        self, dataset: Dataset, path: str, params: dict[str, str], store: BodyStore[StoredT], tally: Tally
    ) -> StoredT:
        """Ask once and download at once: a link is worth nothing later (contract 1, link life).

        A body that cannot be data is asked for again, because most of it is perishable; the last one is kept as it is.
        """
        await self._wait_for_turn()
        tally.path = path
        watch = BodyWatch(dataset.cap_bytes - tally.kept_bytes)
        with transport_errors(self._api_url.host), store.new_body() as target:
            body = _Watched(target, watch)
            async with self._asked(path, params, dataset.accept, tally) as answer:
                link = await self._take(answer, body, dataset, tally)
            if link is not None:
                await self._download(link, body, dataset.cap_bytes, tally)
            tally.doubt, tally.kept_bytes = watch.doubt(), tally.kept_bytes + watch.inflated_bytes
            if tally.doubt and tally.stale_links < MOST_FRESH_LINKS:
                tally.stale_links += 1
                raise DoubtfulBodyError(f"the answer cannot be data: {tally.doubt}")
            return target.finish()

    @contextlib.asynccontextmanager
    async def _asked(self, path: str, params: dict[str, str], accept: str, tally: Tally) -> AsyncIterator[httpx.Response]:
        """The answer to one counted request. Without a connection the provider counts nothing, and neither does the tally."""
        tally.requests += 1
        try:
            async with self._api.stream("GET", API_PREFIX + path, params=params, headers={"Accept": accept}) as answer:
                yield answer
        except (httpx.ConnectError, httpx.ConnectTimeout):
            tally.requests -= 1
            raise

    async def _take(self, answer: httpx.Response, body: _Watched, dataset: Dataset, tally: Tally) -> str | None:
        """Store an inline body, or give the link that the answer holds."""
        if answer.status_code in REDIRECTS and "location" in answer.headers:
            await beginning(answer)  # a connection whose answer was read can be used again
            tally.delivery = Delivery.REDIRECT
            return answer.headers["location"]
        if answer.status_code != 200:
            raise await self._refusal(answer)
        chunks = capped(answer, dataset.cap_bytes)
        tally.delivery, tally.content_type = Delivery.INLINE, _content_type(answer)
        first = b""
        async for chunk in chunks:
            first += chunk
            if len(first) > LINK_BODY_BYTES:
                break
        else:
            if (link := _download_url(first, dataset.link_note, tally.notes)) is not None:
                tally.delivery = Delivery.LINK
                return link
        body.write(first)
        async for chunk in chunks:
            body.write(chunk)
        return None

    async def _download(self, link: str, body: _Watched, cap_bytes: int, tally: Tally) -> None:
        """Fetch a link, and what storage redirects to; every address passes the rule for links."""
        url, hosts = safe_link(link, self._api_url, self._access.storage_hosts), self._access.storage_hosts
        try:
            for _ in range(1 + MOST_HOPS):
                if (onward := await self._follow(url, body, cap_bytes, tally)) is None:
                    return
                url = safe_link(onward, self._api_url, hosts, base=url)
        except TransientError:
            tally.stale_links += 1
            raise
        raise UnsafeLinkError(f"{url.host} redirects more than {MOST_HOPS} times in a row")

    async def _follow(self, url: httpx.URL, body: _Watched, cap_bytes: int, tally: Tally) -> str | None:
        """Store what is behind one address, or give the address that storage names instead."""
        with transport_errors(url.host):
            async with self._storage.stream("GET", url) as answer:
                if answer.status_code in REDIRECTS and "location" in answer.headers:
                    return answer.headers["location"]
                if answer.status_code != 200:
                    raise storage_error(answer.status_code)
                tally.content_type = _content_type(answer)
                async for chunk in capped(answer, cap_bytes):
                    body.write(chunk)
        return None

    async def _wait_for_turn(self) -> None:
        """A place in the rate limit, while nobody was told to wait; a place taken before a wait is not saved up."""
        while True:
            if self._limiter is not None:
                await self._limiter.acquire()
            if (pause := self._quiet_until - asyncio.get_running_loop().time()) <= 0:
                return
            await asyncio.sleep(pause)

    async def _refusal(self, answer: httpx.Response) -> HyperTrackerError:
        """The error for an answer that is neither body nor link; one worker's 429 keeps every worker of this client quiet."""
        text = (await beginning(answer)).replace(self._access.token.get_secret_value().encode(), b"***")
        # A date to wait until is the provider's time, which our clock need not share.
        now = said_time(answer.headers.get("date")) or datetime.now(UTC)
        error = api_error(answer.status_code, answer.headers, text, now)
        if isinstance(error, RateLimitedError):
            until = asyncio.get_running_loop().time() + (error.wait_s or self._bounds.unsaid_wait_s)
            self._quiet_until = max(self._quiet_until, until)
        return error


@dataclass(frozen=True)
class _Watched:
    """A body that is looked at while it is stored."""

    target: Body[object]
    watch: BodyWatch

    def write(self, chunk: bytes) -> None:
        self.watch.see(chunk)
        self.target.write(chunk)


def _content_type(answer: httpx.Response) -> str:
    """As the answer calls its body, without parameters; empty where it does not say."""
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


def _limiter(per_minute: int) -> AsyncLimiter | None:
    """At most `per_minute` requests in any 60 s: a leaky bucket lets its whole size through at once, and its rate on top."""
    if not per_minute:
        return None
    burst = max(1, per_minute // 6)
    rate = max(1, per_minute - burst)
    return AsyncLimiter(burst, 60 * burst / rate)


def _retry_rule(tally: Tally, unsaid_wait_s: float) -> Callable[[Exception], bool | float]:
    """Which errors are tried again, and after how many seconds where it is a matter of the rate."""

    def rule(error: Exception) -> bool | float:
        if not isinstance(error, TransientError) or tally.stale_links > MOST_FRESH_LINKS:
            return False
        return (error.wait_s or unsaid_wait_s) if isinstance(error, RateLimitedError) else True

    return rule


def _note_retry(details: RetryDetails) -> None:
    """Retries are logged for those who look; our errors hold no address and no token."""
    LOGGER.info("asking again in %.1f s, attempt %d: %s", details.wait_for, details.retry_num + 1, details.caused_by)


def _download_url(text: bytes, note: LinkNote | None, notes: dict[str, str]) -> str | None:
    """The `downloadUrl` of a JSON object that holds one, else None; what stands beside it goes into `notes`.

    Raises `NotFoundError` where the object that should hold it is null: the provider has no such file.
    """
    if not text.removeprefix(UTF8_BOM).lstrip().startswith(b"{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if note is not None and note.at in value:
        value = value[note.at]
        if not value:
            raise NotFoundError("the provider has nothing at or before that time")
        if not isinstance(value, dict):
            return None
        notes |= {name: str(value[name]) for name in (note.row_count, note.snapshot) if name in value}
    link = value.get("downloadUrl")
    return link if isinstance(link, str) else None
