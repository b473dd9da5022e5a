"""A full disk: how it shows through every library that meets it, and the one sentence for it.

Belongs here: telling a full disk from other failures. Does not: what is done about it (nothing is: the caller stops).
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FULL_WORDS = ("no space left on device", "database or disk is full", "disk quota exceeded", "file too large")
LEAST_ROOM_BYTES = 1 << 20
DISK_FULL = "the disk is full (HTW_DATA_DIR); free some space, then run the same command again"


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or one that caused it, is the disk's. DuckDB and SQLite say so in words only."""
    found: BaseException | None = error
    while found is not None:
        if (isinstance(found, OSError) and found.errno in FULL_ERRNOS) or says_disk_full(str(found)):
            return True
        found = found.__cause__ or found.__context__
    return False


def says_disk_full(text: str) -> bool:
    return any(words in text.lower() for words in FULL_WORDS)


@contextlib.contextmanager
def full_disk_in_words(folder: Path) -> Iterator[None]:
    """Errors inside, where the disk of `folder` is full, come as `OSError` that says so: SQLite says no more than "I/O error"."""
    try:
        yield
    except Exception as error:
        if is_disk_full(error) or shutil.disk_usage(folder).free < LEAST_ROOM_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
        raise
