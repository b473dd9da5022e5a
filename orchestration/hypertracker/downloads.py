"""Downloading what a link leads to, by a client that knows no token.

Belongs here: following links and what storage redirects to, into a body. Does not: where a link may lead (`links`), asking the
API for one (`client`). Links live seconds, and are never kept or logged.
"""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from orchestration.hypertracker.answers import storage_error
from orchestration.hypertracker.bodies import WatchedBody
from orchestration.hypertracker.errors import TransientError, UnsafeLinkError
from orchestration.hypertracker.links import safe_link
from orchestration.hypertracker.tally import Tally
from orchestration.hypertracker.transport import capped, content_type, onward_address, transport_errors

MOST_HOPS = 3


class Storage:
    """The hosts that hold what links of the API at `api_url` lead to; `http` must carry no token."""

    def __init__(self, http: httpx.AsyncClient, api_url: httpx.URL, hosts: Sequence[str]) -> None:
        self._http, self._api_url, self._hosts = http, api_url, hosts

    async def aclose(self) -> None:
        await self._http.aclose()

    async def download(self, link: str, body: WatchedBody, cap_bytes: int, tally: Tally) -> None:
        """Fetch a link, and what storage redirects to; every address passes the rule for links."""
        url = safe_link(link, self._api_url, self._hosts)
        try:
            for _ in range(1 + MOST_HOPS):
                if (onward := await self._follow(url, body, cap_bytes, tally)) is None:
                    return
                url = safe_link(onward, self._api_url, self._hosts, base=url)
        except TransientError:
            tally.stale_links += 1
            raise
        raise UnsafeLinkError(f"{url.host} redirects more than {MOST_HOPS} times in a row")

    async def _follow(self, url: httpx.URL, body: WatchedBody, cap_bytes: int, tally: Tally) -> str | None:
        """Store what is behind one address, or give the address that storage names instead."""
        with transport_errors(url.host):
            async with self._http.stream("GET", url) as answer:
                if (onward := onward_address(answer)) is not None:
                    return onward
                if answer.status_code != 200:
                    raise storage_error(answer.status_code)
                tally.content_type = content_type(answer)
                async for chunk in capped(answer, cap_bytes):
                    body.write(chunk)
        return None
