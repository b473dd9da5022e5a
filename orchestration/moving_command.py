"""`htw migrate`: a lake moved to another place, or the vault to an object store and back, and compared.

Belongs here: options and output of the command. Does not: the moving itself (`warehouse.lake_moving`, `warehouse.vault_copies`).
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
    from warehouse.lake_places import Bucket

LOCAL, SET, VAULT = "local", "settings", "vault"
WORDS = f"`{LOCAL}` (in HTW_DATA_DIR), `{SET}` (HTW_LAKE_URL), or an address as HTW_LAKE_URL takes it"


def migrate(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help=f"The lake to move: {WORDS}; or `{VAULT}`, that of HTW_DATA_DIR.")
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TO", help="Where it goes, said in the same way; a vault to or from a bucket and prefix (s3://bucket/vault)."
        ),
    ],
    source_data: Annotated[str | None, typer.Option("--from-data", help="Its data, where FROM is an address.")] = None,
    target_data: Annotated[str | None, typer.Option("--to-data", help="Its data, where TO is an address.")] = None,
    as_json: Json = False,
) -> None:
    """Copy a lake, or the vault, to another place, and compare what arrived; goes on where it was cut off."""
    with spoken_errors():
        settings = load_offline_settings()
        if VAULT not in (source, target):
            _move_lake(settings, _lake(settings, source, source_data), _lake(settings, target, target_data), as_json)
        elif source_data or target_data:
            raise SettingsError("--from-data and --to-data say where the data of a lake is: a vault has none beside it")
        else:
            _copy_vault(settings, source, target, as_json)


def _move_lake(settings: Settings, source: Lake, target: Lake, as_json: bool) -> None:
    from orchestration.modelling import described_marts, prepare_manifest
    from warehouse.lake_moving import move_lake
    from warehouse.publisher import publisher_of

    marts, publisher = described_marts(prepare_manifest()), publisher_of(settings.vault_dir)
    with err.status("moving") as status:
        moved = move_lake(source, target, marts, publisher, lambda done: status.update(f"moved {done.mart}"))
    if as_json:
        out.print_json(json.dumps([asdict(mart) for mart in moved]))
        return
    for mart in moved:
        words = f"{mart.mart}: {mart.row_count:,} rows, {mart.written:,} written now, checksum {mart.checksum}"
        out.print(words, markup=False, soft_wrap=True)
    out.print(f"all of it is at {target.catalog}; name it in HTW_LAKE_URL and HTW_LAKE_DATA", markup=False, soft_wrap=True)


def _copy_vault(settings: Settings, source: str, target: str, as_json: bool) -> None:
    from warehouse.vault import Vault
    from warehouse.vault_copies import fetch, send

    vault, bucket = Vault(settings.vault_dir), _bucket(settings, target if source == VAULT else source)
    with err.status("copying") as status:

        def tell(done: int, count: int) -> None:
            status.update(f"copied {done:,} of {count:,} files")

        copied = send(vault, bucket, tell) if source == VAULT else fetch(bucket, vault, tell)
    if as_json:
        out.print_json(json.dumps(asdict(copied)))
        return
    words = f"{copied.file_count:,} files, {copied.byte_count:,} bytes; {copied.written_files:,} files written now"
    out.print(f"{words}, {copied.written_bytes:,} bytes", soft_wrap=True)
    after = f"all of it is at {bucket}" if source == VAULT else "all of it is in the vault; `htw rebuild` makes all tables of it"
    out.print(after, markup=False, soft_wrap=True)


def _bucket(settings: Settings, said: str) -> Bucket:
    try:
        return settings.bucket_at(said)
    except ValueError as error:
        raise SettingsError(f"{_shown(said)} {error}") from None


def _lake(settings: Settings, said: str, data: str | None) -> Lake:
    from warehouse.lake import Lake

    if said == LOCAL and data is None:
        return Lake.below(settings.data_dir)
    if said in (SET, settings.lake_url) and data is None:
        return settings.lake
    try:
        return settings.lake_at(said, data)
    except ValueError as error:
        raise SettingsError(f"{_shown(said)} or its data {error}") from None


def _shown(said: str) -> str:
    """An address may hold a password."""
    return said if "@" not in said else "the address"
