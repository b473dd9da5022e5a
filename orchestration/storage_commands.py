"""`htw storage`: what lies where, what the plan adds to it, what may go; and `htw storage tidy`, which lets it go.

Belongs here: options and output of the commands. Does not: measuring and forecasts (`storage_report`), what tidying does
(`tidying`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from orchestration.alerting.wording import counted
from orchestration.console import Json, err, out, spoken_errors
from orchestration.settings import load_offline_settings

if TYPE_CHECKING:
    from orchestration.storage_report import Growth, Storage
    from orchestration.tidying import Tidied

storage = typer.Typer(help="Bytes by place, table and day; what the plan adds; what may go.", rich_markup_mode=None)
UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
DAYS_SHOWN, TABLES_SHOWN = 10, 15


@storage.callback(invoke_without_command=True)
def show(context: typer.Context, as_json: Json = False) -> None:
    """Bytes by place, table and day, the forecast for the plan in force, and what each setting that keeps things costs."""
    if context.invoked_subcommand:
        return
    with spoken_errors():
        from orchestration.pipeline import Pipeline
        from orchestration.storage_report import survey

        found = survey(Pipeline(load_offline_settings()))
        if as_json:
            out.print_json(json.dumps(_as_json(found)))
            return
        for table in _tables(found):
            out.print(table)
        out.print(_forecast_line(found), markup=False, soft_wrap=True)


@storage.command()
def tidy(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    as_json: Json = False,
) -> None:
    """Pack old days of the vault and drop raw rows older than HTW_RAW_DAYS that no build needs; a job does it daily."""
    with spoken_errors():
        from orchestration.pipeline import Pipeline
        from orchestration.tidying import tidy_storage

        with err.status("looking" if dry_run else "tidying"):
            did = tidy_storage(Pipeline(load_offline_settings()), is_dry=dry_run)
        if as_json:
            out.print_json(json.dumps(_tidied_json(did)))
            return
        for line in tidied_lines(did, dry_run):
            out.print(line, markup=False, soft_wrap=True)


def tidied_lines(did: Tidied, is_dry: bool = False) -> Iterator[str]:
    """What was done, or would be, in a few sentences."""
    files = sum(day.record_count + day.body_count for day in did.packed)
    days = counted(did.days_to_pack, "day") + " of a dataset"
    yield (
        f"{days} to be packed"
        if is_dry
        else f"{counted(len(did.packed), 'day')} of a dataset packed: {counted(files, 'file')} less"
    )
    would = "would be dropped" if is_dry else "dropped"
    yield f"raw rows of {counted(len(did.raw.payloads), 'payload')} of slots before {did.raw_before:%Y-%m-%d} {would}"
    for dataset, reader in sorted(did.kept_whole.items()):
        yield f"raw.{dataset} is kept: {reader} is made of all of it at every build"
    if kept := did.raw.kept:
        first = f"{kept[0].dataset} {kept[0].scope or 'market'} {kept[0].slot:%Y-%m-%d %H:%M}"
        says = f"raw rows of {counted(len(kept), 'payload')} kept, which the vault does not hold as received: {first}"
        yield f"{says}; `htw doctor` says more"


def _tables(found: Storage) -> Iterator[Table]:
    places = _table("place", "bytes", "files")
    for name, files in found.places.items():
        places.add_row(name, size(files.byte_count), f"{files.count:,}")
    yield places
    if found.vault:
        yield _vault_table(found)
    if found.working.tables:
        yield _working_table(found)
    yield _growth_table(found)
    yield _keeping_table(found)


def _vault_table(found: Storage) -> Table:
    days = sorted({day for _, day in found.vault})
    shown = days[-DAYS_SHOWN:]
    table = _table("vault by dataset", *(["before"] if len(days) > len(shown) else []), *shown, "all")
    for dataset in sorted({dataset for dataset, _ in found.vault}):
        by_day = {day: files.byte_count for (name, day), files in found.vault.items() if name == dataset}
        before = sum(bytes_ for day, bytes_ in by_day.items() if day not in shown)
        cells = [size(by_day.get(day, 0)) for day in shown]
        table.add_row(dataset, *([size(before)] if len(days) > len(shown) else []), *cells, size(sum(by_day.values())))
    return table


def _working_table(found: Storage) -> Table:
    table = _table("table of the working file", "rows", "bytes")
    tables = sorted(found.working.tables, key=lambda one: -one.byte_count)
    for one in tables[:TABLES_SHOWN]:
        table.add_row(f"{one.schema}.{one.name}", f"{one.row_count:,}", size(one.byte_count))
    for schema, total in sorted(_by_schema(found).items()):
        table.add_row(f"all of {schema}", "", size(total))
    table.add_row("free, for what comes next", "", size(found.working.free_byte_count))
    return table


def _growth_table(found: Storage) -> Table:
    table = _table("a day of the plan in force", "polls", "vault", "raw", "facts", "in a year")
    for one in sorted(found.growth, key=lambda one: -(one.vault or 0)):
        table.add_row(one.dataset, f"{one.polls_a_day:,.4g}", *_growth_cells(one, found.raw_days))
    parts = [size(found.a_day(part)) for part in ("vault", "raw", "facts")]
    table.add_row("all", "", *parts, size(found.in_a_year()))
    return table


def _growth_cells(one: Growth, raw_days: int) -> list[str]:
    if one.vault is None or one.raw is None or one.facts is None:
        return ["not measured yet", "", "", ""]
    year = 365 * (one.vault + one.facts) + raw_days * one.raw
    return [*map(size, (one.vault, one.raw, one.facts, year))]


def _keeping_table(found: Storage) -> Table:
    table = _table("kept by", "now", "a day of it", "may go now", "what")
    for one in found.keeping:
        a_day = "" if one.bytes_a_day is None else size(one.bytes_a_day)
        table.add_row(one.setting, one.value, a_day, size(one.bytes_to_go), one.says)
    return table


def _forecast_line(found: Storage) -> str:
    unmeasured = [one.dataset for one in found.growth if one.vault is None]
    words = f"the plan in force adds {size(found.a_day('vault') + found.a_day('facts') + found.lake_a_day)} a day"
    lake = f", {size(found.lake_a_day)} of it to the lake" if found.lake_a_day else ""
    without = f"; nothing was measured in the last days of {', '.join(unmeasured)}" if unmeasured else ""
    return f"{words}{lake}: {size(found.in_a_year())} in a year{without}"


def _by_schema(found: Storage) -> Counter[str]:
    totals = Counter[str]()
    for one in found.working.tables:
        totals[one.schema] += one.byte_count
    return totals


def _as_json(found: Storage) -> dict[str, Any]:
    return {
        "places": {name: {"bytes": files.byte_count, "files": files.count} for name, files in found.places.items()},
        "vault": [
            {"dataset": dataset, "day": day, "bytes": files.byte_count, "files": files.count}
            for (dataset, day), files in sorted(found.vault.items())
        ],
        "tables": [asdict(table) for table in found.working.tables],
        "free_bytes": found.working.free_byte_count,
        "received": [asdict(one) for one in found.working.received],
        "forecast": {
            "datasets": [asdict(one) for one in found.growth],
            "bytes_a_day": {part: found.a_day(part) for part in ("vault", "raw", "facts")} | {"lake": found.lake_a_day},
            "bytes_in_a_year": found.in_a_year(),
        },
        "keeping": [asdict(one) for one in found.keeping],
    }


def _tidied_json(did: Tidied) -> dict[str, Any]:
    return {
        "packed": [asdict(day) for day in did.packed],
        "days_to_pack": did.days_to_pack,
        "raw_before": did.raw_before.isoformat(),
        "raw_payloads_dropped": len(did.raw.payloads),
        "raw_rows_dropped": did.raw.row_count,
        "raw_payloads_kept": len(did.raw.kept),
        "kept_whole": did.kept_whole,
    }


def _table(*headings: str) -> Table:
    table = Table(*headings[:1], box=None, pad_edge=False)
    for heading in headings[1:]:
        table.add_column(heading, justify="left" if heading == "what" else "right")
    return table


def size(byte_count: float) -> str:
    """Bytes as a person reads them: thousands, three digits."""
    value = float(byte_count)
    for unit in UNITS[:-1]:
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} {UNITS[-1]}"
