"""`htw export`: published tables as Parquet files, one a day.

Belongs here: the command's options and what it prints. Does not: the files (`warehouse.export`).
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from orchestration.console import InLake, Json, err, out, spoken_errors
from orchestration.reading_commands import known_tables, source_of
from orchestration.settings import SettingsError, coin_names, load_offline_settings

if TYPE_CHECKING:
    from warehouse.export import Exported, Wish

ALL = "all"
MEGABYTE = 1_000_000


def _names(incomplete: str) -> list[str]:
    return [name for name in (ALL, *known_tables(incomplete)) if name.startswith(incomplete)]


Wanted = Annotated[list[str], typer.Argument(metavar="TABLE...|all", help="Published tables, or all.", autocompletion=_names)]


def export(
    tables: Wanted,
    to: Annotated[Path, typer.Option(help="The folder; a new one, or one of an earlier export.")],
    since: Annotated[str | None, typer.Option(help="The first day, such as 2026-03-20 (UTC).")] = None,
    until: Annotated[str | None, typer.Option(help="Up to this day, itself left out.")] = None,
    coins: Annotated[str | None, typer.Option(help="A list such as BTC,xyz:GOLD; all by default.")] = None,
    in_lake: InLake = False,
    as_json: Json = False,
) -> None:
    """Write tables to Parquet, one file a day. What is there already and unchanged stays: run it again to go on, or daily."""
    with spoken_errors():
        from warehouse.export import Wish
        from warehouse.export import export as run

        settings = load_offline_settings()
        named = () if tables == [ALL] else tuple(dict.fromkeys(tables))
        wish = Wish(named, _day("--since", since), _day("--until", until), tuple(coin_names(coins or "")))
        _refuse_nothing(wish, coins)
        told: list[Exported] = []
        with (
            err.status("reading what is published") as status,
            closing(run(source_of(settings, in_lake), to.absolute(), wish)) as done,
        ):
            for table in done:
                told.append(table)
                status.update(f"{escape(table.table)} is there")
        _tell(told, to, as_json)


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


def _tell(told: list[Exported], to: Path, as_json: bool) -> None:
    if as_json:
        out.print_json(json.dumps({"folder": str(to.absolute()), "tables": [asdict(table) for table in told]}))
        return
    for table in told:
        files = f"{table.days_written} days written, {table.days_unchanged} as they were"
        size = f"{table.rows:,} rows, {table.bytes / MEGABYTE:,.2f} MB"
        out.print(f"{table.table}: {files}; {size}", markup=False, soft_wrap=True)
        if table.note:
            err.print(f"  {table.note}", markup=False, soft_wrap=True)
    if shown := next((table.table for table in told if table.rows and table.table.startswith("fct_")), ""):
        place = to / shown
        out.print(f"in DuckDB: from read_parquet('{place}/*/*.parquet', hive_partitioning = true)", markup=False, soft_wrap=True)
        out.print(f"in pandas: pd.read_parquet('{place}')", markup=False, soft_wrap=True)
