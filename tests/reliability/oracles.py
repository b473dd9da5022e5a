"""What must hold after every fault, as small functions: each raises `AssertionError` and says what does not.

Belongs here: the oracles O1 to O6 of a data folder. Does not: making faults (`gauntlet`), or what one fault comes to (the tests).
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import zstandard

from orchestration.pipeline import Pipeline
from tests.pipeline.conftest import ABOUT_POLLS
from warehouse.connection import open_reader
from warehouse.ledger import Judgement, naive
from warehouse.query import query

# When something was first had, in which order it was loaded, and which bytes brought it: what a fault may well change.
OF_THE_FETCH = frozenset({"known_at", "_load_seq", "payload_id", "left_payload_id", "right_payload_id"})
MARTS = "select table_name from duckdb_tables() where schema_name = 'marts' order by all"
COLUMNS = "select column_name from duckdb_columns() where schema_name = 'marts' and table_name = ? order by column_index"
LOOKS_EVERY_S = 0.2

Rows = list[tuple[Any, ...]]


def facts(pipeline: Pipeline, without: Collection[str] = OF_THE_FETCH) -> dict[str, Rows]:
    """O1: every mart but those about polls, as ordered rows of the working file."""
    with open_reader(pipeline.settings.warehouse_file) as connection:
        tables = [name for (name,) in connection.execute(MARTS).fetchall() if name not in ABOUT_POLLS]
        return {table: _rows(connection, table, without) for table in tables}


def _rows(connection: duckdb.DuckDBPyConnection, table: str, without: Collection[str]) -> Rows:
    names = [name for (name,) in connection.execute(COLUMNS, [table]).fetchall() if name not in without]
    listed = ", ".join(f'"{name}"' for name in names)
    return connection.execute(f"select {listed} from marts.{table} order by all").fetchall()


def payloads(pipeline: Pipeline) -> dict[tuple[str, str, datetime], tuple[str, ...]]:
    """Which bytes were loaded for each (dataset, scope, slot), by their sha256."""
    with open_reader(pipeline.settings.warehouse_file) as connection:
        rows = connection.execute("select dataset, scope, slot, list(sha256) from ops.payloads group by all").fetchall()
    return {(dataset, scope, slot): tuple(hashes) for dataset, scope, slot, hashes in rows}


def check_coverage(pipeline: Pipeline, since: datetime, until: datetime) -> Rows:
    """O2: one verdict for every due slot of a window (UTC); gives dataset, scope, slot and verdict of those that are missing."""
    with open_reader(pipeline.settings.warehouse_file) as connection:
        sql = "select dataset, scope, slot, verdict, is_missing, is_planned from ops.slot_coverage(?, ?)"
        rows = connection.execute(sql, [naive(since), naive(until)]).fetchall()
    assert any(row[5] for row in rows), "nothing was due"
    assert len({row[:3] for row in rows}) == len(rows), "a slot has two verdicts"
    assert all(row[3] for row in rows), "a slot has no verdict"
    return [row[:4] for row in rows if row[4]]


def check_vault(pipeline: Pipeline) -> int:
    """O2: every payload in the ledger is in the vault, as it was received. How many there are."""
    with open_reader(pipeline.settings.warehouse_file) as connection:
        loaded = {payload_id for (payload_id,) in connection.execute("select payload_id from ops.payloads").fetchall()}
    parts = {record.payload_id: record.parts for record in pipeline.vault.records() if record.outcome == "received"}
    assert loaded <= parts.keys(), "a payload of the ledger is not in the vault"
    assert all(pipeline.vault.verify(part) for payload_id in loaded for part in parts[payload_id])
    return len(loaded)


def check_requests(pipeline: Pipeline, served: int, day: datetime) -> None:
    """O4: the provider counted what the ledger has and what the budget has, and no more than the plan allows."""
    with open_reader(pipeline.settings.warehouse_file) as connection:
        row = connection.execute("select sum(requests_spent) from ops.fetches").fetchone()
    debited = sum(pipeline.budget().spent_in(day.date()).values())
    assert (row and row[0], debited) == (served, served), "provider, ledger and budget count differently"
    assert served <= pipeline.settings.plan_limits().per_day


def check_secrets(folder: Path, texts: Iterable[str], secrets: Collection[str]) -> int:
    """O5: none of these words in any file below a folder, packed or not, nor in any text. How many files were looked at."""
    assert secrets
    assert all(len(secret) > 3 for secret in secrets)
    for text in texts:
        assert not [secret for secret in secrets if secret in text], "a text holds a secret"
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        content = _unpacked(path)
        assert not [secret for secret in secrets if secret.encode() in content], f"{path} holds a secret"
    return len(files)


def _unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix != ".zst":
        return content
    return content + zstandard.ZstdDecompressor().stream_reader(content).read()


def check_words(judgement: Judgement) -> None:
    """O6: what did not arrive says one cause, on one line of bearable length, and what mends it."""
    assert judgement.reason
    assert judgement.mend
    assert "\n" not in judgement.reason
    assert len(judgement.reason) < 700


@dataclass
class Reader:
    """Somebody who looks at the published copy all the time: how many rows each look saw, and what failed."""

    counts: list[int] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)


@contextmanager
def reading(file: Path, table: str) -> Iterator[Reader]:
    """O3: read a table of the published copy again and again until the block ends; the caller looks at what was seen."""
    reader, is_over = Reader(), threading.Event()

    def read() -> None:
        while not is_over.wait(LOOKS_EVERY_S):
            try:
                reader.counts.append(int(query(file, f"select count(*) as n from {table}")["n"].iloc[0]))
            except Exception as error:  # whatever a reader would have seen
                reader.errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield reader
    finally:
        is_over.set()
        thread.join()
