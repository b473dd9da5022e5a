"""What holds for any payload, not only for those somebody thought of: exactly its rows or a quarantine, in any order the same.

Belongs here: properties that hypothesis tries to break. Does not: damaged bytes (`test_fuzz`), known oddities
(`test_shapes_and_values`), names of coins (`test_coin_names`).
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.hypertracker.datasets import BY_NAME
from orchestration.hypertracker.shapes import ShapeError, align
from orchestration.landing import land_all
from orchestration.modelling import build, raise_for_failures
from orchestration.registering import prepare
from warehouse.connection import open_writer
from warehouse.fetches import FetchRecord
from warehouse.ledger import Judgement, Verdict
from warehouse.vault import Vault

SLOT = datetime(2026, 4, 28, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
REQUIRED = ("timestamp", "positionCount", "positionCountLong", "totalPositionValue", "totalPositionValueLong")
COLUMNS = list(BY_NAME["open_positions"].columns)
TEXTS = ("id", "address", "side", "dex")


class Bench:
    """A vault and a working file, both of their own."""

    def __init__(self, folder: Path) -> None:
        self.file, self.vault = folder / "warehouse.duckdb", Vault(folder / "vault")
        self.vault.create()
        self.count = 0

    def fetch(self, dataset: str, scope: str, body: bytes, slot: datetime = SLOT) -> FetchRecord:
        self.count += 1
        with self.vault.new_body(dataset, slot, BY_NAME[dataset].suffix) as writer:
            writer.write(body)
            part = writer.finish()
        at = slot + timedelta(seconds=9, milliseconds=self.count)
        return FetchRecord(
            f"{self.count:032x}", dataset, scope, slot, at, at, "received", (part,), state_before=slot, state_after=slot
        )  # fmt: skip

    @contextmanager
    def landed(self, records: Sequence[FetchRecord]) -> Iterator[tuple[duckdb.DuckDBPyConnection, list[Judgement]]]:
        with open_writer(self.file) as connection:
            if not connection.execute("select 1 from duckdb_schemas() where schema_name = 'raw'").fetchone():
                prepare(connection)
            yield connection, [judgement for _, judgement in land_all(connection, self.vault, records)]


@pytest.fixture(scope="module")
def memory() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        prepare(connection)
        yield connection


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("properties"))


def fresh(connection: duckdb.DuckDBPyConnection, bench: Bench, dataset: str, scope: str, body: bytes) -> tuple[Judgement, str]:
    """The verdict on a payload that is the first of all."""
    for table in ("ops.fetches", "ops.payloads", "ops.definitions", "ops.quarantine", "ops.rejected_rows", f"raw.{dataset}"):
        connection.execute(f"delete from {table}")
    record = bench.fetch(dataset, scope, body)
    ((_, judgement),) = land_all(connection, bench.vault, [record])
    return judgement, record.payload_id


names = st.sampled_from([*REQUIRED, "coin", "mood", "id", "data", "Timestamp", "a b", "\u00e9"]) | st.text(max_size=5)
numbers = st.integers(0, 2**63 - 1)
moments = st.datetimes(datetime(2026, 4, 1), datetime(2026, 4, 27)).map(lambda at: at.isoformat(timespec="milliseconds") + "Z")


@st.composite
def columnar(draw: st.DrawFn) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows that fit each other, or nearly: in any order, with others between, too many, too few, twice."""
    columns = list(draw(st.permutations([*REQUIRED, *draw(st.lists(names, max_size=3))])))
    if draw(st.booleans()):
        columns.insert(0, "coin")
    if draw(st.integers(0, 4)) == 0:
        columns.pop(draw(st.integers(0, len(columns) - 1)))
    width = len(columns) - draw(st.sampled_from([0, 0, 1, 1, 2, -1]))
    kept = columns[1:] if width == len(columns) - 1 and columns[0] == "coin" else columns
    rows = []
    for _ in range(draw(st.integers(0, 3))):
        row = [draw(moments if name == "timestamp" else numbers) for name in kept][:width]
        rows.append(row + [draw(numbers)] * (width - len(row)))
    return columns, rows


def told(columns: list[str], rows: list[list[Any]]) -> list[tuple[Any, ...]] | None:
    """The rows that a table holds by the one rule of the contract, in words of its own; None where it is not certain."""
    if len(set(columns)) < len(columns) or len({len(row) for row in rows}) > 1:
        return None
    kept = columns[1:] if columns[0] == "coin" and rows and len(rows[0]) == len(columns) - 1 else columns
    if not set(REQUIRED) <= set(kept) or any(len(row) != len(kept) for row in rows):
        return None
    at = kept.index("timestamp")
    if any(one != other for one in rows for other in rows if one[at] == other[at]):
        return None
    return [tuple(dict(zip(kept, row, strict=True))[name] for name in REQUIRED) for row in rows]


@given(columnar())
def test_any_table_gives_its_rows_by_name_or_is_quarantined(
    memory: duckdb.DuckDBPyConnection, bench: Bench, table: tuple[list[str], list[list[Any]]]
) -> None:
    columns, rows = table
    body = json.dumps({"coin": "BTC", "metrics": {"columns": columns, "data": rows}}).encode()
    judgement, _ = fresh(memory, bench, "position_metrics_export", "BTC", body)
    expected = told(columns, rows)
    if expected is None:
        assert judgement.verdict is Verdict.QUARANTINED
        assert judgement.reason
    else:
        assert judgement.verdict is (Verdict.LOADED if expected else Verdict.EMPTY), judgement.reason
        assert judgement.row_count == len(expected)


@given(st.lists(st.text(max_size=3), max_size=6), st.lists(st.lists(st.integers(), max_size=6) | st.integers(), max_size=3))
def test_columns_and_rows_are_aligned_or_refused(columns: list[str], rows: list[Any]) -> None:
    try:
        names = align(columns, rows)
    except ShapeError:
        return
    assert all(len(row) == len(names) for row in rows)
    assert names in (columns, columns[1:])


@pytest.mark.long
def test_the_models_flatten_any_table_by_name(tmp_path: Path) -> None:
    """Many tables at once, each of a coin of its own, through one build."""
    tables: list[tuple[list[str], list[list[Any]]]] = []

    @settings(max_examples=150, database=None, derandomize=True, deadline=None)
    @given(columnar())
    def collect(table: tuple[list[str], list[list[Any]]]) -> None:
        tables.append(table)

    collect()
    bench = Bench(tmp_path)
    records = [
        bench.fetch(
            "position_metrics_export", f"C{number}",
            json.dumps({"coin": f"C{number}", "metrics": {"columns": columns, "data": rows}}).encode(),
        )
        for number, (columns, rows) in enumerate(tables)
    ]  # fmt: skip
    with bench.landed(records) as (_, judgements):
        assert {judgement.verdict for judgement in judgements} >= {Verdict.LOADED, Verdict.QUARANTINED}
    raise_for_failures(build(bench.file, tmp_path / "dbt"))
    with open_writer(bench.file) as connection:
        for number, (columns, rows) in enumerate(tables):
            found = connection.execute(
                """select snapshot_at, position_count, long_position_count, gross_value_usd, long_value_usd
                   from staging.stg_position_metrics_export where coin = ?""",
                [f"C{number}"],
            ).fetchall()
            expected = [
                (datetime.fromisoformat(at).replace(tzinfo=None), count, long, float(gross), float(long_value))
                for at, count, long, gross, long_value in told(columns, rows) or []
            ]
            assert sorted(found) == sorted(expected), (columns, rows)


cells = st.text(max_size=12).map(lambda text: text.replace("\0", "")) | st.sampled_from(
    ["", '"', '""', ",", "\n", "\r\n", "a,b", " x ", "'", "#", "\ufeff", "\u2028", "nan", "NULL", "\\", "\t"]
)


@given(
    st.lists(st.fixed_dictionaries(dict.fromkeys(TEXTS, cells)), min_size=1, max_size=4),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n"]),
    st.permutations(COLUMNS),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_any_file_comes_back_exactly_or_is_quarantined(
    memory: duckdb.DuckDBPyConnection,
    bench: Bench,
    texts: list[dict[str, str]],
    quoting: Any,
    ending: str,
    columns: list[str],
    size: float,
) -> None:
    rows = [{**dict.fromkeys(COLUMNS, ""), "coin": "BTC", "size": size, **row} for row in texts]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, quoting=quoting, lineterminator=ending)
    writer.writeheader()
    writer.writerows(rows)
    judgement, _ = fresh(memory, bench, "open_positions", "BTC", text.getvalue().encode())
    if judgement.verdict is Verdict.QUARANTINED:
        assert judgement.reason
        assert memory.execute("select count(*) from raw.open_positions").fetchone() == (0,)
        return
    found = memory.execute(f"select {', '.join(TEXTS)}, size from raw.open_positions order by _row_number").fetchall()
    assert found == [(*(row[name] or None for name in TEXTS), size) for row in rows]


def a_few_fetches(bench: Bench) -> list[FetchRecord]:
    """Fetches of several slots and datasets: repeated, restated, refused, of two coins and of none."""
    series = {
        "columns": list(REQUIRED),
        "data": [["2026-04-27T22:00:00.000Z", 3, 1, 10, 4], ["2026-04-27T20:00:00.000Z", 2, 1, 9, 4]],
    }
    restated = {**series, "data": [["2026-04-27T22:00:00.000Z", 5, 2, 20, 8]]}
    coin = {
        "coin": "BTC",
        "totalValue": 10,
        "totalValueLong": 4,
        "totalValueShort": 6,
        "count": 3,
        "countLong": 1,
        "countShort": 2,
    }
    found = []
    for step, table in enumerate((series, series, restated, {"columns": ["mood"], "data": [[1]]})):
        slot = SLOT + step * timedelta(hours=2)
        found.append(bench.fetch("position_metrics_export", "BTC", json.dumps({"coin": "BTC", "metrics": table}).encode(), slot))
    for step, count in enumerate((3, 3, 4)):
        slot = SLOT + step * QUARTER
        found.append(bench.fetch("coins", "", json.dumps([coin | {"count": count}]).encode(), slot))
        for name in ("BTC", "ETH"):
            row = dict.fromkeys(COLUMNS, "") | {"id": f"{name}{step}", "coin": name, "size": str(step + 1)}
            text = ",".join(COLUMNS) + "\n" + ",".join(row[column] for column in COLUMNS) + "\n"
            found.append(bench.fetch("open_positions", name, text.encode(), slot))
    return found


SHOWN = (
    "select distinct dataset, scope, slot, verdict in ('loaded', 'unchanged') from ops.fetches order by all",
    "select distinct document::varchar, _scope from raw.position_metrics_export order by all",
    "select distinct document::varchar, _snapshot_at from raw.coins order by all",
    "select distinct id, coin, size, _snapshot_at from raw.open_positions order by all",
)


def shown_by(bench: Bench, records: Sequence[FetchRecord]) -> list[list[tuple[Any, ...]]]:
    """What models read, when these records land in this order in a file of their own."""
    folder = Path(tempfile.mkdtemp(dir=bench.file.parent))
    other = Bench(folder)
    other.vault = bench.vault
    shutil.copyfile(bench.file, other.file)
    with other.landed(records) as (connection, _):
        found = [connection.execute(sql).fetchall() for sql in SHOWN]
    shutil.rmtree(folder)
    return found


@settings(max_examples=6)
@given(st.data())
def test_any_order_and_repetition_shows_the_same(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    bench = Bench(tmp_path_factory.mktemp("orders"))
    records = a_few_fetches(bench)
    with bench.landed([]):
        pass
    again = data.draw(st.lists(st.sampled_from(records), max_size=4))
    order = data.draw(st.permutations([*records, *again]))
    assert shown_by(bench, order) == shown_by(bench, records)
