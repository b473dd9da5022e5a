"""Bodies as files: written durably under the sha256 of the bytes received, compressed, read and verified.

Belongs here: one body. Does not: where bodies lie and what names them (`vault`), packs of them (`packs`).
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import uuid
import zlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import lz4.frame
import zstandard

from warehouse.fetches import Part
from warehouse.small_files import sync_folder

GZIP_MAGIC = b"\x1f\x8b"
LZ4_MAGIC = b"\x04\x22\x4d\x18"
ZSTD_LEVEL = 3
COPY_CHUNK_BYTES = 1 << 20
UNSOUND = (OSError, EOFError, zlib.error, zstandard.ZstdError, RuntimeError)
BODY_SUFFIXES = (".zst", ".gz", ".lz4")


class BodyWriter:
    """Streams one body into a folder of the vault at `root`: hashed as it passes, compressed, fsynced, renamed into place by
    `finish`.

    Use as a context manager: leaving it without `finish` removes the temporary file.
    """

    def __init__(self, root: Path, temporary: Path, folder: Path, suffix: str) -> None:
        self._folder, self._suffix = folder, suffix
        self._root, self._temporary = root, temporary / uuid.uuid4().hex
        self._digest = hashlib.sha256()
        self._target: BinaryIO | None = None
        self._raw: BinaryIO | None = None
        self._encoding = ""
        self.byte_count = 0

    def __enter__(self) -> Self:
        self._raw = self._temporary.open("wb")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._raw is not None:
            self._raw.close()
        self._temporary.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Append bytes exactly as received."""
        if not chunk:
            return
        if self._target is None:
            self._target = self._open_target(chunk)
        self._digest.update(chunk)
        self.byte_count += len(chunk)
        self._target.write(chunk)

    def finish(self) -> Part:
        """Make the body durable under its final name; writing the same bytes again changes nothing."""
        assert self._raw is not None, "finish() outside the with block"
        if self._target is None:
            self._target = self._open_target(b"")
        if self._target is not self._raw:
            self._target.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._raw.close()
        sha256 = self._digest.hexdigest()
        path = self._folder / f"{sha256}{self._suffix}{self._encoding}"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._temporary.replace(path)
        sync_folder(self._folder)
        return Part(sha256, self.byte_count, path.relative_to(self._root).as_posix())

    def _open_target(self, first: bytes) -> BinaryIO:
        assert self._raw is not None
        if first.startswith(GZIP_MAGIC):
            self._encoding = ".gz"
            return self._raw
        if first.startswith(LZ4_MAGIC):
            self._encoding = ".lz4"
            return self._raw
        self._encoding = ".zst"
        return zstandard.ZstdCompressor(level=ZSTD_LEVEL).stream_writer(self._raw, closefd=False)


def is_as_received(part: Part, file: BinaryIO) -> bool:
    """Whether a body as it is stored holds the bytes that were received."""
    digest = hashlib.sha256()
    try:
        with decompressed(file, ".zst") if part.file.endswith(".zst") else contextlib.nullcontext(file) as source:
            while chunk := source.read(COPY_CHUNK_BYTES):
                digest.update(chunk)
    except UNSOUND:
        return False
    return digest.hexdigest() == part.sha256


def decompressed(file: BinaryIO, suffix: str) -> contextlib.AbstractContextManager[BinaryIO]:
    """The text of a stored body, by the suffix of its file."""
    if suffix == ".zst":
        return zstandard.ZstdDecompressor().stream_reader(file, closefd=False)
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]
    if suffix == ".lz4":
        return lz4.frame.LZ4FrameFile(file)
    return contextlib.nullcontext(file)
