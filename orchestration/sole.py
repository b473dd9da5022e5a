"""Whether this process is the only one at something.

Belongs here: the one lock that is tried and not waited for. Does not: the writer lock (`warehouse.connection`), which is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


@contextlib.contextmanager
def sole(lock_file: Path) -> Iterator[bool]:
    """Whether nobody else holds the lock now; where that is so, it is held as long as one is inside."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
