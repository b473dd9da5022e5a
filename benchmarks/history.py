"""A generated history of the marts: every coin and day, in the tables' own columns and types, written by SQL alone.

Belongs here: a working file that looks as if a market had been polled for months. Does not: what is asked of it (`queries`), how
it is published (`publishing`).

Columns and types come from the dbt contracts, so that they cannot drift: keys and times are given below, everything else is
filled by its type. Thinned, to be made in minutes: cohorts by the hour, bins of liquidations every six, order liquidity twice a
day, open positions once an hour of the last day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import duckdb

from benchmarks.measuring import Size
from orchestration.modelling import prepare_manifest
from warehouse.raw_tables import quoted

END = datetime(2026, 6, 22, tzinfo=UTC)
POSITIONS = "fct_open_positions"
SEQUENCES_FROM = 10_000_000
COIN = "C"
BY_TYPE = {
    "double": "round(random() * 1e6, 2)", "bigint": "(random() * 1000)::bigint", "integer": "(random() * 1000)::integer",
    "boolean": "true", "timestamp": "moment + interval 40 second", "varchar": "'payload'",
}  # fmt: skip
GIVEN = {
    "snapshot_at": "moment", "known_at": "moment + interval 40 second", "snapshot_at_basis": "'state'",
    "payload_id": "md5(coin_number || moment::varchar)", "_load_seq": "epoch(moment)::bigint // 900", "dataset": "dataset",
    "axis": "if(cohort in (1, 2, 3, 4, 5, 6, 7, 16), 'size', 'pnl')", "cohort_id": "cohort", "size_bucket_id": "bucket",
    "bin_index": "bin", "price_from": "100.0 + bin", "price_to": "101.0 + bin", "mid_price": "137.25",
    "side": "if(hash(number, moment) % 50 = 0 or number % 2 = 0, 'long', 'short')", "position_id": "sha256(number::varchar)",
    "address": "'0x' || md5((number % 60000)::varchar) || '00000000'", "dex": "'main'", "margin_mode": "'cross'",
    "opened_at": "if(number % 97 = 0, moment - interval 3 hour, timestamp '2026-03-01')", "long_fraction": "random()",
    "size_cohort_id": "1 + number % 7", "pnl_cohort_id": "8 + number % 8", "is_on_grid": "true",
    "price_band_from_pct": "bands[band]", "price_band_to_pct": "bands[band + 1]", "order_type": "'Limit'",
    "slot": "moment", "verdict": "if(hash(coin_number, moment) % 200 = 0, 'failed', 'loaded')",
    "reason": "''", "mend": "''", "has_arrived": "hash(coin_number, moment) % 200 <> 0",
    "is_missing": "hash(coin_number, moment) % 200 = 0",
    "recoverable_until": "null", "cost_to_fix": "null", "attempts": "1", "requests_spent": "1",
    "_fetch_seq": "epoch(moment)::bigint // 900",
}  # fmt: skip
BANDS = "[-100, -50, -20, -10, -5, -2, -1, -0.5, 0, 0.5, 1, 2, 5, 10, 20, 50, 100]"
TIMES = "(select unnest(generate_series(timestamp '{since}', timestamp '{until}', interval {step})) as moment)"
COINS = "(select unnest(generate_series(1, {coins})) as coin_number)"


@dataclass(frozen=True)
class Table:
    """How a mart's rows come about: how often, and what stands beside coin and time in its key."""

    name: str
    step: str
    beside: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


COHORTS = "(select unnest(range(1, 17)) as cohort)"
TABLES = (
    Table("fct_coin_metrics", "15 minute", "(select unnest(['coins', 'coin_metrics']) as dataset)"),
    Table("fct_market_metrics", "10 minute", values={"grid_at": "moment", "payload_id": "md5(moment::varchar)"}),
    Table("fct_cohort_metrics", "1 hour", f"{COHORTS} cross join (select 'heatmap' as dataset)"),
    Table(
        "fct_size_bucket_metrics", "2 hour",
        "(select unnest(range(1, 11)) as bucket) cross join (select 'breakdown_by_size_export' as dataset)",
    ),
    Table("fct_liquidation_heatmap", "6 hour", "(select unnest(range(73)) as bin)"),
    Table("fct_order_liquidity", "12 hour", f"(select unnest(range(1, 17)) as band, {BANDS} as bands)",
          values={"side": "if(band <= 8, 'buy', 'sell')"}),
    Table("fct_slot_coverage", "15 minute",
          "(select unnest(['open_positions', 'order_snapshots', 'coin_metrics']) as dataset)"),
    Table(POSITIONS, "1 hour", values={"size_bucket_id": "1 + number % 10"}),
)  # fmt: skip


def write_history(connection: duckdb.DuckDBPyConnection, size: Size, coins: str = COIN) -> dict[str, int]:
    """Fill the schema `marts`; the number of rows by table. The connection's file has none of these tables yet. The names of
    `coins` begin so."""
    connection.execute("create schema if not exists marts")
    connection.execute("set preserve_insertion_order = true")
    _write_cohorts(connection)
    return {table.name: _write(connection, table, size, coins) for table in TABLES}


def columns_of(mart: str) -> dict[str, str]:
    """Names and types of a mart's columns, by its contract."""
    node = prepare_manifest()["nodes"][f"model.hypertracker.{mart}"]
    return {name: column["data_type"].lower() for name, column in node["columns"].items()}


def _write(connection: duckdb.DuckDBPyConnection, table: Table, size: Size, coins: str) -> int:
    columns = columns_of(table.name)
    definition = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
    connection.execute(f"create table marts.{table.name} ({definition})")
    given = {**GIVEN, **_named(coins), **table.values}
    values = ", ".join(given.get(name, BY_TYPE.get(kind, "null")) for name, kind in columns.items())
    # In the order in which ticks append: by time, then coin.
    row = connection.execute(f"insert into marts.{table.name} select {values} from {_source(table, size)}").fetchone()
    return int(row[0]) if row else 0


def _source(table: Table, size: Size, span: tuple[datetime, datetime] | None = None) -> str:
    """The rows' keys as a relation, by time, then coin: the order in which ticks append."""
    days = (size.snapshots_of_positions - 1) / 24 if table.name == POSITIONS else size.history_days
    since, until = span or (END - timedelta(days=days), END)
    times = TIMES.format(since=f"{since:%Y-%m-%d %H:%M:%S}", until=f"{until:%Y-%m-%d %H:%M:%S}", step=table.step)
    if table.name == POSITIONS:
        # The largest coin has about 15 % of all positions, as on the exchange.
        coin = f"1 + floor({size.history_coins} * pow(hash(number) % 1000003 / 1000003.0, 3))::bigint"
        return f"{times} cross join (select number, {coin} as coin_number from range({size.positions}) as n(number) order by 2)"
    if not {"coin", "scope"} & set(columns_of(table.name)):
        return times
    beside = f" cross join {table.beside}" if table.beside else ""
    return f"{times} cross join {COINS.format(coins=size.history_coins)}{beside}"


def _write_cohorts(connection: duckdb.DuckDBPyConnection) -> None:
    """The dimension that questions join: the cohorts by number, on their axes."""
    columns = columns_of("dim_cohort")
    definition = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
    connection.execute(f"create table marts.dim_cohort ({definition})")
    names = {
        "cohort_id": "cohort", "version": "1", "cohort_name": "'cohort ' || cohort", "axis": GIVEN["axis"],
        "sort_order": "cohort", "valid_to_at": "null",
    }  # fmt: skip
    values = ", ".join(
        names.get(name, {**BY_TYPE, "timestamp": "timestamp '2026-01-01'"}.get(kind, "null")) for name, kind in columns.items()
    )
    connection.execute(f"insert into marts.dim_cohort select {values} from {COHORTS}")


def _named(coins: str) -> dict[str, str]:
    return dict.fromkeys(("coin", "scope"), f"'{coins}' || coin_number")


def append_tick(connection: duckdb.DuckDBPyConnection, size: Size, at: datetime, load_seq: int, coins: str = COIN) -> None:
    """One more instant of every mart, as loaded under a sequence of its own; coverage is judged anew a day at a time."""
    newest = f"{SEQUENCES_FROM + load_seq}"
    for table in TABLES:
        columns = columns_of(table.name)
        given = {**GIVEN, **_named(coins), **table.values, "_load_seq": newest, "_fetch_seq": newest}
        values = ", ".join(given.get(name, BY_TYPE.get(kind, "null")) for name, kind in columns.items())
        connection.execute(f"insert into marts.{table.name} select {values} from {_source(table, size, (at, at))}")
    connection.execute(f"update marts.fct_slot_coverage set _fetch_seq = {newest} where slot >= date_trunc('day', $1)", [at])
    connection.execute(
        "insert into ops.payloads by name select $1 as payload_id, $2 as load_seq, 'coins' as dataset", [f"p{load_seq}", load_seq]
    )
