"""Links: where an answer holds one, and which hosts may be asked for bytes, the one rule between a link and the network.

Pre-signed links are followed by a client that knows no token, and only to https hosts on the allow-list; an API on
loopback (the sandbox) may hand out loopback links.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

import httpx

from orchestration.hypertracker.endpoint import LinkNote
from orchestration.hypertracker.errors import NotFoundError, UnsafeLinkError
from orchestration.hypertracker.inspection import UTF8_BOM

ADDRESS_LIKE = re.compile(r"(^|\.)(\d+|0x[0-9a-f]*)\.?$")
HOST = re.compile(r"[0-9a-zA-Z._:-]+")
# Names that only a network's own resolver knows; one without a dot is such a name too.
INNER_ENDS = frozenset({"localhost", "local", "internal", "lan", "home", "corp", "arpa"})
NAT64 = ipaddress.ip_network("64:ff9b::/96")


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_loopback(host: str) -> bool:
    """Whether a host name can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def safe_link(target: str, api: httpx.URL, allowed_hosts: Sequence[str], base: httpx.URL | None = None) -> httpx.URL:
    """The URL behind a link or `Location` that was answered at `base`, by default by the API (contract 1, delivery kinds).

    Raises `UnsafeLinkError`; the message names the host, never the signature.
    """
    url = joined(base or api, target)
    if url.userinfo or not HOST.fullmatch(url.host):
        raise UnsafeLinkError(f"the link to {url.host or 'no host'} is malformed")
    is_local = is_loopback(api.host) and is_loopback(url.host)
    if (is_local or url.host == api.host) and url.port == api.port:
        raise UnsafeLinkError(f"the link leads back to the API host {url.host}")
    if url.scheme not in (("http", "https") if is_local else ("https",)):
        raise UnsafeLinkError(f"the link to {url.host} is {url.scheme}, not https")
    if not is_local and not _is_allowed(url.host, [pattern.lower() for pattern in allowed_hosts]):
        raise UnsafeLinkError(f"{url.host} is not among HTW_STORAGE_HOSTS ({', '.join(allowed_hosts)})")
    return url


def joined(base: httpx.URL, target: str) -> httpx.URL:
    """The URL behind a link as it stands at `base`. Raises `UnsafeLinkError` for what is none."""
    try:
        url = base.join(target)
        url.host  # noqa: B018  # where a host name that IDNA refuses is noticed, as a ValueError
    except (httpx.InvalidURL, ValueError):
        raise UnsafeLinkError("the link is no URL") from None
    return url


def _is_allowed(host: str, patterns: Sequence[str]) -> bool:
    """What lies inside a network (private, link-local, metadata services) must be listed as it is: no pattern allows it."""
    return host in patterns or (not _is_inner(host) and any(fnmatchcase(host, pattern) for pattern in patterns))


def _is_inner(host: str) -> bool:
    try:
        return not all(address.is_global and not address.is_multicast for address in _reached(ipaddress.ip_address(host)))
    except ValueError:
        name = host.lower().removesuffix(".")
        # The resolver reads `127.1`, `0x7f.1` and `2130706433` as addresses too; no host name ends in a number.
        return bool(ADDRESS_LIKE.search(name)) or "." not in name or name.rpartition(".")[2] in INNER_ENDS


def _reached(address: Address) -> list[Address]:
    """An address, and the one of IPv4 that gateways may translate it to."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    last = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else None
    hidden = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()), last)
    return [address, *(one for one in hidden if one is not None)]


def answered_link(text: bytes, note: LinkNote | None, notes: dict[str, str]) -> str | None:
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
