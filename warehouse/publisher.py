"""Who publishes: a name that a vault keeps, under which its rows stand in a lake that several publish to.

Belongs here: the name. Does not: what it is written beside (`changes`, `lake_notes`). The vault has it because all that is
published can be made again from the vault: a working file made anew, or a vault moved to another machine, goes on under one name.
"""

from __future__ import annotations

import contextlib
import re
import uuid
from pathlib import Path

from warehouse.connection import WarehouseError
from warehouse.small_files import write_durably

FILE = "publisher"
NAME = re.compile(r"[0-9a-f]{12}")


def publisher_of(vault: Path) -> str:
    """The name of whoever fills a vault, made where there is none yet. Raises `WarehouseError` where it is damaged."""
    if not (vault / FILE).exists():
        vault.mkdir(parents=True, exist_ok=True)
        write_durably(vault / FILE, uuid.uuid4().hex[:12])
    if name := known_publisher(vault):
        return name
    raise WarehouseError(
        f"{vault / FILE} holds no name of a publisher",
        "write the one into it that `htw lake status` shows for this machine's rows, or remove it to publish under a new one",
    )


def known_publisher(vault: Path) -> str:
    """The same without making one; empty where there is none that can be read."""
    with contextlib.suppress(OSError):
        text = (vault / FILE).read_text("utf-8", errors="replace").strip()
        return text if NAME.fullmatch(text) else ""
    return ""
