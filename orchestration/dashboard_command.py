"""`htw dashboard`: the dashboards over the published copy, in a browser.

Belongs here: how Streamlit is started. Does not: the pages (`dashboards`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestration.console import err, out, spoken_errors

LOOPBACK = "127.0.0.1"
PORT = 8501
# Nothing is sent to Streamlit's makers, no browser is opened on a server, and errors show their words without their code.
OPTIONS = {
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "server.showEmailPrompt": "false",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "theme.base": "light",
    "theme.primaryColor": "#2563eb",
}


def command(host: str, port: int) -> list[str]:
    """What starts Streamlit on the pages."""
    script = Path(__file__).parents[1] / "dashboards" / "pages" / "__main__.py"
    options = {**OPTIONS, "server.address": host, "server.port": str(port)}
    return [sys.executable, "-m", "streamlit", "run", str(script), *(f"--{name}={value}" for name, value in options.items())]


def dashboard(
    host: Annotated[str, typer.Option(help="Where the pages listen; they have no login.")] = LOOPBACK,
    port: Annotated[int, typer.Option(help="The port they listen on.")] = PORT,
) -> None:
    """Pages over the published copy, in a browser; they follow each publish by themselves."""
    with spoken_errors():
        from orchestration.services import Service, become
        from warehouse.finding import find_published

        file = find_published()
        if not file.exists():
            says = f"nothing is published at {file} yet: run `htw poll`, or `htw demo`; the pages show it as soon as it is there"
            err.print(says, markup=False, soft_wrap=True)
        out.print(
            f"dashboards of {file} at http://{host}:{port} in a few seconds; stop with Ctrl-C", markup=False, soft_wrap=True
        )
        become(Service("dashboard", command(host, port)))
