"""`htw export`: published tables as Parquet files, one a day.

Belongs here: the command's options and what it prints. Does not: the files (`warehouse.export`, `warehouse.spark_export`).
"""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape

from orchestration.console import InLake, Json, err, out, spoken_errors
from orchestration.reading_commands import known_tables, source_of
from orchestration.setting_texts import coin_names
from orchestration.settings import SettingsError, load_offline_settings

if TYPE_CHECKING:
    from warehouse.export import Exported, Wish
    from warehouse.lake import Lake

ALL, SPARK = "all", "spark"
MEGABYTE = 1_000_000


def _names(incomplete: str) -> list[str]:
    return [name for name in (ALL, *known_tables(incomplete)) if name.startswith(incomplete)]


Wanted = Annotated[
    list[str] | None,
    typer.Argument(metavar="TABLE...|all", help="Published tables, or all (the default).", autocompletion=_names),
]
Reader = Annotated[
    Literal["spark"] | None,
    typer.Option("--for", help="As Spark reads it: a whole new folder for each version, which then never changes."),
]


def export(
    to: Annotated[Path, typer.Option(help="The folder; a new one, or one of an earlier export.")],
    tables: Wanted = None,
    reader: Reader = None,
    since: Annotated[str | None, typer.Option(help="The first day, such as 2026-03-20 (UTC).")] = None,
    until: Annotated[str | None, typer.Option(help="Up to this day, itself left out.")] = None,
    coins: Annotated[str | None, typer.Option(help="A list such as BTC,xyz:GOLD; all by default.")] = None,
    in_lake: InLake = False,
    as_json: Json = False,
) -> None:
    """Write tables to Parquet, one file a day. What is there already and unchanged stays: run it again to go on, or daily."""
    with spoken_errors():
        from warehouse.export import Wish

        settings = load_offline_settings()
        named = () if tables in (None, [], [ALL]) else tuple(dict.fromkeys(tables or ()))
        wish = Wish(named, _day("--since", since), _day("--until", until), tuple(coin_names(coins or "")))
        _refuse_nothing(wish, coins)
        told: list[Exported] = []
        with (
            err.status("reading what is published") as status,
            closing(_exporting(source_of(settings, in_lake), to.absolute(), wish, reader == SPARK)) as done,
        ):
            for table in done:
                told.append(table)
                status.update(f"{escape(table.table)} is there")
        _tell(told, to.absolute(), as_json, reader == SPARK)


def _exporting(source: Path | Lake, to: Path, wish: Wish, is_for_spark: bool) -> Generator[Exported, None, None]:
    from orchestration.clock import SystemClock
    from warehouse.export import export as run
    from warehouse.spark_export import export_for_spark

    return export_for_spark(source, to, wish, SystemClock().now) if is_for_spark else run(source, to, wish)


def _day(option: str, text: str | None) -> date | None:
    from warehouse.instants import InstantError, utc_day

    try:
        return None if text is None else utc_day(text)
    except InstantError:
        raise SettingsError(f"{option} {text} is no day such as 2026-03-24") from None


def _refuse_nothing(wish: Wish, coins: str | None) -> None:
    if wish.since and wish.until and wish.since >= wish.until:
        raise SettingsError(f"--since {wish.since} is not before --until {wish.until}, which is itself left out")
    if coins is not None and not wish.coins:
        raise SettingsError("--coins names none; leave it out for all")
    if ALL in wish.tables:
        raise SettingsError("`all` stands alone: it names every table")


def _tell(told: list[Exported], to: Path, as_json: bool, is_for_spark: bool) -> None:
    from warehouse.spark_export import current_version

    version = current_version(to) if is_for_spark else None
    if as_json:
        of = {"version": version.name} if version else {}
        out.print_json(json.dumps({"folder": str(to), **of, "tables": [asdict(table) for table in told]}))
        return
    for table in told:
        files = f"{table.days_written} days written, {table.days_unchanged} as they were"
        size = f"{table.rows:,} rows, {table.bytes / MEGABYTE:,.2f} MB"
        out.print(f"{table.table}: {files}; {size}", markup=False, soft_wrap=True)
        if table.note:
            err.print(f"  {table.note}", markup=False, soft_wrap=True)
    shown = next((table.table for table in told if table.rows and table.table.startswith("fct_")), "")
    for line in _ways_to_read(to, shown, version):
        out.print(line, markup=False, soft_wrap=True)


def _ways_to_read(to: Path, table: str, version: Path | None) -> list[str]:
    """How to open what is there now, by the example of a table; none without one that has rows."""
    if version:
        return [f"the newest version: {version}"] + ([f"in Spark: spark.read.parquet('{version}/{table}')"] if table else [])
    here = to / table
    pattern = f"'{here}/*/*.parquet', hive_partitioning = true"
    return [f"in DuckDB: from read_parquet({pattern})", f"in pandas: pd.read_parquet('{here}')"] if table else []
