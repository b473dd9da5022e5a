"""`htw quarantine`: what could not be read, why, and what is done about it.

Belongs here: options and output of the commands. Does not: what they do (`replaying`), the tables (`warehouse.quarantine`).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration.alerting.wording import counted
from orchestration.console import DONE, SLOTS_MISSING, WRONG_USAGE, Json, complain, err, out, spoken_errors
from orchestration.settings import load_offline_settings

if TYPE_CHECKING:
    from orchestration.pipeline import Pipeline
    from orchestration.replaying import Replay
    from warehouse.quarantine import Quarantined
    from warehouse.rejects import Reject

quarantine = typer.Typer(
    help="Payloads that could not be read: list, show, judge again, leave out.", no_args_is_help=True, rich_markup_mode=None
)
TIME = "%Y-%m-%d %H:%M"
ID_CHARS, REASON_CHARS, ROWS_SHOWN = 8, 90, 20
FetchId = Annotated[str, typer.Argument(help="The fetch id, or how it begins.")]


@quarantine.command("list")
def list_held(
    everything: Annotated[bool, typer.Option("--all", help="Also what was replayed or released.")] = False,
    as_json: Json = False,
) -> None:
    """What is held: when it came, of what, why it could not be read."""
    with spoken_errors():
        from warehouse.connection import open_reader
        from warehouse.quarantine import quarantine_rows

        file = load_offline_settings().warehouse_file
        rows: list[Quarantined] = []
        if file.exists():
            with open_reader(file) as connection:
                rows = quarantine_rows(connection, held_only=not everything)
        if as_json:
            out.print_json(json.dumps([asdict(row) for row in rows], default=str))
            return
        for row in rows:
            out.print(_row_line(row), markup=False, soft_wrap=True)
        if rows:
            err.print("`htw quarantine show ID` says more", markup=False)
        else:
            out.print("nothing is in quarantine" if everything else "nothing is held in quarantine")


@quarantine.command()
def show(fetch_id: FetchId, as_json: Json = False) -> None:
    """One fetch: the reason, the rows at fault, how the payload begins, its files, what to do."""
    with spoken_errors():
        from orchestration.pipeline import Pipeline
        from warehouse.connection import open_reader
        from warehouse.quarantine import excerpt, printable, rejects_of, row_of

        pipeline = Pipeline(load_offline_settings())
        with open_reader(pipeline.settings.warehouse_file) as connection:
            row = row_of(connection, fetch_id)
            rejects = rejects_of(connection, row.fetch_id)
        text = excerpt(pipeline.vault, pipeline.vault.record(row.dataset, row.slot, row.fetch_id))
        if as_json:
            values: dict[str, Any] = {**asdict(row), "rejected_rows": [asdict(reject) for reject in rejects], "begins": text}
            out.print_json(json.dumps(values, default=str))
            return
        for line in _story(pipeline, row, rejects, text):
            out.print(printable(line), markup=False, soft_wrap=True)


@quarantine.command()
def replay(
    fetch_ids: Annotated[list[str] | None, typer.Argument(help="Fetch ids, or how they begin.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that is held.")] = False,
    as_json: Json = False,
) -> None:
    """Judge payloads again with today's code; what is accepted is built and published. Exit status 3 where some stay held."""
    if bool(fetch_ids) == everything:
        complain("name fetch ids, or --all")
        raise typer.Exit(WRONG_USAGE)
    with spoken_errors():
        from orchestration.pipeline import Pipeline

        replays = _replay(Pipeline(load_offline_settings()), fetch_ids or [])
        if as_json:
            out.print_json(json.dumps([_replay_json(one) for one in replays]))
        for one in [] if as_json else replays:
            out.print(_replay_line(one), markup=False, soft_wrap=True)
        if not replays and not as_json:
            out.print("nothing is held in quarantine")
        raise typer.Exit(DONE if all(one.is_accepted for one in replays) else SLOTS_MISSING)


@quarantine.command()
def release(
    fetch_id: FetchId,
    why: Annotated[str, typer.Option("--why", help="Why it can be left out, for whoever looks later.")],
) -> None:
    """Leave a payload out for good: it is no longer held, and its slot stays missing for the reason given.

    `htw status` says so at once, the published copy after the next build.
    """
    if not why.strip():
        complain("--why is empty: say why the payload can be left out")
        raise typer.Exit(WRONG_USAGE)
    with spoken_errors():
        from orchestration.pipeline import Pipeline
        from orchestration.replaying import chosen_rows, working_file
        from orchestration.replaying import release as leave_out

        pipeline = Pipeline(load_offline_settings())
        with working_file(pipeline) as connection:
            (row,) = chosen_rows(connection, [fetch_id])
            leave_out(connection, pipeline.vault, row, why.strip(), pipeline.clock.now())
        out.print(f"{row.fetch_id} is left out: {_what(row)}", markup=False, soft_wrap=True)


def _replay(pipeline: Pipeline, fetch_ids: list[str]) -> list[Replay]:
    from orchestration.replaying import chosen_rows, working_file
    from orchestration.replaying import replay as judge_again

    with working_file(pipeline) as connection, err.status("judging again"):
        rows = chosen_rows(connection, fetch_ids)
        replays = [judge_again(connection, pipeline.vault, row, pipeline.clock.now()) for row in rows]
    if any(one.is_accepted for one in replays):
        from orchestration.modelling import raise_for_failures

        with err.status("building and publishing"):
            raise_for_failures(pipeline.build(full_refresh=any(one.lost_rows for one in replays)))
            pipeline.publish()
    return replays


def _story(pipeline: Pipeline, row: Quarantined, rejects: tuple[Reject, ...], text: str) -> list[str]:
    decided = [f"{row.status} at {row.decided_at:{TIME}} UTC: {row.decided_why}"] if row.decided_at else []
    shown = [f"  line {one.line}, {one.column or 'the row'}: {one.cause}\n    {one.raw_text}" for one in rejects[:ROWS_SHOWN]]
    rows = [f"{counted(row.rejected_row_count, 'row')} that cannot be read:", *shown] if rejects else []
    files = [f"  {pipeline.vault.root / file}" for file in row.files]
    what = [] if row.decided_at else [f"-> {row.mend}", f"-> or `htw quarantine release {row.fetch_id[:ID_CHARS]} --why ...`"]
    head = f"{row.fetch_id}  {row.status}  {_what(row)}, fetched {row.fetched_at:{TIME}} UTC"
    begins = ["it begins:", text.rstrip("\n")] if text else ["it has no bytes that can be read"]
    return [head, row.reason, *decided, *rows, *begins, f"{row.byte_count:,} bytes in:", *files, *what]


def _what(row: Quarantined) -> str:
    return f"{row.dataset} {row.scope}".rstrip() + f" of {row.slot:{TIME}}"


def _row_line(row: Quarantined) -> str:
    reason = " ".join((row.decided_why or row.reason).split())
    cut = reason if len(reason) <= REASON_CHARS else reason[: REASON_CHARS - 3] + "..."
    return f"{row.fetch_id[:ID_CHARS]}  {row.fetched_at:{TIME}}  {row.status:8}  {_what(row)}: {cut}"


def _replay_line(one: Replay) -> str:
    if not one.is_accepted:
        return f"{one.row.fetch_id[:ID_CHARS]}  held still   {_what(one.row)}: {one.judgement.reason}"
    touched = f"; {one.touched} later fetches judged anew" if one.touched else ""
    return (
        f"{one.row.fetch_id[:ID_CHARS]}  {one.judgement.verdict:10}  {_what(one.row)}: {one.judgement.row_count:,} rows{touched}"
    )


def _replay_json(one: Replay) -> dict[str, Any]:
    return {
        "fetch_id": one.row.fetch_id, "dataset": one.row.dataset, "scope": one.row.scope, "slot": one.row.slot.isoformat(),
        "verdict": one.judgement.verdict.value, "reason": one.judgement.reason, "row_count": one.judgement.row_count,
        "touched": one.touched,
    }  # fmt: skip
