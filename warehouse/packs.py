"""Packs: what one day of a dataset brought, in two files that any tool opens.

Belongs here: the files themselves, one body or record out of them, all records in order. Does not: choosing what is packed, and
when the loose files may go (`packing`), what records mean (`vault`).

`bodies-<n>.zip` holds bodies under their own names, stored as they are: they are compressed already. The zip's own directory is
the index. `records-<n>.jsonl.gz` holds records, one JSON text a line, in the order the fetches finished. What came after a day
was packed lies beside the packs, and is packed under the next number.
"""

from __future__ import annotations

import gzip
import io
import json
import logging
import os
import struct
import zipfile
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

LOGGER = logging.getLogger("vault")
BODIES, RECORDS = "bodies-{number}.zip", "records-{number}.jsonl.gz"
LOCAL_HEADER = struct.Struct("<26xHH")
GZIP_LEVEL = 6
# Packs looked into at the same time: a rebuild reads all datasets of a day side by side.
OPEN_PACKS = 64
BUFFER_BYTES = 1 << 16
Stamp = tuple[int, int, int]


class PackError(Exception):
    """A pack that is not as it was written."""


class Window(io.RawIOBase):
    """A stretch of a file as a file of its own, which closes the other."""

    def __init__(self, file: BinaryIO, byte_count: int) -> None:
        super().__init__()
        self._file, self._left = file, byte_count

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._file.read(min(len(buffer), self._left))
        buffer[: len(chunk)] = chunk
        self._left -= len(chunk)
        return len(chunk)

    def close(self) -> None:
        self._file.close()
        super().close()


def body_packs(folder: Path) -> list[Path]:
    """The packs of bodies of a day, oldest first."""
    return sorted(folder.glob(BODIES.format(number="*")), key=_number)


def record_packs(folder: Path) -> list[Path]:
    """The packs of records of a day, oldest first."""
    return sorted(folder.glob(RECORDS.format(number="*")), key=_number)


def next_number(folder: Path) -> int:
    """One that no pack of a day has."""
    return max((_number(path) for path in (*body_packs(folder), *record_packs(folder))), default=0) + 1


def is_record_pack(path: Path) -> bool:
    return path.name.startswith("records-") and path.name.endswith(".jsonl.gz")


def open_body(folder: Path, name: str) -> BinaryIO | None:
    """A body out of the packs of a day, as it is stored; None where none has it. Passes over packs that cannot be read."""
    found = (open_in(path, name) for path in body_packs(folder))
    return next((file for file in found if file is not None), None)


def open_in(path: Path, name: str) -> BinaryIO | None:
    """A body out of one pack, to be closed; None where that does not have it."""
    place = directory(path).get(name)
    return _window(path, *place) if place else None


def directory(path: Path) -> Mapping[str, tuple[int, int]]:
    """Where the header of each body stands in a pack, and how long it is, by its name; empty where the pack cannot be read."""
    try:
        return _directory(path, _stamp(path))
    except (OSError, PackError) as error:
        LOGGER.warning("%s cannot be read (%s)", path, error)
        return {}


def write_bodies(path: Path, files: Iterable[Path]) -> None:
    """A new pack of bodies, durable under the name given once this returns."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, strict_timestamps=False) as pack:
        for file in files:
            pack.write(file, file.name)
    _sync(path)


def write_records(path: Path, lines: Iterable[str]) -> None:
    """A new pack of records, one text a line, durable under the name given once this returns."""
    with path.open("wb") as file, gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0) as packed:
        for line in lines:
            packed.write(line.encode() + b"\n")
    _sync(path)


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a pack of records. All but the first are read when the second is asked for, and given up as they go: many
    packs can so be merged by what their first lines say. What follows a damaged place is left out."""
    if first := _first_line(path):
        yield first
        rest = deque(_content(path).split(b"\n"))
        rest.popleft()
        while rest:
            if line := rest.popleft():
                yield line


def texts_by_id(path: Path) -> Mapping[str, bytes]:
    """The lines of a pack of records by their fetch."""
    return _texts_by_id(path, _stamp(path))


def is_whole(path: Path) -> bool:
    """Whether a pack can be read from end to end: of bodies its directory, of records everything."""
    try:
        if is_record_pack(path):
            with gzip.open(path) as file:
                while file.read(1 << 20):
                    pass
        else:
            _directory(path, _stamp(path))
    except (OSError, EOFError, zlib.error, PackError):
        return False
    return True


@lru_cache(maxsize=OPEN_PACKS)
def _directory(path: Path, stamp: Stamp) -> Mapping[str, tuple[int, int]]:  # noqa: ARG001  # another file, another stamp
    try:
        with zipfile.ZipFile(path) as pack:
            return {entry.filename: (entry.header_offset, entry.file_size) for entry in pack.infolist()}
    # What zipfile raises for a file that is none, or is damaged: for a method of compression that it does not know, the third.
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise PackError(str(error)) from error


@lru_cache(maxsize=OPEN_PACKS // 8)
def _texts_by_id(path: Path, stamp: Stamp) -> Mapping[str, bytes]:  # noqa: ARG001  # as above
    found = {}
    for line in lines_of(path):
        try:
            found[json.loads(line)["fetch_id"]] = line
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _window(path: Path, header_at: int, byte_count: int) -> BinaryIO:
    """The bytes of a body begin after the header before them, which repeats its name."""
    file = path.open("rb")
    file.seek(header_at)
    file.seek(sum(LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size).ljust(LOCAL_HEADER.size, b"\0"))), os.SEEK_CUR)
    return io.BufferedReader(Window(file, byte_count), BUFFER_BYTES)


def _first_line(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.readline().rstrip(b"\n")
    except (OSError, EOFError, zlib.error) as error:
        LOGGER.warning("%s cannot be read (%s)", path, error)
        return b""


def _content(path: Path) -> bytes:
    """What can be read of a pack of records."""
    found = []
    try:
        with gzip.open(path) as file:
            while chunk := file.read(1 << 20):
                found.append(chunk)
    except (OSError, EOFError, zlib.error) as error:
        LOGGER.warning("%s is damaged (%s): what follows the damage is left out", path, error)
    return b"".join(found)


def _number(path: Path) -> int:
    digits = path.name.partition("-")[2].partition(".")[0]
    return int(digits) if digits.isdigit() else 0


def _stamp(path: Path) -> Stamp:
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
