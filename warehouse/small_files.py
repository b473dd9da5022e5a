"""Small files of state: written as one step, and read so that a damaged one costs itself only.

Belongs here: durable writing, and keeping aside what cannot be read. Does not: what the files mean (`vault`, `plans`,
`quarantine`), looking for damage where nobody reads (`repair`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

LOGGER = logging.getLogger("vault")
DAMAGED_FOLDER = "damaged"
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IsADirectoryError)

ValueT = TypeVar("ValueT")


def write_durably(target: Path, text: str) -> None:
    """Write a small file so that after a power cut it is there whole, or as it was before."""
    aside = target.with_suffix(f".{os.getpid()}.tmp")
    with aside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_small(path: Path, parse: Callable[[str], ValueT], root: Path) -> ValueT | None:
    """What a file says; None where there is none, or none that can be read: that one is kept aside below `root`, and told."""
    try:
        return parse(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except UNREADABLE as error:
        LOGGER.warning("%s is damaged (%s) and was moved to %s", path, error, set_aside(path, root))
        return None


def is_readable(path: Path, parse: Callable[[str], object]) -> bool:
    """Whether a file can be read, or is gone. Touches nothing."""
    try:
        parse(path.read_text("utf-8"))
    except FileNotFoundError:
        return True
    except UNREADABLE:
        return False
    return True


def set_aside(path: Path, root: Path) -> Path:
    """Move a file from below `root` to its folder of damaged ones, under its own path and the time; where it is now."""
    kept = root / DAMAGED_FOLDER / path.relative_to(root)
    kept = kept.with_name(f"{kept.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    kept.parent.mkdir(parents=True, exist_ok=True)
    path.replace(kept)
    return kept
