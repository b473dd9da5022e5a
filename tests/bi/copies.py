"""A copy and a lake that are published anew beneath whoever reads, and the statement that tells old, new and neither apart.

Belongs here: what is published meanwhile, what docs/bi.md says of it. Does not: who reads (the tests), rows and tables
(`tests.dashboards.copies`).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import duckdb

from orchestration.modelling import described_marts, prepare_manifest
from tests.dashboards.copies import NOW, publish
from warehouse.lake import Lake
from warehouse.lake_publish import publish_lake

PUBLISHES = 10
MART = "fct_market_metrics"
# The publisher writes the one, a load the other: they belong together in one version only.
STATE = f"""
    select (select strftime(published_at, '%H:%M') from edition) as published_at,
        (select count(*) from marts.{MART}) as row_count
"""
State = tuple[str, int]

PAGE = Path(__file__).parents[2] / "docs" / "bi.md"
FOLDER_OF_PAGE = "/srv/hypertracker"


@dataclass
class Copy:
    """A published copy, of all marts or of one, and all the states it ever had: when published, how many rows of `MART`."""

    connection: duckdb.DuckDBPyConnection
    folder: Path
    only: str = ""
    stable: Path = field(init=False)
    states: list[State] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.publish()

    def publish(self) -> None:
        """The next version, with one row more."""
        at = NOW + timedelta(minutes=len(self.states))
        self.connection.execute("insert into ops.payloads (load_seq) values ($1)", [len(self.states) + 1])
        self.connection.execute(f"insert into marts.{MART} (snapshot_at, _load_seq) values ($1, $2)", [at, len(self.states) + 1])
        self.stable = publish(self.connection, self.folder, at, self.only)
        ((count,),) = self.connection.execute(f"select count(*) from marts.{MART}").fetchall()
        self.states.append((f"{at:%H:%M}", int(count)))

    def publish_lake(self) -> State:
        """The lake, with what the copy has of `MART`; its state."""
        marts = [mart for mart in described_marts(prepare_manifest()) if mart.name == MART]
        publish_lake(self.connection, Lake.below(self.folder), marts, NOW + timedelta(minutes=len(self.states) - 1))
        return self.states[-1]

    @contextmanager
    def changing(self, pause_s: float = 0.0) -> Iterator[Callable[[], bool]]:
        """Publishes `PUBLISHES` versions meanwhile; gives whether it is still at it."""

        def publish_on() -> None:
            for _ in range(PUBLISHES):
                self.publish()
                threading.Event().wait(pause_s)

        publishing = threading.Thread(target=publish_on)
        publishing.start()
        try:
            yield publishing.is_alive
        finally:
            publishing.join()


def python_of_page(folder: Path) -> list[str]:
    """The Python of docs/bi.md, block by block, for a data folder elsewhere."""
    blocks = re.findall(r"^```python\n(.+?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [block.replace(FOLDER_OF_PAGE, str(folder)) for block in blocks]
