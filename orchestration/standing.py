"""Where one stands, and what to do next: what `htw` alone tells.

Belongs here: telling apart a fresh checkout, a demo, a folder that polls, and the command that leads on from each. Does not: what
arrived slot by slot (`htw status`), whether the house is in order (`htw doctor`). Reads the published copy only, so that it waits
for nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestration.division import Landing
from orchestration.settings import DEMO_MARKER, Settings, SettingsError, load_offline_settings, load_settings

DEMO_FOLDER = Path("demo")
STALE_AFTER = timedelta(hours=3)
LEFT_OUT = "fct_slot_coverage"
NEWEST = "select max(snapshot_at) from fct_slot_coverage"
MISSING = f"""
select count(*) filter (is_missing), count(*) filter (is_missing and recoverable_until > $1)
from {LEFT_OUT} where slot > (select max(slot) from {LEFT_OUT}) - interval 1 day
"""


@dataclass(frozen=True)
class Step:
    """A command, and what it is for."""

    command: str
    says: str


READING = (
    Step("htw tables", "what there is to read"),
    Step("htw describe fct_cohort_metrics", "one table: units, traps, a question to start with"),
    Step('htw query "from dim_coin"', "ask in SQL; thirty questions are in docs/cookbook.md"),
    Step("htw dashboard", "the same as pictures"),
)
DEMO = Step("htw demo", "a market day in miniature, without a token, in some three minutes")
TOKEN = Step("cp .env.example .env", "then set HTW_API_TOKEN in it, and run `htw doctor`")
POLLING = Step("make up", "the daemon and its UI: polls what the plan affords")
MODEL = Step("htw model", "take what other machines sent, build, publish")
NOTHING = "polling nothing: HTW_DATASETS is none"
STATUS = Step("htw status", "what arrived, what is missing and why")
HEAL = Step("htw heal", "ask again for what can still be had")


@dataclass(frozen=True)
class Standing:
    """What is so, by topic, and the commands that come next, the most useful first."""

    facts: tuple[tuple[str, str], ...]
    steps: tuple[Step, ...]


def standing(now: datetime) -> Standing:
    """Where the settings in force stand at a time. Asks the API nothing and changes nothing."""
    try:
        settings = load_offline_settings()
    except SettingsError as error:
        return Standing((("settings", str(error)),), (Step("htw doctor", "once they are right"),))
    lacks_token = _lacks()
    facts = [("settings", lacks_token or _work(settings))]
    facts.append(("data", str(settings.data_dir) if settings.data_dir.exists() else f"none yet: there is no {settings.data_dir}"))
    if not settings.readers_file.exists():
        return Standing((*facts, *_unpublished(settings)), tuple(_first_steps(settings, bool(lacks_token))))
    is_demo = (settings.data_dir / DEMO_MARKER).exists()
    facts = [("data", f"{settings.data_dir}, a demo")] if is_demo else facts
    return _published(settings, facts, is_demo, now)


def _work(settings: Settings) -> str:
    if not settings.wanted_datasets():
        return f"polling nothing, modelling what other machines sent to {settings.lake.catalog}" if _models(settings) else NOTHING
    return f"polling {settings.api_url}, plan {settings.plan}, coins {settings.coins}"


def _models(settings: Settings) -> bool:
    return settings.landing is Landing.TAKE


def _lacks() -> str:
    """What stands in the way of polling; empty where nothing does."""
    try:
        load_settings()
    except SettingsError as error:
        return str(error)
    return ""


def _unpublished(settings: Settings) -> Iterator[tuple[str, str]]:
    yield "published", f"nothing yet at {settings.readers_file}"


def _first_steps(settings: Settings, lacks_token: bool) -> Iterator[Step]:
    demo = DEMO_FOLDER.absolute()
    if settings.data_dir != demo and (demo / DEMO_MARKER).exists():
        yield Step("HTW_DATA_DIR=demo htw tables", "a demo is there: what it holds")
    else:
        yield DEMO
    if settings.published:
        return
    if not settings.wanted_datasets():
        yield from (MODEL, POLLING) if _models(settings) else ()
        return
    yield from (TOKEN,) if lacks_token else (Step("htw poll", "fill the slots that are due, build, publish"), POLLING)


def _published(settings: Settings, facts: list[tuple[str, str]], is_demo: bool, now: datetime) -> Standing:
    from warehouse.catalog import read_catalog
    from warehouse.query import connect_published

    with connect_published(settings.readers_file) as connection:
        catalog = read_catalog(connection)
        edition = connection.execute("select published_at from main.edition").fetchone()
        newest = connection.execute(NEWEST).fetchone() if LEFT_OUT in catalog else None
        tally = connection.execute(MISSING, [now.replace(tzinfo=None)]).fetchone() if LEFT_OUT in catalog else None
    at, last = edition[0] if edition else None, newest[0].replace(tzinfo=UTC) if newest and newest[0] else None
    facts.append(("published", f"{len(catalog)} tables, at {at:%Y-%m-%d %H:%M} UTC" if at else f"{len(catalog)} tables"))
    if settings.wanted_datasets() or last:
        facts.append(("newest", f"{last:%Y-%m-%d %H:%M} UTC, {_ago(now - last)}" if last else "nothing has arrived yet"))
    missing, healable = tally or (0, 0)
    if missing and not is_demo:
        facts.append(("missing", f"{missing:,} slots of its last day" + (f", {healable:,} can still be had" if healable else "")))
    steps = [replace(step, command=f"{_set_to(settings)}{step.command}") for step in READING] if is_demo else list(READING)
    if not is_demo and not settings.published:
        is_stale = bool(settings.wanted_datasets()) and (last is None or now - last > STALE_AFTER)
        steps = [*([POLLING] if is_stale else []), *([HEAL] if healable else []), *([STATUS] if missing else []), *steps]
    return Standing(tuple(facts), tuple(steps))


def _set_to(settings: Settings) -> str:
    here = Path.cwd()
    return f"HTW_DATA_DIR={settings.data_dir.relative_to(here) if settings.data_dir.is_relative_to(here) else settings.data_dir} "


def _ago(span: timedelta) -> str:
    if span >= timedelta(days=2):
        return f"{span.days} days ago"
    hours, minutes = divmod(max(int(span.total_seconds()), 0) // 60, 60)
    return f"{hours} h {minutes} min ago" if hours else f"{minutes} min ago"
