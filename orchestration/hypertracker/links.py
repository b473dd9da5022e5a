"""Which hosts may be asked for bytes: the one rule between a pre-signed link and the network.

Pre-signed links are followed by a client that knows no token, and only to https hosts on the allow-list; an API on
loopback (the sandbox) may hand out loopback links.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from fnmatch import fnmatch

import httpx

from orchestration.hypertracker.errors import UnsafeLinkError


def is_loopback(host: str) -> bool:
    """Whether a host name can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def safe_link(target: str, api: httpx.URL, allowed_hosts: Sequence[str]) -> httpx.URL:
    """The URL behind a link or `Location`. Raises `UnsafeLinkError`; the message names the host, never the signature."""
    try:
        url = api.join(target)
    except httpx.InvalidURL:
        raise UnsafeLinkError("the link is no URL") from None
    if url.userinfo or not url.host:
        raise UnsafeLinkError(f"the link to {url.host or 'no host'} is malformed")
    if (url.host, url.port) == (api.host, api.port):
        raise UnsafeLinkError(f"the link leads back to the API host {url.host}")
    if is_loopback(api.host) and is_loopback(url.host):
        return url
    if url.scheme != "https":
        raise UnsafeLinkError(f"the link to {url.host} is {url.scheme}, not https")
    if not any(fnmatch(url.host, pattern) for pattern in allowed_hosts):
        raise UnsafeLinkError(f"{url.host} is not among HTW_STORAGE_HOSTS ({', '.join(allowed_hosts)})")
    return url
