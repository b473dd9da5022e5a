"""Faults of how an answer travels: its status, its headers, its connection, the time it takes.

What is wrong within a right answer belongs to `faults_of_content`.
"""

from __future__ import annotations

import asyncio

from sandbox.hits import Hit, Kind
from sandbox.storage import XML_TYPE, expired
from sandbox.wire import Reply, to_json

_HTML = b"<!doctype html><html><body><h1>We will be back soon</h1></body></html>"
_S3_XML = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"


async def _status(hit: Hit) -> Reply:
    """Any status (`status`), with `body` (text or JSON value) and `headers`."""
    body = hit.params.get("body", {"statusCode": hit.params["status"], "message": "injected fault"})
    content = body.encode() if isinstance(body, str) else to_json(body)
    return Reply(hit.params["status"], content, headers=hit.params.get("headers", {}))


async def _revoke(hit: Hit) -> Reply:
    """401, and from now on the API accepts another `token` only."""
    hit.exchange.core.token = hit.params["token"]
    return Reply(401, to_json({"statusCode": 401, "message": "Unauthorized"}))


async def _html(_: Hit) -> Reply:
    """200 with a web page."""
    return Reply(body=_HTML, content_type="text/html; charset=utf-8")


async def _xml(_: Hit) -> Reply:
    """200 with an object store's error."""
    return Reply(body=_S3_XML, content_type=XML_TYPE)


async def _reset(hit: Hit) -> Reply:
    """The connection is reset: before the headers, or after `fraction` of the body."""
    if "fraction" not in hit.params:
        return Reply(reset=True)
    reply = await hit.call()
    return reply.but(reset=True, cut_at=int(len(reply.body) * hit.params["fraction"]))


async def _mute(hit: Hit) -> Reply:
    """The headers come, and then `pause_s` real seconds of silence before the body."""
    return (await hit.call()).but(mute_s=hit.params.get("pause_s", 1.0))


async def _cut(hit: Hit) -> Reply:
    """The body ends after `fraction` of it (default half), the announced length being right; `at_line_end` cuts there."""
    reply = await hit.call()
    cut_at = int(len(reply.body) * hit.params.get("fraction", 0.5))
    if hit.params.get("at_line_end"):
        cut_at = reply.body.rfind(b"\n", 0, cut_at) + 1
    return reply.but(cut_at=cut_at)


async def _empty(hit: Hit) -> Reply:
    """200 with nothing in it (or `status`)."""
    return (await hit.call()).but(status=hit.params.get("status", 200), body=b"")


async def _slow(hit: Hit) -> Reply:
    """`delay_s` real seconds of silence before the headers."""
    await asyncio.sleep(hit.params["delay_s"])
    return await hit.call()


async def _drip(hit: Hit) -> Reply:
    """The body comes in pieces of `bytes` with `pause_s` real seconds between them."""
    return (await hit.call()).but(drip=(hit.params.get("bytes", 1), hit.params.get("pause_s", 1.0)))


async def _expired(_: Hit) -> Reply:
    """The storage host says that the link has expired."""
    return expired()


async def _headers(hit: Hit) -> Reply:
    """The right answer with other `headers`, or another `content_type`."""
    reply = await hit.call()
    content_type = hit.params.get("content_type", reply.content_type)
    return reply.but(headers={**reply.headers, **hit.params.get("headers", {})}, content_type=content_type)


async def _detour(hit: Hit) -> Reply:
    """A redirect to the same file under another address: `count` of them are a chain, without one it has no end."""
    target = hit.exchange.target
    location = f"{target}{'&' if '?' in target else '?'}hop={hit.seen}"
    return Reply(hit.params.get("status", 307), headers={"Location": location})


TRANSPORT_KINDS: dict[str, Kind] = {
    "status": _status,
    "revoke": _revoke,
    "html": _html,
    "xml": _xml,
    "reset": _reset,
    "mute": _mute,
    "cut": _cut,
    "empty": _empty,
    "slow": _slow,
    "drip": _drip,
    "expired": _expired,
    "headers": _headers,
    "detour": _detour,
}
