"""What the bytes of a body tell while they pass."""

from __future__ import annotations

import gzip

import lz4.frame
import pytest

from orchestration.hypertracker.errors import TooLargeError
from orchestration.hypertracker.inspection import PIECE_BYTES, BodyWatch

TEXT = b"id,address\n" + bytes(range(48, 122)) * 40
GZIP, LZ4 = gzip.compress(TEXT, mtime=0), lz4.frame.compress(TEXT, content_checksum=True)

# Bodies that may be data, and what they inflate to.
SOUND = {
    "plain": (TEXT, len(TEXT)),
    "gzip": (GZIP, len(TEXT)),
    "gzip in two members": (GZIP + GZIP, 2 * len(TEXT)),
    "gzip with padding": (GZIP + bytes(512), len(TEXT)),
    "LZ4": (LZ4, len(TEXT)),
    "LZ4 in two frames": (LZ4 + LZ4, 2 * len(TEXT)),
    "two characters": (b"[]", 0),
}


def watched(body: bytes, chunk_bytes: int, cap_bytes: int = 1 << 30) -> BodyWatch:
    watch = BodyWatch(cap_bytes)
    for start in range(0, len(body), chunk_bytes):
        watch.see(body[start : start + chunk_bytes])
    return watch


@pytest.mark.parametrize("chunk_bytes", [1, 3, 100, 1 << 20])
@pytest.mark.parametrize("case", SOUND, ids=str)
def test_sound_bodies_are_not_doubted_however_they_come(case: str, chunk_bytes: int) -> None:
    body, inflated_bytes = SOUND[case]
    watch = watched(body, chunk_bytes)
    assert watch.doubt() == ""
    assert watch.inflated_bytes == inflated_bytes


# Bodies that cannot be data, and a word of the reason.
UNSOUND = {
    "nothing": (b"", "0 bytes"),
    "blanks": (b" \r\n", "0 bytes"),
    "a mark alone": (b"\xef\xbb\xbf", "0 bytes"),
    "a web page": (b"\xef\xbb\xbf\n<!doctype html>", "web page"),
    "a web page, compressed": (gzip.compress(b"<html>"), "web page"),
    "nothing, compressed": (gzip.compress(b""), "0 bytes"),
    "gzip twice": (gzip.compress(GZIP), "twice"),
    "LZ4 in gzip": (gzip.compress(LZ4), "twice"),
    "gzip cut": (GZIP[:-9], "breaks off"),
    "gzip without its last byte": (GZIP[:-1], "breaks off"),
    "second member cut": (GZIP + GZIP[:-1], "breaks off"),
    "LZ4 cut": (LZ4[:-9], "breaks off"),
    "gzip with a wrong checksum": (GZIP[:-8] + bytes(4) + GZIP[-4:], "damaged"),
    "gzip with a wrong length": (GZIP[:-4] + bytes(4), "damaged"),
    "gzip and something": (GZIP + b"something", "damaged"),
    "LZ4 with a wrong checksum": (LZ4[:-4] + bytes(4), "damaged"),
}


@pytest.mark.parametrize("chunk_bytes", [1, 1 << 20])
@pytest.mark.parametrize("case", UNSOUND, ids=str)
def test_unsound_bodies_are_doubted_in_words(case: str, chunk_bytes: int) -> None:
    body, word = UNSOUND[case]
    assert word in watched(body, chunk_bytes).doubt()


@pytest.mark.parametrize("compress", [gzip.compress, lz4.frame.compress], ids=["gzip", "LZ4"])
def test_a_bomb_is_refused_before_it_is_inflated(compress: object) -> None:
    assert callable(compress)
    watch, cap_bytes = BodyWatch(PIECE_BYTES), PIECE_BYTES
    with pytest.raises(TooLargeError):
        watch.see(compress(bytes(64 * PIECE_BYTES)))
    assert watch.inflated_bytes <= cap_bytes + PIECE_BYTES
