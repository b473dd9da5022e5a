"""Whose turn it is to send a request: the door every request to the API passes, before it is sent.

Belongs here: what the client needs of a keeper of turns, and the keeper of a client that is given none. Does not: quotas and
what other processes send (a keeper that knows them is `Turns` too).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import httpx

from orchestration.hypertracker.errors import HyperTrackerError, QuotaSpentError, RateLimitedError
from orchestration.planning.urgency import Urgency


class Turns(Protocol):
    """Lets requests pass one by one and is told what became of each; a ticket names one request."""

    async def take(self, urgency: Urgency) -> int:
        """Wait for a turn. Raises `QuotaSpentError` where there is none to wait for; nothing may be sent then."""
        ...

    def answered(self, ticket: int) -> None:
        """Its answer began, or will never begin; only the first call for a ticket counts."""
        ...

    def refund(self, ticket: int) -> None:
        """It never reached the server."""
        ...

    def rate_limited(self, wait_s: float) -> None:
        """The server wants nobody to ask for so many seconds."""
        ...

    def spent(self, error: QuotaSpentError) -> None:
        """The server says that a quota is spent."""
        ...


class OwnTurns:
    """Turns of one client that shares nothing: no limit, but quiet after a 429. One per event loop."""

    def __init__(self) -> None:
        self._quiet_until = 0.0

    async def take(self, urgency: Urgency) -> int:  # noqa: ARG002  # nobody else is there to be let pass
        while (pause := self._quiet_until - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(pause)
        return 0

    def answered(self, ticket: int) -> None: ...

    def refund(self, ticket: int) -> None: ...

    def rate_limited(self, wait_s: float) -> None:
        self._quiet_until = max(self._quiet_until, asyncio.get_running_loop().time() + wait_s)

    def spent(self, error: QuotaSpentError) -> None: ...


@contextlib.asynccontextmanager
async def turn(turns: Turns, urgency: Urgency) -> AsyncIterator[Callable[[], None]]:
    """The turn of the one request that is sent inside; gives what to call when its answer begins.

    A request without a connection never reached the server; any other may have.
    """
    ticket = await turns.take(urgency)
    try:
        yield lambda: turns.answered(ticket)
    except (httpx.ConnectError, httpx.ConnectTimeout):
        turns.refund(ticket)
        raise
    except BaseException:
        turns.answered(ticket)
        raise


def tell(turns: Turns, error: HyperTrackerError, unsaid_wait_s: float) -> None:
    """Pass on what an answer says of the rate and the quota."""
    if isinstance(error, RateLimitedError):
        turns.rate_limited(error.wait_s or unsaid_wait_s)
    elif isinstance(error, QuotaSpentError):
        turns.spent(error)
