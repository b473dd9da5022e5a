"""`htw probe`: the provider asked once, and what is not as the registry expects.

Belongs here: the command's options, the question before requests are spent, what it prints. Does not: asking (`probe`), its cost
(`probe_errand`), the report (`probe_report`).
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from orchestration.arguments import chosen_datasets
from orchestration.console import DONE, FAILED, SLOTS_MISSING, Json, err, out, spoken_errors
from orchestration.settings import Settings, SettingsError, load_settings

DIFFERENCES = SLOTS_MISSING


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

    chosen, now = chosen_datasets(settings, names), datetime.now(UTC)
    errand = Errand.of([dataset for dataset in settings.wanted_datasets() if dataset.name in chosen], now)
    err.print(cost_words(errand, settings.plan_limits()), markup=False, soft_wrap=True)
    if not (yes or _is_confirmed()):
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


def _is_confirmed() -> bool:
    if not sys.stdin.isatty():
        raise SettingsError("nobody is there to confirm the cost: add --yes to spend it")
    return typer.confirm("go on?", err=True)
