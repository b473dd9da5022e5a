"""`docs/month.md`: what a simulated month of each of the vendor's plans came to.

Belongs here: simulating every plan, side by side in processes, and laying the figures out as text. Does not: the figures
(`figures`), the month (`month`).
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from orchestration.affording import ASSUMED_COIN_COUNT
from orchestration.pages import DOCS_DIR
from orchestration.planning.plans import PLANS
from orchestration.simulation.asking import Purpose
from orchestration.simulation.figures import Figures, Loss, figures_of
from orchestration.simulation.month import END, START, simulate
from orchestration.simulation.weather import DRAWN, Trouble, Weather

SEED = 7
WISHES = ("top:20", "all")
PROCESSES = 2
# Held in memory where the machine can: nothing of it is kept.
FAST_FOLDER = Path("/dev/shm")
MADE = "<!-- Made by `python -m orchestration.simulation` from the project itself; change it there. -->"
INTRODUCTION = """\
What a month of 31 days comes to under each of the vendor's plans, when things go wrong. The plan, the slots that it makes due,
the budget of requests, the state gate's rule, the order of healing and the verdicts are the project's own code, run on a virtual
clock; the course of a sweep, and that sweeps at once serve what ends first, are acted out. The provider is made up; it counts by
itself and refuses what is above the plan.
Verdicts are those of `ops.slot_coverage`, the macro behind `htw status` and `fct_slot_coverage`. A slot here is one of one scope:
one coin, one cohort, or the whole market."""
CLEAR = """\
Nothing is wrong with a perishable slot if none of this happens between its beginning and its end (for daily slots: in the first
two hours); whatever the project had the requests for must be there then. A slot that is not reached before the next one of its
dataset has failed; so has one whose request failed five times in a row. Requests are sent in batches here, so single answers
within a batch are not timed. A slot that the provider can be asked for later is lost only when that is over."""
Row = Callable[[Figures], str]
REQUESTS: Mapping[str, Row] = {
    "requests allowed in the month": lambda f: f"{f.plan.most_a_month:,}",
    "requests spent, as the provider counted": lambda f: f"{f.counted:,}",
    "of them planned polls": lambda f: f"{f.spent.get(Purpose.PLANNED, 0):,}",
    "of them readings of the state around sweeps": lambda f: f"{f.spent.get(Purpose.READING, 0):,}",
    "of them retries, and sweeps repeated because the state moved": lambda f: f"{f.spent.get(Purpose.RETRY, 0):,}",
    "of them healing": lambda f: f"{f.spent.get(Purpose.HEALING, 0):,}",
    "busiest day": lambda f: f"{f.busiest_day:,}" + ("" if f.plan.per_month else f" of {f.plan.per_day:,}"),
    "worst minute": lambda f: f"{f.worst_minute:,}" + (f" of {f.plan.per_minute:,}" if f.plan.per_minute else ""),
    "requests above a limit": lambda f: f"{f.over_plan:,}",
    "polls spared by the state gate": lambda f: f"{f.spared:,}",
}
SLOTS: Mapping[str, Row] = {
    "slots planned": lambda f: f"{f.planned:,}",
    "arrived": lambda f: f"{f.arrived:,}",
    "of them after their slot was over, by healing or a later answer": lambda f: f"{f.healed:,}",
    "still to be healed at the end": lambda f: f"{f.healable:,}",
    **{f"lost: {loss.value}": (lambda f, loss=loss: f"{f.lost.get(loss, 0):,}") for loss in Loss},  # type: ignore[misc]
    "perishable slots while nothing was wrong: arrived of planned": lambda f: f"{f.clear_arrived:,} of {f.clear_planned:,}",
    "slots not planned": lambda f: f"{f.not_planned:,}",
    "slots without exactly one verdict": lambda f: f"{f.rows - f.keys + f.rows - f.verdicts:,}",
}


def all_figures(seed: int = SEED) -> dict[str, list[Figures]]:
    """A month of each of the vendor's plans, by the coins that are wished for; takes some ten minutes of two cores."""
    wanted = [(plan, coins, seed) for coins in reversed(WISHES) for plan in reversed([*PLANS])]
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        found = dict(zip(wanted, pool.map(one_month, wanted), strict=True))
    return {coins: [found[plan, coins, seed] for plan in PLANS] for coins in WISHES}


def one_month(wanted: tuple[str, str, int]) -> Figures:
    """A month of a plan, coins and a seed, in a folder that is gone afterwards."""
    plan, coins, seed = wanted
    fast = FAST_FOLDER if FAST_FOLDER.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="htw-month-", dir=fast) as folder:
        return figures_of(simulate(Path(folder), plan, coins, seed))


def month_page(figures: Mapping[str, Sequence[Figures]], seed: int = SEED) -> str:
    """One table a wish for coins: plans across; then what happened in the month."""
    tables = [line for coins, months in figures.items() for line in _table(coins, months)]
    short = [month for held in figures.values() for month in held if month.clear_arrived < month.clear_planned]
    return "\n".join(["# A month of each plan", "", MADE, "", INTRODUCTION, "", *tables, *_shortfall(short), *_story(seed)])


def _table(coins: str, months: Sequence[Figures]) -> Iterator[str]:
    title = f"All {ASSUMED_COIN_COUNT} coins" if coins == "all" else f"The {coins.removeprefix('top:')} largest coins"
    yield from (f"## {title} (`HTW_COINS={coins}`)", "", f"| | {' | '.join(month.plan.name for month in months)} |")
    yield "|---|" + "---|" * len(months)
    for name, figure in {**REQUESTS, **SLOTS}.items():
        yield f"| {name} | {' | '.join(map(figure, months))} |"
    yield ""


def _shortfall(months: Sequence[Figures]) -> Iterator[str]:
    """Where perishable slots did not arrive although nothing was wrong, if anywhere."""
    if not months:
        return
    yield from ("## Where it falls short", "")
    yield "With these plans and coins, perishable slots did not arrive although daemon and provider were up:"
    yield ""
    for month in months:
        missing = month.clear_planned - month.clear_arrived
        yield f"- {month.plan.name}, `HTW_COINS={month.coins}`: {missing:,} of {month.clear_planned:,}"
    yield ""


def _story(seed: int) -> Iterator[str]:
    """What was simulated, in words."""
    weather = Weather.drawn(seed, START, END)
    minutes: Counter[Trouble] = Counter()
    for spell in weather.spells:
        minutes[spell.trouble] += round((spell.end - spell.start).total_seconds() / 60)
    times = Counter(trouble for trouble, *_ in DRAWN)
    yield from ("## What was simulated", "")
    yield f"{START:%B %Y} (UTC), drawn from seed {seed}; the same seed gives the same figures."
    yield "The provider publishes a state every 15 to 17 minutes and promises the next one after 15. In the month"
    yield f"- it cannot be reached {_spells(times, minutes, Trouble.UNREACHABLE)};"
    yield f"- it answers 503, which costs a request each, {_spells(times, minutes, Trouble.FAILING)};"
    yield f"- it answers 429 to a tenth to a half of the requests {_spells(times, minutes, Trouble.REFUSING)};"
    yield f"- the daemon is away {_spells(times, minutes, Trouble.AWAY)}, the longest time for three hours;"
    yield "- some coins change their rank and one is replaced by another, so that a second plan follows the first."
    yield from ("", CLEAR)


def _spells(times: Mapping[Trouble, int], minutes: Mapping[Trouble, int], trouble: Trouble) -> str:
    return f"{times[trouble]} times, {minutes[trouble]} minutes together"


def write_page() -> None:
    """Simulate every plan and write `docs/month.md`."""
    (DOCS_DIR / "month.md").write_text(month_page(all_figures()) + "\n", "utf-8")
