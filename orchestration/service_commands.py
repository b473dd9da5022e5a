"""`htw dev`, `htw up` and `htw serve`: what runs until it is stopped.

Belongs here: options of the commands, and the settings of a trial against the sandbox. Does not: the processes (`services`).
"""

from __future__ import annotations

import os
from typing import Annotated, Literal

import typer

from orchestration.console import err, out, spoken_errors
from orchestration.division import Landing
from orchestration.settings import LOCAL, SANDBOX_TOKEN, SQLITE, WAREHOUSE_NAME, Settings, load_offline_settings, load_settings


def dev(port: Annotated[int, typer.Option(help="Where the UI listens, on loopback.")] = 3000) -> None:
    """The Dagster UI with schedules on, against a sandbox started beside it."""
    with spoken_errors():
        from orchestration.services import LOOPBACK, dagster_services, free_port, sandbox_service, supervise

        api_port, storage_port = free_port(), free_port()
        settings = trial_settings(f"http://{LOOPBACK}:{api_port}")
        services = [sandbox_service(12, 2400, 1500, api_port, storage_port), *dagster_services(settings, LOOPBACK, port)]
        out.print(f"Dagster UI at http://{LOOPBACK}:{port} in a few seconds; schedules are on; stop with Ctrl-C")
        raise typer.Exit(supervise(services, settings, err.print))


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


def trial_settings(api_url: str) -> Settings:
    """Those of a trial beside what is kept in earnest, alone in its folder; its services find them in the environment."""
    # What .env names is for the provider; the services read the environment before .env.
    os.environ |= {"HTW_API_URL": api_url, "HTW_PLAN": "stream", "HTW_API_TOKEN": SANDBOX_TOKEN}
    os.environ.setdefault("HTW_COINS", "top:6")
    os.environ.setdefault("HTW_DATA_DIR", "data/dev")
    folder = os.environ["HTW_DATA_DIR"]
    os.environ["HTW_WAREHOUSE_URL"] = f"{folder}/{WAREHOUSE_NAME}"
    os.environ |= {"HTW_LAKE_URL": f"{folder}/lake/catalog.sqlite", "HTW_LAKE_DATA": f"{folder}/lake/data"}
    os.environ |= {"HTW_DAGSTER_STORAGE": SQLITE, "HTW_RUN_LAUNCHER": LOCAL, "HTW_LANDING": Landing.HERE.value}
    return load_settings(code_server="")
