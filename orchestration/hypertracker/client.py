"""Asking the API and downloading what it hands over, in one step, within bounds.

Belongs here: requests to the API, page by page, streaming to a body store. Does not: what a status means (`answers`), what is a
link (`links`) and fetching it (`downloads`), asking again (`retries`), how httpx is held within bounds (`transport`), where bytes
are kept (`bodies`), when to ask (`collecting`), or how many requests may be sent (`turns`).

Two HTTP clients: the one here carries the token and only ever talks to the API host; that of `downloads` knows no token.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Generic, Self

import httpx
from pydantic import SecretStr

from orchestration.hypertracker.answers import api_error, said_time
from orchestration.hypertracker.bodies import BodyStore, StoredT, WatchedBody
from orchestration.hypertracker.downloads import Storage
from orchestration.hypertracker.endpoint import Dataset, Delivery
from orchestration.hypertracker.errors import (
    BadRequestError,
    DoubtfulBodyError,
    HyperTrackerError,
    NotAskedError,
    NotFoundError,
    TokenError,
)
from orchestration.hypertracker.inspection import BodyWatch
from orchestration.hypertracker.links import answered_link, is_loopback
from orchestration.hypertracker.paging import pager_for
from orchestration.hypertracker.redaction import install_redaction
from orchestration.hypertracker.retries import attempts, log_retries
from orchestration.hypertracker.tally import MOST_FRESH_LINKS, Bounds, Tally
from orchestration.hypertracker.transport import (
    beginning,
    capped,
    content_type,
    deadline,
    http_client,
    onward_address,
    transport_errors,
)
from orchestration.hypertracker.turns import Line, OwnTurns, Turns, tell
from orchestration.planning.urgency import FIRST, Claim

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
class _Fetch(Generic[StoredT]):
    """One fetch under way: what it asks of which dataset, where bodies go, what it has cost, its way to its turns."""

    dataset: Dataset
    params: dict[str, str]
    store: BodyStore[StoredT]
    tally: Tally
    line: Line


class Client(Generic[StoredT]):
    """An async context manager; one per event loop.

    `turns` is asked before each request to the API; without any, requests are kept back only after a 429. A token that was
    refused is not shown again.
    """

    def __init__(self, access: ApiAccess, bounds: Bounds | None = None, turns: Turns | None = None) -> None:
        install_redaction()
        log_retries()
        self._access, self._bounds = access, bounds or Bounds()
        self._api_url = httpx.URL(access.base_url)
        # A proxy from the environment must not see traffic that never leaves this machine.
        connect = partial(http_client, self._bounds, access.connections, trust_env=not is_loopback(self._api_url.host))
        self._api = connect(access.base_url, {"Authorization": f"Bearer {access.token.get_secret_value()}"})
        self._storage = Storage(connect(), self._api_url, access.storage_hosts)
        self._turns: Turns = turns or OwnTurns()
        self._places = asyncio.Semaphore(access.connections)
        self._queued = Counter[Claim]()
        self._refused: TokenError | None = None

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
            fetch = _Fetch(dataset, dataset.params(scope, slot), store, tally, line)
            *others, last = dataset.url_paths(scope, slot)
            for path in others:
                with contextlib.suppress(NotFoundError, BadRequestError):
                    return await self._pages(fetch, path)
            return await self._pages(fetch, last)

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

    async def _pages(self, fetch: _Fetch[StoredT], path: str) -> tuple[StoredT, ...]:
        """Every page, from where an earlier attempt was cut off; a cursor that is not honoured any more costs those before."""
        try:
            return await self._paged(fetch, path)
        except BadRequestError:
            if not fetch.store.begun():
                raise
            fetch.store.note(())
            return await self._paged(fetch, path)

    async def _paged(self, fetch: _Fetch[StoredT], path: str) -> tuple[StoredT, ...]:
        pager, store, parts = pager_for(fetch.dataset), fetch.store, list(fetch.store.begun())
        for part in parts:
            pager.advance(store, part)
        while not pager.finished:
            part = await self._with_retries(fetch, path, pager.params(fetch.params))
            parts.append(part)
            if fetch.tally.doubt:
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

    async def _with_retries(self, fetch: _Fetch[StoredT], path: str, params: dict[str, str]) -> StoredT:
        async for attempt in attempts(self._bounds, fetch.tally):
            with attempt:
                return await self._attempt(fetch, path, params)
        raise AssertionError("stamina returns or raises")

    async def _attempt(self, fetch: _Fetch[StoredT], path: str, params: dict[str, str]) -> StoredT:
        """Ask once and download at once: a link is worth nothing later (contract 1, link life).

        A body that cannot be data is asked for again, because most of it is perishable; the last one is kept as it is.
        """
        dataset, tally = fetch.dataset, fetch.tally
        tally.path = path
        watch = BodyWatch(dataset.cap_bytes - tally.kept_bytes)
        with transport_errors(self._api_url.host), fetch.store.new_body() as target:
            body = WatchedBody(target, watch)
            async with self._asked(path, params, dataset.accept, tally, fetch.line) as answer:
                link = await self._take(answer, body, dataset, tally)
            if link is not None:
                await self._storage.download(link, body, dataset.cap_bytes, tally)
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
        if (address := onward_address(answer)) is not None:
            await beginning(answer)  # a connection whose answer was read can be used again
            tally.delivery = Delivery.REDIRECT
            return address
        if answer.status_code != 200:
            raise await self._refusal(answer)
        chunks = capped(answer, dataset.cap_bytes)
        tally.delivery, tally.content_type = Delivery.INLINE, content_type(answer)
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

    async def _refusal(self, answer: httpx.Response) -> HyperTrackerError:
        """The error for an answer that is neither body nor link; what it says of the rate holds for everybody."""
        text = (await beginning(answer)).replace(self._access.token.get_secret_value().encode(), b"***")
        # A date to wait until is the provider's time, which our clock need not share.
        now = said_time(answer.headers.get("date")) or datetime.now(UTC)
        error = api_error(answer.status_code, answer.headers, text, now)
        tell(self._turns, error, self._bounds.unsaid_wait_s)
        self._refused = error if isinstance(error, TokenError) else self._refused
        return error
