"""Whose turn it is to send a request: the door every request to the API passes, before it is sent.

Belongs here: what the client needs of a keeper of turns, waiting for one, and the keeper of a client that is given none. Does
not: quotas and what other processes send (a keeper that knows them is `Turns` too).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

import httpx

from orchestration.hypertracker.errors import HyperTrackerError, NotAskedError, QuotaSpentError, RateLimitedError
from orchestration.planning.urgency import FIRST, Claim


class Turns(Protocol):
    """Lets requests pass one by one and is told what became of each; a ticket names one request."""

    async def take(self, claim: Claim, behind: int = 0) -> int:
        """Wait for a turn; `behind` more requests of this claim will follow. Raises `QuotaSpentError` where there is no turn to
        wait for, `SlotOverError` where the claim ends before; nothing may be sent then."""
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

    async def take(self, claim: Claim, behind: int = 0) -> int:  # noqa: ARG002  # nobody else is there to be let pass
        while (pause := self._quiet_until - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(pause)
        return 0

    def answered(self, ticket: int) -> None: ...

    def refund(self, ticket: int) -> None: ...

    def rate_limited(self, wait_s: float) -> None:
        self._quiet_until = max(self._quiet_until, asyncio.get_running_loop().time() + wait_s)

    def spent(self, error: QuotaSpentError) -> None: ...


@dataclass(frozen=True)
class Line:
    """One fetch's way to its turns: what it claims, how many asks of that claim follow it, and the end of its time.

    Waiting for the turn of a slot that has not ended does not use up that time.
    """

    turns: Turns
    claim: Claim = FIRST
    behind: Callable[[], int] = int
    end: asyncio.Timeout | None = None

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[Callable[[], None]]:
        """The turn of the one request that is sent inside; gives what to call when its answer begins.

        A request without a connection never reached the server; any other may have.
        """
        ticket = await self._take()
        try:
            yield lambda: self.turns.answered(ticket)
        except (httpx.ConnectError, httpx.ConnectTimeout, NotAskedError):
            self.turns.refund(ticket)
            raise
        except BaseException:
            self.turns.answered(ticket)
            raise

    async def _take(self) -> int:
        if self.end is None or self.claim.ends_at is None or (when := self.end.when()) is None:
            return await self.turns.take(self.claim, self.behind())
        time = asyncio.get_running_loop().time
        left = when - time()
        self.end.reschedule(None)
        try:
            return await self.turns.take(self.claim, self.behind())
        finally:
            self.end.reschedule(time() + left)


def tell(turns: Turns, error: HyperTrackerError, unsaid_wait_s: float) -> None:
    """Pass on what an answer says of the rate and the quota."""
    if isinstance(error, RateLimitedError):
        turns.rate_limited(error.wait_s or unsaid_wait_s)
    elif isinstance(error, QuotaSpentError):
        turns.spent(error)
