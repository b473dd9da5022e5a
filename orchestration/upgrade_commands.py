"""`htw upgrade` and `htw restore`.

Belongs here: options and output of the commands. Does not: what an upgrade does (`upgrading`), copies (`warehouse.backups`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration.console import Json, err, out, spoken_errors
from orchestration.settings import load_offline_settings

if TYPE_CHECKING:
    from orchestration.upgrading import Upgrade


def upgrade(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    as_json: Json = False,
) -> None:
    """Bring a working file of an earlier release to this one, a copy of it made first; the vault is never touched."""
    with spoken_errors():
        from orchestration.pipeline import Pipeline
        from orchestration.upgrading import survey
        from orchestration.upgrading import upgrade as bring_up

        pipeline = Pipeline(load_offline_settings())
        found = survey(pipeline)
        backup = None if dry_run else bring_up(pipeline, lambda text: err.print(text, markup=False, soft_wrap=True))
        if as_json:
            out.print_json(json.dumps(_as_json(found, backup)))
            return
        for line in found.lines() if dry_run or backup is None else [f"{found.file} is of this release now"]:
            out.print(line, markup=False, soft_wrap=True)


def restore(
    backup: Annotated[Path, typer.Argument(help="The copy, such as data/backups/warehouse-20260324T101500Z.duckdb.")],
) -> None:
    """Put a copy that `htw upgrade` made in the place of the working file."""
    with spoken_errors():
        from orchestration.services import without_services
        from warehouse.backups import restore as put_back

        settings = load_offline_settings()
        with without_services(settings):
            put_back(backup, settings.warehouse_file)
        out.print(
            f"{settings.warehouse_file} is as {backup} was; `htw doctor --fix` of the release that wrote it loads the rest",
            markup=False,
            soft_wrap=True,
        )


def _as_json(found: Upgrade, backup: Path | None) -> dict[str, Any]:
    return {
        "file": str(found.file),
        "schema_version": found.version,
        "steps": [{"version": step.version, "says": step.says} for step in found.steps],
        "is_modelled_anew": found.is_modelled_anew,
        "payload_count": found.payload_count,
        "backup": str(backup) if backup else None,
    }
