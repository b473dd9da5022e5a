"""The files of a payload as DuckDB's readers can open them.

Belongs here: what those readers do not know (LZ4, byte order marks, endless lines) and what makes them slow. Does not: what the
files hold (`payload_columns`), where they are kept (`vault`).
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from warehouse.bodies import COPY_CHUNK_BYTES
from warehouse.fetches import Part
from warehouse.payload_columns import BOM, LoadError
from warehouse.vault import Vault

UNPACKED_FROM_BYTES = 4 << 20
LONGEST_LINE_BYTES = 1 << 20
COMPRESSIONS = {".zst": "zstd", ".gz": "gzip"}


@contextlib.contextmanager
def readable(vault: Vault, parts: Sequence[Part], is_json: bool) -> Iterator[tuple[list[str], str]]:
    """The files as DuckDB's readers can open them, and their compression; LZ4 and JSON after a byte order mark, which they do
    not know, are unpacked aside, and large CSV, which they read with all threads only so."""
    suffixes = {vault.path(part).suffix for part in parts}
    is_known = len(suffixes) == 1 and suffixes <= COMPRESSIONS.keys()
    is_large = not is_json and sum(part.byte_count for part in parts) > UNPACKED_FROM_BYTES
    is_marked = is_json and any(_begins_with_bom(vault, part) for part in parts)
    with tempfile.TemporaryDirectory(dir=vault.temporary) as folder:
        names = [(part, Path(folder) / str(number)) for number, part in enumerate(parts)]
        if is_known and not is_marked and not is_large:
            yield [str(vault.held(part, path)) for part, path in names], COMPRESSIONS[suffixes.pop()]
        else:
            yield [str(_unpacked(vault, part, path)) for part, path in names], "auto_detect" if is_json else "none"


def check_lines(vault: Vault, parts: Sequence[Part]) -> None:
    """Raises `LoadError` for an endless line: one longer than its buffers, if the last, DuckDB leaves out, and says nothing."""
    for part in parts:
        with vault.open(part) as stream:
            while chunk := stream.read(LONGEST_LINE_BYTES):
                if len(chunk) == LONGEST_LINE_BYTES and b"\n" not in chunk and b"\r" not in chunk:
                    raise LoadError(
                        f"one line is longer than {LONGEST_LINE_BYTES:,} bytes: {chunk[:60].decode('utf-8', 'replace')}"
                    )


def _unpacked(vault: Vault, part: Part, target: Path) -> Path:
    with vault.open(part) as source, target.open("wb") as file:
        file.write(source.read(len(BOM)).removeprefix(BOM))
        shutil.copyfileobj(source, file, COPY_CHUNK_BYTES)
    return target


def _begins_with_bom(vault: Vault, part: Part) -> bool:
    with vault.open(part) as stream:
        return stream.read(len(BOM)) == BOM
