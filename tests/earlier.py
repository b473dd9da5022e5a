"""A data folder as an earlier state of the project left it: its vault, and the working file that it wrote.

Made by commit aa3ab56, the last whose ledger lacked what schema version 2 has: three ticks of a sandbox of 3 coins, nine datasets
polled for BTC and ETH, then its own build and publish.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import zstandard

HERE = Path(__file__).parent / "data" / "earlier"
PAYLOADS = 17


def unpack_vault(folder: Path) -> Path:
    """Put the vault into a data folder; the folder."""
    with tarfile.open(HERE / "vault.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def unpack_working_file(folder: Path) -> Path:
    """Put the working file into a data folder; the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "warehouse.duckdb"
    with (HERE / "warehouse.duckdb.zst").open("rb") as packed, file.open("wb") as target:
        zstandard.ZstdDecompressor().copy_stream(packed, target)
    return file
