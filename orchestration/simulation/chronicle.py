"""What happened in a simulated month, as the ledger of a DuckDB file: the tables that users read, by the code that makes them.

Belongs here: keeping fetches in memory and writing them in bulk. Does not: their verdicts (`sweeps`, `mending`), reading them
(`figures`). Scopes that had the same fate are one entry here and one row each in the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from orchestration.registering import prepare
from warehouse.ledger import Verdict
from warehouse.plans import PlanBook, write_plans

COLUMNS = """{dataset: 'varchar', slot: 'timestamp', finished_at: 'timestamp', verdict: 'varchar', reason: 'varchar',
    requests_spent: 'integer', source: 'varchar', scopes: 'varchar[]'}"""
WRITE_SQL = f"""
    insert into ops.fetches by name
    select * exclude (number), number || '-' || row_number() over () as fetch_id, nextval('ops.fetch_seq') as fetch_seq
    from (
        select
            row_number() over () as number, dataset, slot, finished_at, finished_at as started_at, verdict, reason, '' as mend,
            requests_spent, source, unnest(scopes) as scope
        from read_json(?, format = 'newline_delimited', columns = {COLUMNS})
    )
"""


@dataclass(frozen=True)
class Entry:
    """One fetch each of some scopes of a dataset for a slot; `spent` is what each cost."""

    dataset: str
    scopes: Sequence[str]
    slot: datetime
    finished_at: datetime
    verdict: Verdict
    reason: str = ""
    spent: int = 0
    source: str = ""

    def to_json(self) -> str:
        times = (f"{moment:%Y-%m-%d %H:%M:%S.%f}" for moment in (self.slot, self.finished_at))
        words = (self.verdict.value, self.reason, self.spent, self.source or self.dataset, list(self.scopes))
        names = ("dataset", "slot", "finished_at", "verdict", "reason", "requests_spent", "source", "scopes")
        return json.dumps(dict(zip(names, (self.dataset, *times, *words), strict=True)))


class Chronicle:
    """Every fetch of the month, in the order in which they ended; `listener` is told of each."""

    def __init__(self, listener: Callable[[Entry], None] = lambda _: None) -> None:
        self.entries: list[Entry] = []
        self._listener = listener

    def note(self, entry: Entry) -> None:
        if entry.scopes:
            self.entries.append(entry)
            self._listener(entry)

    def write(self, file: Path, book: PlanBook) -> None:
        """Make a warehouse of it: ledger, plans, registry and the macro of coverage."""
        lines = file.with_suffix(".jsonl")
        with lines.open("w", encoding="utf-8") as target:
            target.writelines(f"{entry.to_json()}\n" for entry in self.entries)
        with duckdb.connect(str(file)) as connection:
            connection.execute("set enable_progress_bar = false")
            prepare(connection)
            write_plans(connection, book)
            connection.execute(WRITE_SQL, [str(lines)])
        lines.unlink()
