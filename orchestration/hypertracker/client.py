"""Asking the API and downloading what it hands over, in one step, within bounds.

Belongs here: requests, retries, redirects and links, streaming to a body store. Does not: what a status means (`answers`),
what is a link and where it may lead (`links`), how httpx is held within bounds (`transport`), where bytes are kept (`bodies`),
when to ask (`collecting`), or how many requests may be sent (`turns`).

Two HTTP clients: one carries the token and only ever talks to the API host; the other knows no token and fetches
pre-signed links, which live seconds and are never kept or logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Generic, Self

import httpx
import stamina
from pydantic import SecretStr
from stamina.instrumentation import RetryDetails

from orchestration.hypertracker.answers import api_error, said_time, storage_error
from orchestration.hypertracker.bodies import BodyStore, StoredT, WatchedBody
from orchestration.hypertracker.endpoint import Dataset, Delivery
from orchestration.hypertracker.errors import (
    BadRequestError,
    DoubtfulBodyError,
    HyperTrackerError,
    NotAskedError,
    NotFoundError,
    RateLimitedError,
    TokenError,
    TransientError,
    UnsafeLinkError,
)
from orchestration.hypertracker.inspection import BodyWatch
from orchestration.hypertracker.links import answered_link, is_loopback, safe_link
from orchestration.hypertracker.paging import pager_for
from orchestration.hypertracker.redaction import install_redaction
from orchestration.hypertracker.transport import beginning, capped, certificates, check_location, deadline, transport_errors
from orchestration.hypertracker.turns import Line, OwnTurns, Turns, tell
from orchestration.planning.urgency import FIRST, Claim

LOGGER = logging.getLogger("hypertracker")
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 20.0
MOST_FRESH_LINKS = 2
MOST_HOPS = 3
REDIRECTS = (301, 302, 303, 307, 308)
LINK_BODY_BYTES = 16_384
API_PREFIX = "/api/external"
STATUS_PATH = "/hypertracker/state/status"


@dataclass(frozen=True)
class ApiAccess:
    """Where to ask, and as whom."""

    base_url: str
    token: SecretStr
    storage_hosts: tuple[str, ...] = ()
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
    """An async context manager; one per event loop.

    `turns` is asked before each request to the API; without any, requests are kept back only after a 429. A token that was
    refused is not shown again.
    """

    def __init__(self, access: ApiAccess, bounds: Bounds | None = None, turns: Turns | None = None) -> None:
        install_redaction()
        stamina.instrumentation.set_on_retry_hooks([_note_retry])
        self._access, self._bounds = access, bounds or Bounds()
        self._api_url = httpx.URL(access.base_url)
        self._api = self._http(access.base_url, {"Authorization": f"Bearer {access.token.get_secret_value()}"})
        self._storage = self._http()
        self._turns: Turns = turns or OwnTurns()
        self._places = asyncio.Semaphore(access.connections)
        self._queued = Counter[Claim]()
        self._refused: TokenError | None = None

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
        self, dataset: Dataset, scope: str, slot: datetime, store: BodyStore[StoredT], tally: Tally,
        claim: Claim = FIRST,
    ) -> tuple[StoredT, ...]:  # fmt: skip
        """The payload of one (dataset, scope, slot): one stored part, or one a page. `tally` counts the requests.

        Raises the errors of `errors`; nothing of a failed attempt stays in the store but the pages before it, unnamed.
        """
        async with self._place(claim), deadline(self._bounds.deadline_s) as end:
            line = Line(self._turns, claim, lambda: self._queued[claim], end)
            *others, last = dataset.url_paths(scope, slot)
            for path in others:
                with contextlib.suppress(NotFoundError, BadRequestError):
                    return await self._pages(dataset, path, dataset.params(scope, slot), store, tally, line)
            return await self._pages(dataset, last, dataset.params(scope, slot), store, tally, line)

    @contextlib.asynccontextmanager
    async def _place(self, claim: Claim) -> AsyncIterator[None]:
        """One of the connections; those who wait for one are counted."""
        self._queued[claim] += 1
        try:
            await asyncio.sleep(0)  # so that the first of a sweep knows how many follow
            await self._places.acquire()
        finally:
            self._queued[claim] -= 1
        try:
            yield
        finally:
            self._places.release()

    async def _pages(
        self, dataset: Dataset, path: str, first: dict[str, str], store: BodyStore[StoredT], tally: Tally, line: Line
    ) -> tuple[StoredT, ...]:
        """Every page, from where an earlier attempt was cut off; a cursor that is not honoured any more costs those before."""
        try:
            return await self._paged(dataset, path, first, store, tally, line)
        except BadRequestError:
            if not store.begun():
                raise
            store.note(())
            return await self._paged(dataset, path, first, store, tally, line)

    async def _paged(
        self, dataset: Dataset, path: str, first: dict[str, str], store: BodyStore[StoredT], tally: Tally, line: Line
    ) -> tuple[StoredT, ...]:
        pager, parts = pager_for(dataset), list(store.begun())
        for part in parts:
            pager.advance(store, part)
        while not pager.finished:
            part = await self._with_retries(dataset, path, pager.params(first), store, tally, line)
            parts.append(part)
            if tally.doubt:
                break  # a page that cannot be read names no next one; what came is kept, for the quarantine to show
            pager.advance(store, part)
            if not pager.finished:
                store.note(parts)
        return tuple(parts)

    async def server_time(self) -> datetime | None:
        """The API's present (UTC), by one request that also proves the token; None where it does not say."""
        with transport_errors(self._api_url.host):
            line = Line(self._turns)
            async with deadline(self._bounds.deadline_s), self._asked(STATUS_PATH, {}, "*/*", Tally(), line) as answer:
                if answer.status_code != 200:
                    raise await self._refusal(answer)
                return said_time(answer.headers.get("date"))

    async def _with_retries(
        self, dataset: Dataset, path: str, params: dict[str, str], store: BodyStore[StoredT], tally: Tally, line: Line
    ) -> StoredT:
        async for attempt in stamina.retry_context(
            on=_retry_rule(tally, self._bounds.unsaid_wait_s),
            attempts=self._bounds.attempts,
            timeout=self._bounds.retry_span_s,
            wait_initial=FIRST_WAIT_S,
            wait_max=LONGEST_WAIT_S,
        ):
            with attempt:
                return await self._attempt(dataset, path, params, store, tally, line)
        raise AssertionError("stamina returns or raises")

    async def _attempt(
        self, dataset: Dataset, path: str, params: dict[str, str], store: BodyStore[StoredT], tally: Tally, line: Line
    ) -> StoredT:
        """Ask once and download at once: a link is worth nothing later (contract 1, link life).

        A body that cannot be data is asked for again, because most of it is perishable; the last one is kept as it is.
        """
        tally.path = path
        watch = BodyWatch(dataset.cap_bytes - tally.kept_bytes)
        with transport_errors(self._api_url.host), store.new_body() as target:
            body = WatchedBody(target, watch)
            async with self._asked(path, params, dataset.accept, tally, line) as answer:
                link = await self._take(answer, body, dataset, tally)
            if link is not None:
                await self._download(link, body, dataset.cap_bytes, tally)
            tally.doubt, tally.kept_bytes = watch.doubt(), tally.kept_bytes + watch.inflated_bytes
            if tally.doubt and tally.stale_links < MOST_FRESH_LINKS:
                tally.stale_links += 1
                raise DoubtfulBodyError(f"the answer cannot be data: {tally.doubt}")
            return target.finish()

    @contextlib.asynccontextmanager
    async def _asked(
        self, path: str, params: dict[str, str], accept: str, tally: Tally, line: Line
    ) -> AsyncIterator[httpx.Response]:
        """The answer to one request that had its turn. Without a connection the provider counts nothing, nor does the tally."""
        self._check_token()
        async with line.turn() as answered:
            self._check_token()  # others were answered while this one waited
            tally.requests += 1
            try:
                async with self._api.stream("GET", API_PREFIX + path, params=params, headers={"Accept": accept}) as answer:
                    answered()
                    yield answer
            except (httpx.ConnectError, httpx.ConnectTimeout):
                tally.requests -= 1
                raise

    def _check_token(self) -> None:
        if self._refused is not None:
            raise NotAskedError(f"not asked: {self._refused}")

    async def _take(self, answer: httpx.Response, body: WatchedBody, dataset: Dataset, tally: Tally) -> str | None:
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
            if (link := answered_link(first, dataset.link_note, tally.notes)) is not None:
                tally.delivery = Delivery.LINK
                return link
        body.write(first)
        async for chunk in chunks:
            body.write(chunk)
        return None

    async def _download(self, link: str, body: WatchedBody, cap_bytes: int, tally: Tally) -> None:
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

    async def _follow(self, url: httpx.URL, body: WatchedBody, cap_bytes: int, tally: Tally) -> str | None:
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

    async def _refusal(self, answer: httpx.Response) -> HyperTrackerError:
        """The error for an answer that is neither body nor link; what it says of the rate holds for everybody."""
        text = (await beginning(answer)).replace(self._access.token.get_secret_value().encode(), b"***")
        # A date to wait until is the provider's time, which our clock need not share.
        now = said_time(answer.headers.get("date")) or datetime.now(UTC)
        error = api_error(answer.status_code, answer.headers, text, now)
        tell(self._turns, error, self._bounds.unsaid_wait_s)
        self._refused = error if isinstance(error, TokenError) else self._refused
        return error


def _content_type(answer: httpx.Response) -> str:
    """As the answer calls its body, without parameters; empty where it does not say."""
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


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
