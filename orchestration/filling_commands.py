"""`htw heal` and `htw backfill`.

Belongs here: the options of the two commands. Does not: what they do (`filling`, `filling_run`), their words
(`filling_report`).
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from orchestration.console import DONE, Json, out, spoken_errors
from orchestration.settings import load_offline_settings, load_settings

Most = Annotated[int | None, typer.Option("--most", help="At most so many requests.", min=1)]
NOTHING_LEFT = "nothing was asked: live polls leave nothing of the quota now; run it again when `htw status` shows some left"
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would take, and ask nothing.")]


def heal(
    dry_run: DryRun = False,
    most: Most = None,
    as_json: Json = False,
) -> None:
    """Fill what was due, did not arrive and can still be had: what is lost first goes first, out of the reserve of the plan."""
    with spoken_errors():
        from orchestration.filling import affordable_now, healing, sole_healing
        from orchestration.filling_report import cost_lines, errands_json, errands_table
        from orchestration.filling_run import means_of, run, say
        from orchestration.pipeline import Pipeline
        from warehouse.connection import WarehouseLockedError

        pipeline = Pipeline(load_offline_settings() if dry_run else load_settings())
        with sole_healing(pipeline) as is_sole:
            if not (dry_run or is_sole):
                raise WarehouseLockedError("the job `heal` or another `htw heal` is at work on this folder", "wait for its end")
            errands, means, now = healing(pipeline), means_of(pipeline), pipeline.clock.now()
            taken = [] if dry_run else affordable_now(pipeline, errands, most)
            if as_json:
                out.print_json(json.dumps(errands_json(errands, means, now)))
            elif not errands:
                out.print("nothing is to be asked now (what was tried lately waits): `htw status` shows what is missing")
            else:
                out.print(errands_table(errands))
                say([*cost_lines(errands, means, now), *([] if dry_run or taken else [NOTHING_LEFT])])
            raise typer.Exit(run(pipeline, taken, len(errands), as_json) if errands else DONE)


def backfill(
    dataset: Annotated[str, typer.Argument(help="The dataset, such as open_positions.")],
    start: Annotated[str, typer.Option("--from", help="The first slot: 2026-03-20 or 2026-03-20T10:15Z (UTC).")],
    end: Annotated[str | None, typer.Option("--to", help="Up to this slot, itself left out; by default now.")] = None,
    coins: Annotated[str | None, typer.Option(help="all, top:20, or a list; HTW_COINS by default.")] = None,
    dry_run: DryRun = False,
    most: Most = None,
    as_json: Json = False,
) -> None:
    """Fill past slots that can still be had, whether they were due or not. May be stopped at any time and run again."""
    with spoken_errors():
        from orchestration.filling import affordable_now, survey
        from orchestration.filling_report import cost_lines, survey_json, survey_table, wanted_words
        from orchestration.filling_run import means_of, run, say, wanted_of
        from orchestration.pipeline import Pipeline

        pipeline = Pipeline(load_offline_settings() if dry_run else load_settings())
        # Other coins than the plan's: what is asked for once must not change what is polled.
        asked = pipeline.settings if coins is None else load_offline_settings(coins=coins)
        wanted = wanted_of(pipeline, asked, dataset, (start, end))
        found, means, now = survey(pipeline, wanted), means_of(pipeline), pipeline.clock.now()
        if as_json:
            out.print_json(json.dumps(survey_json(wanted, found, means, now)))
        else:
            say([wanted_words(wanted)])
            out.print(survey_table(found))
            say(cost_lines(found.errands, means, now))
        if dry_run and found.errands and not as_json:
            say(["nothing was asked; the same without --dry-run starts it"])
        taken = [] if dry_run else affordable_now(pipeline, found.errands, most)
        if found.errands and not (dry_run or taken or as_json):
            say([NOTHING_LEFT])
        missing = len(found.errands) + found.lost + found.below_floor
        raise typer.Exit(run(pipeline, taken, missing, as_json) if missing else DONE)
