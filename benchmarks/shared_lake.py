"""Line 18: several machines publishing to one shared lake, on a real PostgreSQL and an S3-compatible server (moto).

Belongs here: writers, each with a working file and coins of its own, and what they manage together. Does not: the rows
(`history`), a lake of one machine (`publishing`).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.history import END, append_tick, write_history
from benchmarks.measuring import FULL, QUICK, REPOSITORY, Check, Finding, Size, seconds
from benchmarks.publishing import marts_of
from orchestration.registering import prepare
from tests.production.cluster import binaries, running_cluster
from tests.stores import shared_lake, store_process
from warehouse.connection import open_writer
from warehouse.lake import Lake
from warehouse.lake_publish import publish_lake
from warehouse.publish import draft_of, publish_file

WRITERS = (1, 2, 4)
PLACES = ("file", "lake")  # of one machine alone: the published file, a lake on SQLite
QUARTER = timedelta(minutes=15)
COINS_OF_A_WRITER = 10


def writers_of_a_lake(size: Size) -> Finding:
    """Ticks a minute of one, two and four writers at once, and what one of them pays beside a file or a lake of its own."""
    if (found := binaries()) is None:
        return Finding([Check("ticks a minute", None, "ticks", why_not="no PostgreSQL is installed here")])
    ticks = max(size.publishes // 6, 1)
    alone = {place: _rate([(size.name, place, ticks)]) for place in PLACES}
    together = {}
    with running_cluster(found) as cluster, store_process() as endpoint:
        for count in WRITERS:
            database = f"lake_of_{count}"
            cluster.ask(f"create database {database}")
            shared = [(size.name, number, ticks, cluster.port, database, endpoint) for number in range(count)]
            together[count] = _rate(shared)
    checks = [
        *(Check(f"{count} at once, all of them together", rate, "ticks a minute") for count, rate in together.items()),
        Check(f"{WRITERS[-1]} writers together / one", together[WRITERS[-1]] / together[1], "x"),
        Check("one tick, shared lake / published file", alone["file"] / together[1], "x"),
        Check("one tick, shared lake / lake of one machine", alone["lake"] / together[1], "x"),
    ]
    notes = [
        f"each writer: {ticks} ticks of {COINS_OF_A_WRITER} coins of its own, all marts in one transaction a tick; nobody polls",
        f"of one machine alone: published file {alone['file']:.0f}, lake on SQLite {alone['lake']:.0f} ticks a minute",
        "PostgreSQL, the store (moto, one process of Python) and all writers share the cores",
    ]
    return Finding(checks, notes)


def main(size: str, place: str, ticks: str, port: str = "", database: str = "", endpoint: str = "") -> dict[str, Any]:
    """One writer: gets ready, says so, waits for a line, publishes its ticks."""
    coins = f"C{place}_"
    few = replace(
        {"full": FULL, "quick": QUICK}[size], history_days=1, history_coins=COINS_OF_A_WRITER, positions=1_000,
        snapshots_of_positions=1,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name, open_writer(Path(name) / "warehouse.duckdb") as connection:
        folder = Path(name)
        lake = shared_lake(int(port), database, endpoint) if port else Lake.below(folder)
        publisher = f"{int(place):012x}" if port else ""
        prepare(connection)
        write_history(connection, few, coins)
        marts = marts_of(connection)

        def publish(number: int) -> None:
            now = END + number * QUARTER
            if place == "file":
                publish_file(connection, folder / "published", marts, now, draft=draft_of(folder / "published"))
            else:
                publish_lake(connection, lake, marts, now, publisher=publisher)

        publish(0)
        print("ready", flush=True)
        sys.stdin.readline()
        published = 0.0
        for number in range(1, int(ticks) + 1):
            append_tick(connection, few, END + number * QUARTER, number, coins)
            published += seconds(lambda number=number: publish(number))
    return {"published_s": published}


def _rate(writers: Sequence[Sequence[object]]) -> float:
    """Ticks a minute of all of them together, from the moment when all are ready until the last is done."""
    with ExitStack() as stack:
        children = [stack.enter_context(_child(arguments)) for arguments in writers]
        for child in children:
            if child.stdout is None or child.stdout.readline().strip() != "ready":
                raise RuntimeError("a writer did not get ready")

        def run() -> None:
            for child in children:
                assert child.stdin is not None
                child.stdin.write("go\n")
                child.stdin.flush()
            for child in children:
                if child.wait():
                    raise RuntimeError("a writer ended with an error")

        took = seconds(run)
    return 60 * sum(int(str(arguments[2])) for arguments in writers) / took


@contextmanager
def _child(arguments: Sequence[object]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.child", "shared_lake", *map(str, arguments)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()
