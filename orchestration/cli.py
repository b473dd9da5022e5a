"""The `htw` command: thin commands over functions that live elsewhere.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 done with slots missing (`probe`: with differences found).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version as release_of
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from orchestration.alert_commands import alerts, metrics
from orchestration.console import DONE, FAILED, SLOTS_MISSING, Json, err, out, spoken_errors
from orchestration.dashboard_command import dashboard
from orchestration.doctor_command import doctor
from orchestration.export_command import export
from orchestration.filling_commands import backfill, heal
from orchestration.hypertracker.endpoint import Dataset
from orchestration.lake_commands import lake
from orchestration.modelling_command import model
from orchestration.moving_command import migrate
from orchestration.planning.slots import Cadence, is_slot, slot_at
from orchestration.quarantine_commands import quarantine
from orchestration.reading_commands import describe, query, tables
from orchestration.settings import (
    LOCAL,
    SANDBOX_TOKEN,
    SQLITE,
    WAREHOUSE_NAME,
    Settings,
    SettingsError,
    load_offline_settings,
    load_settings,
)
from orchestration.standing_output import show_standing
from orchestration.status_command import status
from orchestration.storage_commands import storage
from orchestration.upgrade_commands import restore, upgrade
from warehouse.schema_version import CURRENT, PACKAGE

DIFFERENCES = SLOTS_MISSING

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


@app.command()
def poll(
    datasets: Annotated[list[str] | None, typer.Argument(help="Datasets; all that HTW_DATASETS names by default.")] = None,
    slot: Annotated[str | None, typer.Option(help="The slot, such as 2026-03-24T10:15Z; by default the one now due.")] = None,
    as_json: Json = False,
) -> None:
    """Fill the slot that is due (or the one named), build what it feeds, publish."""
    with spoken_errors():
        raise typer.Exit(_poll(load_settings(), datasets or [], slot, as_json))


def _poll(settings: Settings, names: list[str], slot: str | None, as_json: bool) -> int:
    from orchestration.definitions import datasets_by_cadence
    from orchestration.reporting import gap_lines, read_status, status_json, status_table

    chosen, moment = _known_datasets(settings, names), _minute_of("--slot", slot)
    grouped = {c: [d for d in group if d.name in chosen] for c, group in datasets_by_cadence(settings).items()}
    due = {cadence: group for cadence, group in grouped.items() if group}
    for cadence in due:
        _slot_for(settings, cadence, moment)
    statuses, errors = [], []
    for at, group, error in _poll_each(settings, due, moment, bool(names)):
        statuses += read_status(settings.warehouse_file, group, at, at + timedelta(microseconds=1))
        errors += [error] if error else []
    polled = [status for status in statuses if status.scope_count]
    if as_json:
        out.print_json(json.dumps(status_json(statuses), default=str))
    elif polled:
        out.print(status_table(polled))
    else:
        out.print(
            "the plan polls nothing now: `htw plan` shows what it polls when; a dataset that is named is asked for all the same"
            if settings.wanted_datasets()
            else "HTW_DATASETS is none: this machine polls nothing"
        )
    for line in [*([] if as_json else gap_lines(statuses, datetime.now(UTC))), *errors]:
        err.print(line, markup=False, soft_wrap=True)
    if errors:
        return FAILED
    return SLOTS_MISSING if any(status.gaps for status in statuses) else DONE


def _poll_each(
    settings: Settings, due: dict[Cadence, list[Dataset]], moment: datetime | None, beyond_plan: bool
) -> Iterator[tuple[datetime, list[Dataset], str]]:
    """Run each cadence's job; the slot polled, its datasets, and what failed. Which slot is due is asked when its turn comes.

    `beyond_plan`: a dataset that somebody names is asked for all that is wished for, whether the plan polls it then or not.
    """
    from orchestration.definitions import build_definitions
    from orchestration.runs import dagster_instance, run_slot
    from warehouse.disk import full_disk_in_words

    definitions = build_definitions(settings)
    with full_disk_in_words(settings.data_dir), dagster_instance(settings) as instance:
        for cadence, group in due.items():
            at = _slot_for(settings, cadence, moment)
            with err.status(f"polling {', '.join(d.name for d in group)} for {at:%Y-%m-%d %H:%M} UTC"):
                result = run_slot(definitions, cadence, at, group, instance, beyond_plan)
            yield at, group, "" if result.succeeded else result.error


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

        pipeline = Pipeline(load_offline_settings())
        with err.status("replaying the vault"):
            count = pipeline.rebuild()
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


@app.command()
def probe(
    datasets: Annotated[list[str] | None, typer.Argument(help="Datasets; all that HTW_DATASETS names by default.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Spend the requests without being asked.")] = False,
    as_json: Json = False,
    samples: Annotated[Path | None, typer.Option(help="Where samples go; by default below HTW_DATA_DIR/probe.")] = None,
) -> None:
    """Ask each dataset once and name what is not as the registry expects; shows the cost first."""
    with spoken_errors():
        raise typer.Exit(_probe(load_settings(), datasets or [], yes, as_json, samples))


def _probe(settings: Settings, names: list[str], yes: bool, as_json: bool, samples: Path | None) -> int:
    from orchestration.budget import Budget
    from orchestration.clock import SystemClock
    from orchestration.probe import run_probe
    from orchestration.probe_errand import Errand, cost_words
    from orchestration.probe_report import report_lines

    chosen, now = _known_datasets(settings, names), datetime.now(UTC)
    errand = Errand.of([dataset for dataset in settings.wanted_datasets() if dataset.name in chosen], now)
    err.print(cost_words(errand, settings.plan_limits()), markup=False, soft_wrap=True)
    if not yes and not sys.stdin.isatty():
        raise SettingsError("nobody is there to confirm the cost: add --yes to spend it")
    if not yes and not typer.confirm("go on?", err=True):
        return FAILED
    folder = samples or settings.data_dir / "probe" / f"{now:%Y-%m-%dT%H%M%SZ}"
    with err.status("asking") as status:

        def tell(text: str, is_kept: bool) -> None:
            if is_kept:
                err.print(text, markup=False, soft_wrap=True)
            status.update(escape(text))

        turns = Budget(settings.budget_file, settings.plan_limits(), SystemClock())
        report = run_probe(settings.access(), SystemClock(), errand, folder, tell, turns)
    if as_json:
        out.print_json(json.dumps(report.as_json()))
    for line in [] if as_json else report_lines(report):
        out.print(line, markup=False, soft_wrap=True)
    return FAILED if report.failures else DIFFERENCES if report.differences else DONE


@app.command()
def demo(
    folder: Annotated[str, typer.Option(help="Where the demo's data goes; emptied first.")] = "demo",
    seed: Annotated[int, typer.Option(help="Another seed, another market.")] = 7,
) -> None:
    """A market day in miniature against the sandbox: no token, no questions."""
    with spoken_errors():
        from orchestration.demo import run_demo

        raise typer.Exit(run_demo(folder, seed, out))


@app.command()
def dev(port: Annotated[int, typer.Option(help="Where the UI listens, on loopback.")] = 3000) -> None:
    """The Dagster UI with schedules on, against a sandbox started beside it."""
    with spoken_errors():
        from orchestration.services import LOOPBACK, dagster_services, free_port, sandbox_service, supervise

        api_port, storage_port = free_port(), free_port()
        # What .env names is for the provider; the services read the environment before .env.
        os.environ |= {"HTW_API_URL": f"http://{LOOPBACK}:{api_port}", "HTW_PLAN": "stream", "HTW_API_TOKEN": SANDBOX_TOKEN}
        os.environ.setdefault("HTW_COINS", "top:6")
        os.environ.setdefault("HTW_DATA_DIR", "data/dev")
        folder = os.environ["HTW_DATA_DIR"]
        os.environ["HTW_WAREHOUSE_URL"] = f"{folder}/{WAREHOUSE_NAME}"
        os.environ |= {"HTW_LAKE_URL": f"{folder}/lake/catalog.sqlite", "HTW_LAKE_DATA": f"{folder}/lake/data"}
        os.environ |= {"HTW_DAGSTER_STORAGE": SQLITE, "HTW_RUN_LAUNCHER": LOCAL}
        settings = load_settings(code_server="")
        services = [sandbox_service(12, 2400, 1500, api_port, storage_port), *dagster_services(settings, LOOPBACK, port)]
        out.print(f"Dagster UI at http://{LOOPBACK}:{port} in a few seconds; schedules are on; stop with Ctrl-C")
        raise typer.Exit(supervise(services, settings, err.print))


@app.command()
def up(
    host: Annotated[str, typer.Option(help="Where the UI listens; it has no login of its own.")] = "127.0.0.1",
    port: Annotated[int, typer.Option()] = 3000,
) -> None:
    """Daemon and UI with schedules on, against HTW_API_URL."""
    with spoken_errors():
        from orchestration.services import dagster_services, supervise

        settings = load_settings()
        out.print(f"Dagster UI at http://{host}:{port} in a few seconds; polling {settings.api_url}; stop with Ctrl-C")
        raise typer.Exit(supervise(dagster_services(settings, host, port), settings, err.print))


@app.command()
def serve(
    service: Annotated[Literal["code", "daemon", "webserver"], typer.Argument(help="Which one.")],
    host: Annotated[str, typer.Option(help="Where the web UI or the code server listens; neither has a login.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Its port; by default 3000, and for the code server that of HTW_CODE_SERVER.")
    ] = None,
) -> None:
    """One service in the foreground, for a supervisor of your own (containers, systemd)."""
    with spoken_errors():
        from orchestration.runs import dagster_instance
        from orchestration.services import WEBSERVER, become, prepare_home, service_named

        settings = load_offline_settings()
        # Where there is a code server, nobody else asks the provider.
        if service == "code" or settings.code_address is None:
            settings = load_settings()
        chosen = service_named(service, settings, host, port)
        if service == WEBSERVER:
            with dagster_instance(settings):
                pass
        else:
            prepare_home(settings, service)
        become(chosen)


def _known_datasets(settings: Settings, names: list[str]) -> set[str]:
    wanted = {dataset.name for dataset in settings.wanted_datasets()}
    unknown = [name for name in names if name not in wanted]
    if unknown:
        raise SettingsError(f"{', '.join(unknown)}: no such dataset is wanted; known are {', '.join(sorted(wanted))}")
    return set(names) or wanted


def _minute_of(option: str, text: str | None) -> datetime | None:
    from orchestration.partitions import slot_of

    if text is None:
        return None
    try:
        return slot_of(text)
    except ValueError:
        raise SettingsError(f"{option} {text} is not a UTC minute such as 2026-03-24T10:15Z") from None


def _slot_for(settings: Settings, cadence: Cadence, moment: datetime | None) -> datetime:
    from orchestration.partitions import first_slot

    now = datetime.now(UTC)
    if moment is None:
        return slot_at(cadence, now)
    if not is_slot(cadence, moment):
        raise SettingsError(f"{moment:%Y-%m-%dT%H:%MZ} is no slot of a dataset due {cadence.value}; name the datasets it is for")
    if moment > now:
        raise SettingsError(f"{moment:%Y-%m-%dT%H:%MZ} has not begun yet")
    if moment < (first := first_slot(settings.data_dir, now)):
        raise SettingsError(
            f"{moment:%Y-%m-%dT%H:%MZ} lies before the first slot here, {first:%Y-%m-%d}; `htw backfill` goes further"
        )
    return moment


def main() -> None:
    """Entry point of the `htw` script."""
    app()


if __name__ == "__main__":
    main()
