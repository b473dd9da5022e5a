"""`htw alerts` and `htw metrics`.

Belongs here: options and output of the commands. Does not: what is wrong (`alerting.problems`), telling (`alerting`), the metrics
(`metrics`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.console import DONE, FAILED, WRONG_USAGE, Json, complain, err, out, spoken_errors
from orchestration.settings import load_offline_settings

if TYPE_CHECKING:
    from orchestration.alerting.problems import Found
    from orchestration.pipeline import Pipeline

alerts = typer.Typer(help="What is wrong now, and whether the alert channels work.", rich_markup_mode=None)
TIME = "%Y-%m-%d %H:%M"
METRICS_PORT = 9187
LOOPBACK = "127.0.0.1"


@alerts.callback(invoke_without_command=True)
def show(context: typer.Context, as_json: Json = False) -> None:
    """What is wrong now, since when, why, and the command that mends it. Exit status 1 where anything is."""
    if context.invoked_subcommand is not None:
        return
    with spoken_errors():
        from dataclasses import asdict

        from orchestration.alerting.channels import channels_of
        from orchestration.alerting.looking import NO_CHANNEL, open_problems
        from orchestration.pipeline import Pipeline

        pipeline = Pipeline(load_offline_settings())
        found = _find(pipeline)()
        problems = open_problems(pipeline, found)
        if as_json:
            values = [asdict(problem) for problem in problems]
            out.print_json(
                json.dumps({"problems": values, "not_looked_at": found.unseen}, default=lambda moment: moment.isoformat())
            )
        for problem in [] if as_json else problems:
            out.print(f"[bold red]open[/]  since {problem.since:{TIME}} UTC", soft_wrap=True)
            for line in (problem.title, problem.cause, f"-> {problem.command}"):
                out.print(f"      {line}", markup=False, soft_wrap=True)
        if found.unseen:
            complain(f"could not look at: {', '.join(found.unseen)}; something holds the files, try again")
        if not problems and not as_json:
            out.print("nothing is wrong")
        names = ", ".join(channel.name for channel in channels_of(pipeline.settings))
        err.print(f"told by: {names}" if names else NO_CHANNEL, markup=False, soft_wrap=True)
        raise typer.Exit(FAILED if problems else DONE)


@alerts.command("test")
def send_test(as_json: Json = False) -> None:
    """Send a test message to every channel that is set. Exit status 1 where one failed, 2 where none is set."""
    with spoken_errors():
        from orchestration.alerting.channels import channels_of
        from orchestration.alerting.looking import NO_CHANNEL, try_channels
        from orchestration.clock import SystemClock

        channels = channels_of(load_offline_settings())
        if not channels:
            complain(f"{NO_CHANNEL}; see .env.example")
            raise typer.Exit(WRONG_USAGE)
        results = try_channels(channels, SystemClock().now())
        if as_json:
            out.print_json(json.dumps([{"channel": name, "is_well": not says, "says": says} for name, says in results.items()]))
        for name, says in [] if as_json else results.items():
            out.print(f"{name}: {says or 'took the test message'}", markup=False, soft_wrap=True)
        raise typer.Exit(FAILED if any(results.values()) else DONE)


def metrics(
    serve: Annotated[bool, typer.Option("--serve", help="Serve them on loopback instead, read anew at each scrape.")] = False,
    port: Annotated[int, typer.Option(help="Where they are served.", min=1, max=65535)] = METRICS_PORT,
) -> None:
    """Metrics for Prometheus, as OpenMetrics text."""
    with spoken_errors():
        from orchestration.metrics import openmetrics_text, registry_of
        from orchestration.pipeline import Pipeline

        pipeline = Pipeline(load_offline_settings())
        registry = registry_of(pipeline, _find(pipeline))
        if not serve:
            typer.echo(openmetrics_text(registry), nl=False)
            return
        from prometheus_client import start_http_server

        _, thread = start_http_server(port, LOOPBACK, registry)
        err.print(f"metrics at http://{LOOPBACK}:{port}/metrics; stop with Ctrl-C")
        thread.join()


def _find(pipeline: Pipeline) -> Callable[[], Found]:
    """Looks for problems, in the runs too where Dagster has a home already."""
    from orchestration.alerting.problems import find_problems
    from orchestration.runs import dagster_instance

    def find() -> Found:
        if not pipeline.settings.dagster_home.exists():
            return find_problems(pipeline, None)
        with dagster_instance(pipeline.settings) as instance:
            return find_problems(pipeline, instance)

    return find
