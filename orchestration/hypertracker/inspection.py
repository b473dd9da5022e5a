"""Looking at a body while it passes: how large it is once inflated, and whether it can be data at all.

Belongs here: what the bytes alone tell, before anybody parses them. Does not: whether the data is what the dataset promises
(`shapes`, the columns of `warehouse.payload_columns`).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import lz4.frame

from orchestration.hypertracker.errors import TooLargeError

GZIP_MAGIC = b"\x1f\x8b"
LZ4_MAGIC = b"\x04\x22\x4d\x18"
GZIP_WINDOW_BITS = 31
MAGIC_BYTES = 4
HEAD_BYTES = 64
PIECE_BYTES = 1 << 20
UTF8_BOM = b"\xef\xbb\xbf"


class Inflater(Protocol):
    """Gives the inflated bytes of what it is fed, in pieces; `is_whole` tells whether the file could end here."""

    is_whole: bool

    def pieces(self, chunk: bytes) -> Iterator[bytes]: ...


class BodyWatch:
    """Fed every chunk of one body. `cap_bytes` bounds the bytes received and the bytes they inflate to."""

    def __init__(self, cap_bytes: int) -> None:
        self._cap_bytes, self.inflated_bytes = cap_bytes, 0
        self._waiting, self._head = b"", b""
        self._inflater: Inflater | None = None
        self._damage = ""

    def see(self, chunk: bytes) -> None:
        """Take the next chunk. Raises `TooLargeError` before more than a mebibyte above the cap is inflated."""
        if self._inflater is None:
            self._waiting += chunk
            if len(self._waiting) < MAGIC_BYTES:
                return
            chunk, self._waiting, self._inflater = self._waiting, b"", _inflater_for(self._waiting)
        try:
            for piece in () if self._damage else self._inflater.pieces(chunk):
                self._count(piece)
        except (zlib.error, RuntimeError) as error:  # lz4 knows no exception of its own
            self._damage = f"the file's compression is damaged ({error})"

    def doubt(self) -> str:
        """Why the body, now that it has ended, cannot be data (contract 1, delivery kinds); empty where it can."""
        if self._damage or (self._inflater and not self._inflater.is_whole):
            return self._damage or "the file's compression breaks off"
        head = (self._head or self._waiting).removeprefix(UTF8_BOM).lstrip()
        if not head:
            return "0 bytes"
        if head.startswith((GZIP_MAGIC, LZ4_MAGIC)):
            return "the file is compressed twice"
        return "a web page or an XML error instead of data" if head.startswith(b"<") else ""

    def _count(self, piece: bytes) -> None:
        self.inflated_bytes += len(piece)
        if len(self._head) < HEAD_BYTES:
            self._head += piece[:HEAD_BYTES]
        if self.inflated_bytes > self._cap_bytes:
            raise TooLargeError(f"more than {self._cap_bytes:,} bytes")


class _Plain:
    is_whole = True

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        yield chunk


class _Gzip:
    """Members may follow each other, as `gzip` itself reads them; zeros after the last one are padding."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(GZIP_WINDOW_BITS)
        self.is_whole = False

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        while chunk:
            if self._member.eof:
                if not (chunk := chunk.lstrip(b"\0")):
                    return
                self._member = zlib.decompressobj(GZIP_WINDOW_BITS)
            yield self._member.decompress(chunk, PIECE_BYTES)
            self.is_whole = self._member.eof
            chunk = self._member.unconsumed_tail or self._member.unused_data


class _Lz4:
    """Frames may follow each other."""

    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameDecompressor()
        self.is_whole = False

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        while chunk or not (self._frame.needs_input or self._frame.eof):
            if self._frame.eof:
                self._frame = lz4.frame.LZ4FrameDecompressor()
            yield self._frame.decompress(chunk, PIECE_BYTES)
            self.is_whole = self._frame.eof
            chunk = self._frame.unused_data or b"" if self._frame.eof else b""


def _inflater_for(first: bytes) -> Inflater:
    kinds: tuple[tuple[bytes, Callable[[], Inflater]], ...] = ((GZIP_MAGIC, _Gzip), (LZ4_MAGIC, _Lz4))
    return next((make() for magic, make in kinds if first.startswith(magic)), _Plain())
