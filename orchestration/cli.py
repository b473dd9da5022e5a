"""The `htw` command: every command in its order, and those of a few lines.

Belongs here: putting commands together, what `htw` says alone. Does not: options and output of a command with more to say (the
`*_command` and `*_commands` modules), what commands share (`console`, `arguments`).

Exit status: 0 done, 1 failed, 2 wrong usage, 3 done with slots missing (`probe`: with differences found).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.metadata import version as release_of
from typing import Annotated

import typer

from orchestration.alert_commands import alerts, metrics
from orchestration.console import DONE, Json, err, out, spoken_errors
from orchestration.dashboard_command import dashboard
from orchestration.doctor_command import doctor
from orchestration.export_command import export
from orchestration.filling_commands import backfill, heal
from orchestration.lake_commands import lake
from orchestration.modelling_command import model
from orchestration.moving_command import migrate
from orchestration.poll_command import poll
from orchestration.probe_command import probe
from orchestration.quarantine_commands import quarantine
from orchestration.reading_commands import describe, query, tables
from orchestration.service_commands import dev, serve, up
from orchestration.settings import load_offline_settings
from orchestration.standing_output import show_standing
from orchestration.status_command import status
from orchestration.storage_commands import storage
from orchestration.upgrade_commands import restore, upgrade
from warehouse.schema_version import CURRENT, PACKAGE

app = typer.Typer(invoke_without_command=True, add_completion=True, pretty_exceptions_enable=False, rich_markup_mode=None)


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        out.print(f"htw {release_of(PACKAGE)} (schema version {CURRENT})")
        raise typer.Exit(DONE)


@app.callback()
def where(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001  # answered before anything else is
        bool,
        typer.Option(
            "--version", help="The release, and the schema version of its working file.", callback=_tell_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Polls HyperTracker and keeps its history. Alone, `htw` tells where you stand and what to do next."""
    if context.invoked_subcommand is None:
        with spoken_errors():
            from orchestration.standing import standing

            show_standing(standing(datetime.now(UTC)))


app.command()(poll)
app.command()(status)
app.add_typer(alerts, name="alerts")
app.command()(metrics)
app.command()(heal)
app.command()(backfill)
app.add_typer(quarantine, name="quarantine")
app.add_typer(storage, name="storage")
app.add_typer(lake, name="lake")
app.command()(dashboard)
app.command()(query)
app.command()(tables)
app.command()(describe)
app.command()(export)
app.command()(migrate)
app.command()(model)


@app.command()
def rebuild() -> None:
    """Make raw, ledger and marts again from the vault alone, offline, and publish them."""
    with spoken_errors():
        from orchestration.pipeline import Pipeline
        from orchestration.rebuilding import rebuild as rebuild_all

        pipeline = Pipeline(load_offline_settings())
        with err.status("replaying the vault"):
            count = rebuild_all(pipeline)
        out.print(f"{count:,} fetches replayed; {pipeline.settings.published_file} is published")


app.command()(doctor)
app.command()(upgrade)
app.command()(restore)


@app.command()
def plan(
    name: Annotated[
        str | None, typer.Option("--plan", help="Another plan than HTW_PLAN: free, pulse ..., or 5000/day,100/minute.")
    ] = None,
    coins: Annotated[str | None, typer.Option(help="Other coins than HTW_COINS: all, top:20, or a list.")] = None,
    as_json: Json = False,
) -> None:
    """What this quota affords: how often each dataset can be asked, for which coins, what is left out, and the next plan up."""
    with spoken_errors():
        from orchestration.affording import affordable
        from orchestration.affording_report import plan_json, show_plan

        wishes = {setting: value for setting, value in (("plan", name), ("coins", coins)) if value is not None}
        found = affordable(load_offline_settings(**wishes))
        if as_json:
            out.print_json(json.dumps(plan_json(found)))
        else:
            show_plan(found, out)


app.command()(probe)


@app.command()
def demo(
    folder: Annotated[str, typer.Option(help="Where the demo's data goes; emptied first.")] = "demo",
    seed: Annotated[int, typer.Option(help="Another seed, another market.")] = 7,
) -> None:
    """A market day in miniature against the sandbox: no token, no questions."""
    with spoken_errors():
        from orchestration.demo import run_demo

        raise typer.Exit(run_demo(folder, seed, out))


app.command()(dev)
app.command()(up)
app.command()(serve)


def main() -> None:
    """Entry point of the `htw` script."""
    app()


if __name__ == "__main__":
    main()
