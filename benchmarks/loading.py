"""Lines 1 to 5: payloads from the vault to raw, and documents to rows, beside DuckDB's own readers, dlt and `json.load`.

Belongs here: measuring loads. Does not: running dlt (`peers`), whole ticks (`ticks`).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median

import duckdb

from benchmarks.folders import begin
from benchmarks.measuring import Check, Finding, Size, by_turns, in_order, ratio, spread
from benchmarks.peers import dlt_seconds
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.landing import land
from orchestration.registering import prepare
from warehouse.connection import open_writer
from warehouse.fetches import FetchRecord, new_fetch_id
from warehouse.ledger import Verdict
from warehouse.raw_tables import quoted
from warehouse.vault import Vault

SLOT = datetime(2026, 3, 24, tzinfo=UTC)
POSITIONS, ORDERS, EXPORT = BY_NAME["open_positions"], BY_NAME["order_snapshots"], BY_NAME["position_metrics_export"]
BY_KIND = {
    "double": "round(random() * 1e6, 6)", "bigint": "range", "boolean": "range % 2 = 0", "json": "[]",
    "timestamp": "strftime(timestamp '2026-03-01' + to_seconds(range % 2000000), '%Y-%m-%dT%H:%M:%S.%gZ')",
}  # fmt: skip
BY_COLUMN = {
    "id": "sha256(range::varchar)", "address": "'0x' || md5((range % 60000)::varchar) || '00000000'", "coin": "'BTC'",
    "dex": "'main'", "side": "if(range % 2 = 0, 'long', 'short')", "orderType": "'Limit'", "tif": "'Gtc'",
    "snapshotTs": "'2026-03-24T00:00:00.000Z'", "status": "'open'", "triggerCondition": "'N/A'", "cloid": "null",
    "builder": "null", "liquidationPrice": "if(range % 3 = 0, 0, round(random() * 1e5, 5))",
}  # fmt: skip
EXPORT_COLUMNS = ("timestamp", "positionCount", "positionCountLong", "totalPositionValue", "totalPositionValueLong")


def load_of_a_coin(size: Size) -> Finding:
    return _csv(size.coin_rows, size.runs, most=2.5)


def load_of_the_market(size: Size) -> Finding:
    return _csv(size.market_rows, size.runs, most=4)


def load_beside_dlt(size: Size) -> Finding:
    checks, notes = [], []
    for rows in (size.coin_rows, size.market_rows):
        with rows_file("csv", rows) as file:
            ours = [seconds_to_land(file, rows) for _ in range(min(size.runs, 3))]
            theirs = dlt_seconds(file, rows, runs=1 if rows > size.coin_rows else min(size.runs, 2))
        for way, least in (("dicts", 20.0), ("arrow", 1.5)):
            took = theirs.get(way)
            value = median(took) / median(ours) if took else None
            checks.append(Check(f"{rows:,} rows, dlt {way} / ours", value, "x", least=least, why_not=theirs.get("why_not", "")))
            notes.append(f"{rows:,} rows: ours {median(ours):.2f} s, dlt {way} {median(took):.2f} s" if took else "dlt: not run")
    return Finding(checks, notes)


def load_of_orders(size: Size) -> Finding:
    def pair(ours_first: bool) -> tuple[float, float]:
        return _against_count(file, size.order_rows, f"read_json('{file}')", ours_first)

    with rows_file("json.gz", size.order_rows) as file:
        pairs = by_turns(pair, size.runs)
    return Finding([Check(f"{size.order_rows:,} orders", ratio(pairs), "x", most=3)], [spread(pairs)])


def flattening(size: Size) -> Finding:
    """The staging model's own SQL over one document, beside reading that document with Python's parser."""
    text = _document(size.export_rows)
    with tempfile.TemporaryDirectory() as folder, open_writer(begin(Path(folder))) as connection:
        marks = ", ".join("?" for _ in range(9))
        values = [0, text, "payload", "BTC", SLOT, SLOT, None, None, 1]
        connection.execute(f"insert into raw.{EXPORT.name} values ({marks})", values)
        flatten = partial(connection.execute, f"create or replace temp table flat as select * from staging.stg_{EXPORT.name}")
        pairs = by_turns(lambda ours_first: in_order(flatten, lambda: json.loads(text), ours_first), max(size.runs, 3))
        _expect(connection.execute("select count(*) from flat").fetchall()[0][0], size.export_rows)
    return Finding([Check(f"{size.export_rows:,} rows flattened", ratio(pairs), "x", most=1.7)], [spread(pairs)])


def _csv(rows: int, runs: int, most: float) -> Finding:
    def pair(ours_first: bool) -> tuple[float, float]:
        return _against_count(file, rows, f"read_csv('{file}')", ours_first)

    with rows_file("csv", rows) as file:
        pairs = by_turns(pair, runs)
    return Finding([Check(f"{rows:,} positions", ratio(pairs), "x", most=most)], [spread(pairs)])


def _against_count(file: Path, rows: int, relation: str, ours_first: bool) -> tuple[float, float]:
    with landing(file, rows) as (connection, load):
        return in_order(load, lambda: connection.execute(f"select count(*) from {relation}").fetchall(), ours_first)


def seconds_to_land(file: Path, rows: int) -> float:
    with landing(file, rows) as (_, load):
        return in_order(load, lambda: None, True)[0]


@contextmanager
def landing(file: Path, rows: int) -> Iterator[tuple[duckdb.DuckDBPyConnection, partial[None]]]:
    """A new working file, and the landing of one payload in it."""
    dataset = POSITIONS if file.suffix == ".csv" else ORDERS
    with tempfile.TemporaryDirectory() as folder:
        vault = Vault(Path(folder) / "vault")
        vault.create()
        with vault.new_body(dataset.name, SLOT, dataset.suffix) as body:
            body.write(file.read_bytes())
            part = body.finish()
        record = FetchRecord(
            new_fetch_id(), dataset.name, "BTC", SLOT, SLOT, SLOT + timedelta(days=30), "received", (part,),
            state_before=SLOT, state_after=SLOT,
        )  # fmt: skip
        with open_writer(Path(folder) / "warehouse.duckdb") as connection:
            prepare(connection)
            yield connection, partial(_land, connection, vault, record, rows)


def _land(connection: duckdb.DuckDBPyConnection, vault: Vault, record: FetchRecord, rows: int) -> None:
    judgement = land(connection, vault, record)
    if judgement.verdict is not Verdict.LOADED:
        raise RuntimeError(f"{judgement.verdict}: {judgement.reason}")
    _expect(judgement.row_count, rows)


@contextmanager
def rows_file(kind: str, rows: int) -> Iterator[Path]:
    """Positions as CSV or orders as compressed JSON, all of one coin."""
    columns = POSITIONS.columns if kind == "csv" else ORDERS.columns
    values = ", ".join(f"{BY_COLUMN.get(name, BY_KIND.get(of, 'null'))} as {quoted(name)}" for name, of in columns.items())
    options = "header" if kind == "csv" else "format json, array true, compression gzip"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows.{kind}"
        duckdb.connect().execute(f"copy (select {values} from range({rows})) to '{path}' ({options})")
        yield path


def _document(rows: int) -> str:
    begin = SLOT - timedelta(hours=rows)
    data = [
        [f"{begin + timedelta(hours=n):%Y-%m-%dT%H:%M:%S.000Z}", 1000 + n % 77, 500 + n % 31, 1e6 + n / 7, 5e5 + n / 9]
        for n in range(rows)
    ]
    return json.dumps({"coin": "BTC", "metrics": {"columns": ["coin", *EXPORT_COLUMNS], "data": data}})


def _expect(found: int, wanted: int) -> None:
    if found != wanted:
        raise RuntimeError(f"{found:,} rows instead of {wanted:,}")
