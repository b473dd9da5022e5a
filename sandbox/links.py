"""Pre-signed links: files that the storage host serves for a short while to whoever holds the link.

What is in the files belongs to `sandbox.api`; the storage host's answers to `storage`.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from urllib.parse import quote, unquote

from sandbox.clock import SandboxClock

_BODIES_MAX_BYTES = 192 * 2**20
_LINKS_KEPT = 20_000
_SIGNATURE_CHARS = 43


class BodyCache:
    """Rendered files, the latest within a limit of bytes; equal keys mean equal bytes."""

    def __init__(self, max_bytes: int = _BODIES_MAX_BYTES) -> None:
        """Keep at most `max_bytes`."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        self._bodies: OrderedDict[Hashable, bytes] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, render: Callable[[], bytes]) -> bytes:
        """Give the kept file or render it; a slow file keeps nobody waiting but those who want the same."""
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            body = self._find(key)
            if body is None:
                body = render()
                self._keep(key, body)
        return body

    def _find(self, key: Hashable) -> bytes | None:
        with self._lock:
            if key in self._bodies:
                self._bodies.move_to_end(key)
            return self._bodies.get(key)

    def _keep(self, key: Hashable, body: bytes) -> None:
        with self._lock:
            self._bodies[key] = body
            self._bytes += len(body)
            while self._bytes > self._max_bytes and len(self._bodies) > 1:
                oldest, dropped = self._bodies.popitem(last=False)
                self._bytes -= len(dropped)
                self._making.pop(oldest, None)


@dataclass(frozen=True)
class Link:
    """One issued link. `issued_at_s` is real monotonic time, `issued_ms` sandbox time."""

    content_type: str
    render: Callable[[], bytes]
    signature: str
    life_s: float
    issued_at_s: float
    issued_ms: int


class Links:
    """All links of a sandbox."""

    def __init__(self, clock: SandboxClock, secret: bytes) -> None:
        """Sign with `secret`; `base_url` is set once the storage host listens."""
        self.base_url = ""
        self._clock = clock
        self._secret = secret
        self._numbers = itertools.count(1)
        self._links: OrderedDict[str, Link] = OrderedDict()

    def issue(self, name: str, content_type: str, render: Callable[[], bytes], life_s: float) -> str:
        """Give a URL that serves what `render` gives, for `life_s` seconds."""
        path = f"/hypertracker{name}".replace("//", "/")
        stem, dot, suffix = path.rpartition(".")
        path = f"{stem}-{next(self._numbers):08x}{dot}{suffix}"
        now_ms = self._clock.now_ms()
        expires = int(now_ms / 1000 + life_s)
        signature = self._sign(path, expires)
        self._links[path] = Link(content_type, render, signature, life_s, time.monotonic(), now_ms)
        while len(self._links) > _LINKS_KEPT:
            self._links.popitem(last=False)
        return f"{self.base_url}{quote(path)}?sig={signature}&expires={expires}"

    def find(self, path: str) -> Link | None:
        """Give the link at a path as sent, whatever of it is percent-encoded."""
        return self._links.get(unquote(path))

    def is_expired(self, link: Link) -> bool:
        """Tell whether the link's life is over: in real seconds, as downloads take real time, however fast the
        sandbox runs; under a manual clock also in sandbox seconds, so that a test can let it expire."""
        if time.monotonic() - link.issued_at_s > link.life_s:
            return True
        return self._clock.mode == "manual" and self._clock.now_ms() - link.issued_ms > link.life_s * 1000

    def _sign(self, path: str, expires: int) -> str:
        digest = hmac.new(self._secret, f"{path}|{expires}".encode(), hashlib.sha256)
        return digest.hexdigest()[:_SIGNATURE_CHARS]
