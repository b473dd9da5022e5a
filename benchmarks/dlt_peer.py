"""dlt loading the rows of a CSV file into DuckDB, row by row and by arrow; runs in the environment that `peers` makes.

Belongs here: dlt as its own pages tell to use it. Does not: anything of the project, which is not installed there.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import dlt
import pyarrow.csv


def main(file: str, rows: str, runs: str) -> dict[str, Any]:
    ways: dict[str, Callable[[], Any]] = {"dicts": lambda: _dicts(file), "arrow": lambda: pyarrow.csv.read_csv(file)}
    seconds = {way: [_seconds(read, int(rows)) for _ in range(int(runs))] for way, read in ways.items()}
    return {"version": dlt.__version__, **seconds}


def _dicts(file: str) -> Any:
    with open(file, encoding="utf-8", newline="") as lines:  # noqa: PTH123  # one opener for both ways
        yield from csv.DictReader(lines)


def _seconds(read: Callable[[], Any], rows: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        destination = dlt.destinations.duckdb(os.path.join(folder, "peer.duckdb"))  # noqa: PTH118
        pipeline = dlt.pipeline("peer", pipelines_dir=folder, destination=destination, dataset_name="raw")
        begun = time.perf_counter()
        pipeline.run(dlt.resource(read(), name="positions"))
        took = time.perf_counter() - begun
        with pipeline.sql_client() as client:
            ((found,),) = client.execute_sql("select count(*) from positions")
        if found != rows:
            raise RuntimeError(f"dlt loaded {found} rows instead of {rows}")
        return took


if __name__ == "__main__":
    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
    print(json.dumps(main(*sys.argv[1:])))
