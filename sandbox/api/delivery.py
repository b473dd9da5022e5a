"""The ways a file is handed over: a redirect to the storage host, or a link in JSON.

The files themselves belong to the endpoint modules, their serving to `sandbox.storage`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from urllib.parse import unquote

from sandbox.wire import Exchange, Reply, json_reply

REDIRECT_TEXT = b"Found. Redirecting"


def link(
    exchange: Exchange,
    key: Hashable,
    render: Callable[[], bytes],
    content_type: str = "application/json",
    suffix: str = ".json",
    life_factor: float = 1.0,
) -> str:
    """Give a pre-signed URL of a file; files with equal keys are rendered once. The life is the setting's, times a
    factor for the files whose links live longer."""
    core = exchange.core
    kept = (exchange.path.rpartition("/")[2], key)
    life_s = core.settings.link_life_s * life_factor
    return core.links.issue(_file_name(exchange.path) + suffix, content_type, lambda: core.bodies.get(kept, render), life_s)


def redirect(
    exchange: Exchange,
    key: Hashable,
    render: Callable[[], bytes],
    content_type: str = "application/json",
    suffix: str = ".json",
) -> Reply:
    """Answer 302 to the file (delivery kind R)."""
    url = link(exchange, key, render, content_type, suffix)
    return Reply(302, REDIRECT_TEXT, "text/plain; charset=utf-8", {"Location": url})


def download(url: str) -> Reply:
    """Answer 200 with the link in JSON (delivery kind U)."""
    return json_reply({"downloadUrl": url})


def _file_name(path: str) -> str:
    """Name a file after a request; a coin with slashes, or of dots alone, stays encoded, as it would be other folders."""
    return path if re.search("%2[EF]", path) else unquote(path)
