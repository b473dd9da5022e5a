"""Whether this process is the only one at something.

Belongs here: locks that are tried and not waited for. Does not: the writer lock (`warehouse.connection`), which is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
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


def sole_for_good(lock_file: Path) -> int | None:
    """A descriptor that holds a lock until it is closed here and in every process that inherits it, killed or not; None where
    another process holds the lock, whose number is in the file then."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    os.set_inheritable(descriptor, True)
    return descriptor
