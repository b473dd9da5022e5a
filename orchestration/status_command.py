"""`htw status`: the picture of coverage, the reasons, what is left of the budget.

Belongs here: the command's options and the order of what it prints. Does not: reading (`reporting`), drawing (`strips`).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from textwrap import fill
from typing import Annotated, Any

import typer

from orchestration.arguments import minute_of
from orchestration.console import DONE, SLOTS_MISSING, Json, err, out, spoken_errors
from orchestration.settings import Settings, load_offline_settings

DEFAULT_HOURS = 24
NOTHING_POLLED = (
    "HTW_DATASETS is none: nothing is polled here; what other machines polled is told by them, and by the lake: "
    '`htw query --lake "from fct_slot_coverage"`'
)
AS_A_PARAGRAPH: dict[str, Any] = {"subsequent_indent": "  ", "break_long_words": False, "break_on_hyphens": False}


def status(
    hours: Annotated[int, typer.Option(help="How far back to look.", min=1)] = DEFAULT_HOURS,
    until: Annotated[str | None, typer.Option(help="The end, such as 2026-03-24T10:15Z; by default now.")] = None,
    as_json: Json = False,
) -> None:
    """What arrived, what is missing, why, until when it can be healed and what that costs."""
    with spoken_errors():
        now = datetime.now(UTC)
        end = minute_of("--until", until) or now
        raise typer.Exit(_show(load_offline_settings(), end - timedelta(hours=hours), end, as_json))


def _show(settings: Settings, since: datetime, until: datetime, as_json: bool) -> int:
    from orchestration.reporting import gap_lines, read_status, status_json
    from orchestration.strips import cell_for, picture

    cell = cell_for(out.width, since, until)
    statuses = read_status(settings.warehouse_file, settings.wanted_datasets(), since, until, cell)
    if not statuses:
        err.print("nothing was polled yet; run `htw poll`" if settings.wanted_datasets() else NOTHING_POLLED, soft_wrap=True)
    if as_json:
        out.print_json(json.dumps(status_json(statuses, (since, until), cell), default=str))
    elif statuses:
        for line in picture(statuses, since, until, cell):
            out.print(line, soft_wrap=True)
        for text in ["", *gap_lines(statuses, until), *_budget_lines(settings)]:
            out.print(fill(text, out.width, **AS_A_PARAGRAPH), markup=False, soft_wrap=True)
    return DONE if statuses and not any(status.gaps for status in statuses) else SLOTS_MISSING


def _budget_lines(settings: Settings) -> list[str]:
    from orchestration.budget import Budget
    from orchestration.clock import SystemClock
    from orchestration.reporting import budget_line

    return [budget_line(Budget(settings.budget_file, settings.plan_limits(), SystemClock()).left())]
