"""`htw lake`: what the lake holds, and its upkeep.

Belongs here: options and output of the commands. Does not: the upkeep itself (`warehouse.lake_upkeep`).
"""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from orchestration.console import Json, err, out, spoken_errors
from orchestration.settings import load_offline_settings

lake = typer.Typer(help="The lake: what it holds, and its upkeep.", no_args_is_help=True, rich_markup_mode=None)
MEGABYTE = 1_000_000


@lake.command()
def status(as_json: Json = False) -> None:
    """Tables, files and bytes; the last publish; since when earlier states can be asked for."""
    with spoken_errors():
        from warehouse.lake_upkeep import state_of
        from warehouse.publisher import known_publisher

        settings = load_offline_settings()
        place, own = settings.lake, known_publisher(settings.vault_dir)
        state = state_of(place)
        if as_json:
            out.print_json(json.dumps(asdict(state), default=str))
            return
        out.print(f"{place.catalog}: {_size(state.file_count, state.byte_count)} in {len(state.files)} tables", soft_wrap=True)
        held = [table for table in state.files if state.files[table]]
        for table in sorted(held, key=lambda name: -state.bytes[name]):
            out.print(f"  {table}: {_size(state.files[table], state.bytes[table])}", markup=False, soft_wrap=True)
        if others := len(state.files) - len(held):
            out.print(f"  {others:,} others without a file: they are empty, or their few rows are in the catalog", soft_wrap=True)
        for told in state.publishers:
            mine = ", this machine" if told.publisher == own else ""
            out.print(f"  publisher {told.publisher}{mine}: last at {told.published_at} UTC", markup=False, soft_wrap=True)
        out.print(f"last written {state.newest_snapshot_at}: {state.newest_message}", markup=False, soft_wrap=True)
        out.print(
            f"{state.snapshot_count:,} states can be asked for, since {state.oldest_snapshot_at}", markup=False, soft_wrap=True
        )


@lake.command()
def maintain() -> None:
    """Merge small files, forget old states, remove what belongs to nothing; also done once a day by the daemon."""
    with spoken_errors():
        from warehouse.lake_upkeep import maintain as keep_up

        settings = load_offline_settings()
        with err.status("merging and removing"):
            before, after = keep_up(settings.lake, settings.lake_history_days)
        out.print(f"{before.file_count:,} files before, {_size(after.file_count, after.byte_count)} now", markup=False)


def _size(files: int, size: int) -> str:
    return f"{files:,} file{'' if files == 1 else 's'}, {size / MEGABYTE:,.1f} MB"
