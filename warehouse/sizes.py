"""How many bytes lie where: folders on disk, tables of the working file, what was received of each dataset.

Belongs here: measuring, each file and each table looked at once. Does not: what may go (`retention`, `packing`), forecasts and
words (`orchestration.storage_report`).

Bytes of a file are what it takes on disk, in whole blocks. Bytes of a table are the blocks of the working file that hold its
columns (`pragma_storage_info`), a block that several tables share in equal parts; nothing of the data is read. Free blocks are
used again by what is written next, and are counted apart.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path

import duckdb

from warehouse.ledger import naive
from warehouse.raw_tables import quoted

BLOCK_BYTES = 512  # of `st_blocks`, on every system
TABLES = (
    "select schema_name, table_name, estimated_size from duckdb_tables() where database_name = current_database() order by all"
)
DROPPED = "select 1 from duckdb_tables() where schema_name = 'ops' and table_name = 'dropped_raw'"


@dataclass(frozen=True)
class Files:
    """Files and what they take on disk; `packed_byte_count` is what they would take end to end."""

    count: int = 0
    byte_count: int = 0
    packed_byte_count: int = 0

    def __add__(self, other: Files) -> Files:
        counts = self.count + other.count, self.byte_count + other.byte_count
        return Files(*counts, self.packed_byte_count + other.packed_byte_count)


@dataclass(frozen=True)
class TableSize:
    """A table of the working file; how many rows is DuckDB's estimate."""

    schema: str
    name: str
    row_count: int
    byte_count: int


@dataclass(frozen=True)
class Received:
    """Payloads of a dataset's slots of one day: how many fetches brought bytes, how many bytes of them were loaded, and of those
    how many have their raw rows still."""

    dataset: str
    day: str
    fetch_count: int
    loaded_byte_count: int
    raw_byte_count: int


@dataclass(frozen=True)
class Working:
    """The working file: its tables, free blocks in bytes, and what was received by dataset and day of the slot."""

    tables: tuple[TableSize, ...] = ()
    free_byte_count: int = 0
    received: tuple[Received, ...] = field(default=())


def files_below(folder: Path) -> Files:
    """Everything below a folder, links not followed; nothing where there is none."""
    total = Files()
    for entry in _entries(folder):
        total += files_below(Path(entry.path)) if entry.is_dir(follow_symlinks=False) else _size(entry)
    return total


def files_named(folder: Path, pattern: str) -> Files:
    """The files of a folder whose name fits a pattern."""
    return sum((_size(entry) for entry in _entries(folder) if fnmatch(entry.name, pattern) and entry.is_file()), Files())


def vault_days(root: Path) -> dict[tuple[str, str], Files]:
    """What lies in the vault, by dataset and day of the slot."""
    days = (day for dataset in _entries(root) if dataset.is_dir() for day in _entries(Path(dataset.path)) if day.is_dir())
    found = {(Path(day.path).parent.name, day.name): files_below(Path(day.path)) for day in days}
    return {key: files for key, files in found.items() if len(key[1]) == len("2026-01-01") and key[1][4] == "-"}


def measure(connection: duckdb.DuckDBPyConnection, since: datetime) -> Working:
    """Tables of the working file, and what was received of slots since an instant (UTC)."""
    row = connection.execute("select block_size * free_blocks from pragma_database_size()").fetchone()
    return Working(tuple(_tables(connection)), int(row[0]) if row else 0, tuple(_received(connection, since)))


def loaded_bytes(connection: duckdb.DuckDBPyConnection) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes received of all payloads ever loaded, and of those whose raw rows are there, by dataset."""
    rows = connection.execute(
        f"select dataset, sum(byte_count), coalesce(sum(byte_count) filter (where {_has_raw(connection)}), 0) "
        "from ops.payloads group by dataset"
    ).fetchall()
    return {row[0]: int(row[1]) for row in rows}, {row[0]: int(row[2]) for row in rows}


def _received(connection: duckdb.DuckDBPyConnection, since: datetime) -> Iterator[Received]:
    rows = connection.execute(
        f"""with fetched as (
                select dataset, cast(slot as date) as day, count(*) as fetch_count from ops.fetches
                where slot >= $1 and byte_count > 0 group by all
            ),

            loaded as (
                select
                    dataset, cast(slot as date) as day, sum(byte_count) as byte_count,
                    sum(byte_count) filter (where {_has_raw(connection)}) as raw_byte_count
                from ops.payloads where slot >= $1 group by all
            )

            select dataset, strftime(day, '%Y-%m-%d'), fetch_count, coalesce(byte_count, 0), coalesce(raw_byte_count, 0)
            from fetched left join loaded using (dataset, day) order by all""",
        [naive(since)],
    ).fetchall()
    return (Received(row[0], row[1], *map(int, row[2:])) for row in rows)


def _has_raw(connection: duckdb.DuckDBPyConnection) -> str:
    is_there = connection.execute(DROPPED).fetchone() is not None
    return "load_seq not in (select load_seq from ops.dropped_raw)" if is_there else "true"


def _tables(connection: duckdb.DuckDBPyConnection) -> Iterator[TableSize]:
    found = connection.execute(TABLES).fetchall()
    blocks = [_blocks(connection, schema, name) for schema, name, _ in found]
    sharers = Counter(block for held in blocks for block in held)
    row = connection.execute("select block_size from pragma_database_size()").fetchone()
    block_size = int(row[0]) if row else 0
    for (schema, name, rows), held in zip(found, blocks, strict=True):
        yield TableSize(schema, name, rows, round(sum(block_size / sharers[block] for block in held)))


def _blocks(connection: duckdb.DuckDBPyConnection, schema: str, name: str) -> set[int]:
    table = f"{quoted(schema)}.{quoted(name)}".replace("'", "''")
    ids = "unnest(list_append(additional_block_ids, block_id))"
    rows = connection.execute(f"select distinct {ids} from pragma_storage_info('{table}') where persistent").fetchall()
    return {block for (block,) in rows if block is not None and block >= 0}


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _size(entry: os.DirEntry[str]) -> Files:
    try:
        stat = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return Files()
    return Files(1, stat.st_blocks * BLOCK_BYTES, stat.st_size)
