"""`htw doctor`: what may be wrong, and with `--fix` what was put right.

Belongs here: options and output of the command. Does not: looking (`doctor`), putting right (`repairing`).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from orchestration.console import DONE, FAILED, Json, out, spoken_errors
from orchestration.findings import Finding
from orchestration.settings import load_settings


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Put right what crashes left behind, then look.")] = False,
    as_json: Json = False,
) -> None:
    """Look at token, plan, clock, disk, locks, vault and versions; each finding names its mend."""
    with spoken_errors():
        from orchestration.clock import SystemClock
        from orchestration.doctor import examine
        from orchestration.pipeline import Pipeline
        from orchestration.repairing import put_right

        settings = load_settings()
        done = [*put_right(Pipeline(settings))] if fix else []
        found = [*examine(settings, SystemClock())]
        if as_json:
            out.print_json(json.dumps([asdict(finding) for finding in [*done, *found]]))
        for finding in [] if as_json else done:
            _show(finding, "done")
        for finding in [] if as_json else found:
            _show(finding, "well")
        raise typer.Exit(DONE if all(finding.is_well for finding in [*done, *found]) else FAILED)


def _show(finding: Finding, word: str) -> None:
    mark = f"[green]{word}[/]" if finding.is_well else "[bold red]mend[/]"
    mend = f" -> {finding.mend}" if finding.mend else ""
    out.print(f"{mark}  {finding.subject}: {escape(finding.says + mend)}", soft_wrap=True)
