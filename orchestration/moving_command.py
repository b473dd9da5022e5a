"""`htw migrate`: a lake moved to another place, and compared.

Belongs here: options and output of the command. Does not: the moving itself (`warehouse.lake_moving`).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.console import Json, err, out, spoken_errors
from orchestration.settings import Settings, SettingsError, load_offline_settings

if TYPE_CHECKING:
    from warehouse.lake import Lake

LOCAL, SET = "local", "settings"
WORDS = f"`{LOCAL}` (in HTW_DATA_DIR), `{SET}` (HTW_LAKE_URL), or an address as HTW_LAKE_URL takes it"


def migrate(
    source: Annotated[str, typer.Argument(metavar="FROM", help=f"The lake to move: {WORDS}.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The lake it goes to, said in the same way.")],
    source_data: Annotated[str | None, typer.Option("--from-data", help="Its data, where FROM is an address.")] = None,
    target_data: Annotated[str | None, typer.Option("--to-data", help="Its data, where TO is an address.")] = None,
    as_json: Json = False,
) -> None:
    """Copy a lake to another place, table by table, and compare counts and checksums; goes on where it was cut off."""
    with spoken_errors():
        from orchestration.modelling import described_marts, prepare_manifest
        from warehouse.lake_moving import move_lake
        from warehouse.publisher import publisher_of

        settings = load_offline_settings()
        lakes = _lake(settings, source, source_data), _lake(settings, target, target_data)
        marts, publisher = described_marts(prepare_manifest()), publisher_of(settings.vault_dir)
        with err.status("moving") as status:
            moved = move_lake(*lakes, marts, publisher, lambda done: status.update(f"moved {done.mart}"))
        if as_json:
            out.print_json(json.dumps([asdict(mart) for mart in moved]))
            return
        for mart in moved:
            words = f"{mart.mart}: {mart.row_count:,} rows, {mart.written:,} written now, checksum {mart.checksum}"
            out.print(words, markup=False, soft_wrap=True)
        out.print(f"all of it is at {lakes[1].catalog}; name it in HTW_LAKE_URL and HTW_LAKE_DATA", soft_wrap=True)


def _lake(settings: Settings, said: str, data: str | None) -> Lake:
    from warehouse.lake import Lake

    if said == LOCAL and data is None:
        return Lake.below(settings.data_dir)
    if said in (SET, settings.lake_url) and data is None:
        return settings.lake
    try:
        return settings.lake_at(said, data)
    except ValueError as error:
        raise SettingsError(f"{said if '@' not in said else 'the address'} or its data {error}") from None
