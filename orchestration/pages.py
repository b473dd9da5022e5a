"""Documentation made from what runs: `docs/datasets.md` from the registry, `docs/dictionary.md` from the dbt manifest,
`docs/plans.md` from the quota plan.

Belongs here: laying these pages out as text. Does not: the facts on them (`hypertracker.datasets`, `dbt_project`, `planning`). A
test holds the pages against what this makes; `python -m orchestration.pages` (or `make docs`) writes them anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestration.affording import ASSUMED_COIN_COUNT, vendor_plans
from orchestration.affording_report import minutes_words, pace_words
from orchestration.hypertracker.datasets import DATASETS
from orchestration.hypertracker.endpoint import Dataset, Dating
from orchestration.modelling import prepare_manifest
from orchestration.planning.ladder import STAGES
from orchestration.planning.pace import interval_words
from orchestration.planning.quota import QuotaPlan
from warehouse.catalog import Table, traps_of
from warehouse.units import unit_of

DOCS_DIR = Path(__file__).parent.parent / "docs"
MADE = "<!-- Made by `make docs` from the project itself; change it there. -->"
DATED_BY = {
    Dating.PAYLOAD: "a time in the payload",
    Dating.STATE: "the provider's state, equal before and after the sweep",
    Dating.SLOT: "the slot",
    Dating.SERIES: "a time in each row",
}
DICTIONARY_INTRODUCTION = """\
Schema `marts` of `published/hypertracker.duckdb` and of the lake. All times are UTC. The names say the unit: `_usd` is money,
`_pct` percent, `_fraction` 0 to 1, `_count` a number of things, `price` USD per coin, `size` coin units, `_at` a time. The same
words are comments inside the file, where `htw describe TABLE` and BI tools read them. Questions with their SQL:
[cookbook.md](cookbook.md)."""
PLANS_INTRODUCTION = """\
What each of the vendor's plans affords of all datasets, after a tenth of it is left for retries, healing and backfill: how often
a dataset can be asked, in brackets for how many coins (largest open value first) or ages of positions; a dash is not at all. The
same for your own plan, coins and datasets, with what is left out and what becomes of it: `htw plan`."""
PLAN_TOTALS: Mapping[str, Callable[[QuotaPlan], str]] = {
    "requests on the busiest day": lambda quota: f"{quota.total.day:,}{_of(quota.allowance.day)}",
    "requests in 31 days": lambda quota: f"{quota.total.month:,}{_of(quota.allowance.month)}",
    "due together at 00:00 UTC": lambda quota: f"{quota.total.at_midnight:,}",
    "sent within": lambda quota: minutes_words(quota),
}


def _of(limit: int | None) -> str:
    return "" if limit is None else f" of {limit:,}"


def datasets_page() -> str:
    """One section a dataset: how it is asked, how far back it reaches, its traps, where it goes."""
    head = [
        "# Datasets",
        "",
        MADE,
        "",
        f"{len(DATASETS)} datasets; numbers are those of the API contract. All times are UTC.",
        "",
    ]
    return "\n".join([*head, *(line for dataset in DATASETS for line in _dataset(dataset))])


def _dataset(dataset: Dataset) -> Iterator[str]:
    yield from (f"## {dataset.name}", "", dataset.description, "")
    rows = {
        "endpoint": f"{dataset.number}: `GET {dataset.path}`, {dataset.delivery.value}",
        "asked": f"every {dataset.cadence.label.replace('_', ' ')}, one request {_scope_words(dataset)}",
        "dated by": DATED_BY[dataset.dating],
        "floor": _floor(dataset),
        "raw table": f"`raw.{dataset.name}`",
        "marts": ", ".join(f"`{mart}`" for mart in dataset.feeds) or "none of its own: it dates the others",
        "quirks": dataset.quirks or "none known",
    }
    yield from ("| | |", "|---|---|")
    yield from (f"| {name} | {value} |" for name, value in rows.items())
    yield ""


def _scope_words(dataset: Dataset) -> str:
    axes = [axis.value.replace("_", " ") for axis in dataset.scoped_by]
    return "a " + " and ".join(axes) if axes else "for the whole market"


def _floor(dataset: Dataset) -> str:
    """What of the past can still be had."""
    ways = [f"endpoint {source.number} ({_reach(source)})" for source in dataset.past]
    if ways:
        return "past slots by " + ", ".join(ways)
    if dataset.lookback:
        since = f"; history since {dataset.floor:%Y-%m-%d}" if dataset.floor else ""
        return f"each poll reaches back {_span(dataset.lookback.total_seconds())}{since}"
    return "the present only: a missed slot is lost" if dataset.is_current_state else "all of it at every poll"


def _reach(source: Dataset) -> str:
    parts = [f"the last {source.reach.days} days"] if source.reach else []
    parts += [f"from {source.floor:%Y-%m-%d}"] if source.floor else []
    parts += [f"until {source.ceiling:%Y-%m-%d}"] if source.ceiling else []
    return " ".join(parts)


def _span(seconds: float) -> str:
    hours = round(seconds / 3600)
    return f"{hours // 24} days" if hours % 24 == 0 else f"{hours} hours"


def dictionary_page() -> str:
    """Every mart: grain, origin, completeness rule, traps, one query to start with, columns with type, unit and meaning."""
    manifest = prepare_manifest()
    marts = sorted((node for node in manifest["nodes"].values() if _is_mart(node)), key=lambda node: str(node["name"]))
    index = [f"| [{node['name']}](#{node['name']}) | {_grain(node)} |" for node in marts]
    head = ["# Data dictionary", "", MADE, "", DICTIONARY_INTRODUCTION, "", "| table | one row per |", "|---|---|", *index, ""]
    return "\n".join([*head, *(line for node in marts for line in _mart(node, manifest))])


def examples() -> dict[str, str]:
    """The example query of every mart."""
    return {node["name"]: _meta(node)["example"] for node in prepare_manifest()["nodes"].values() if _is_mart(node)}


def _mart(node: Mapping[str, Any], manifest: Mapping[str, Any]) -> Iterator[str]:
    columns = [column for column in node["columns"].values() if not column["name"].startswith("_")]
    yield from (f"## {node['name']}", "", node["description"], "")
    yield f"- From: {', '.join(sorted(_sources(node, manifest)))}."
    yield f"- Complete: {_meta(node)['completeness']}"
    if "versions" in _meta(node):
        yield f"- Earlier values: `history.{_meta(node)['versions']['model'].removeprefix('int_')}`."
    if node["name"].startswith("fct_"):
        yield f"- As known at a time: `select * from {node['name']}_as_of(timestamp '2026-03-24 12:00:00')`."
    if spans := _meta(node).get("spans"):
        yield f"- What held at a time: `select * from {spans['macro']}('BTC', timestamp '2026-03-24 12:00:00')`."
    yield from (f"- Trap: {trap}" for trap in traps_of({column["name"]: column["description"] for column in columns}))
    yield from ("", "```sql", _meta(node)["example"], "```", "", "| column | type | unit | meaning |", "|---|---|---|---|")
    yield from (
        f"| {column['name']} | {column['data_type']} | {unit_of(column['name'], column['data_type'])} "
        f"| {_cell(column['description'])} |"
        for column in columns
    )
    yield ""


def _grain(node: Mapping[str, Any]) -> str:
    return Table(node["name"], node["description"], {}).grain


def _sources(node: Mapping[str, Any], manifest: Mapping[str, Any]) -> set[str]:
    """The raw tables that a model is made of, however far behind."""
    found: set[str] = set()
    for unique_id in node["depends_on"]["nodes"]:
        if source := manifest["sources"].get(unique_id):
            found |= {f"`{source['schema']}.{source['name']}`"}
        else:
            found |= _sources(manifest["nodes"][unique_id], manifest)
    return found


def _is_mart(node: Mapping[str, Any]) -> bool:
    return bool(node["resource_type"] == "model" and node["schema"] == "marts")


def _meta(node: Mapping[str, Any]) -> Mapping[str, Any]:
    meta: Mapping[str, Any] = node["config"]["meta"]
    return meta


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def plans_page() -> str:
    """What each of the vendor's plans affords, for the 20 largest coins and for all; and the order of what goes first."""
    head = ["# Plans", "", MADE, "", PLANS_INTRODUCTION, "", *_plan_order()]
    tables = [line for count in (20, ASSUMED_COIN_COUNT) for line in _plans(count)]
    return "\n".join([*head, *tables])


def _plan_order() -> Iterator[str]:
    yield from ("## What goes first", "", "A plan with more requests gets further along this list; it takes nothing away.", "")
    yield from (f"{number}. {stage.says}" for number, stage in enumerate(STAGES, start=1))
    yield ""


def _plans(coin_count: int) -> Iterator[str]:
    """One table: datasets down, plans across, totals last."""
    quotas = vendor_plans(coin_count)
    title = (
        f"The {coin_count} largest coins (`top:{coin_count}`)" if coin_count < ASSUMED_COIN_COUNT else f"All {coin_count} coins"
    )
    yield from (f"## {title}", "", f"| dataset | wanted | {' | '.join(quota.plan.name for quota in quotas)} |")
    yield "|---|---|" + "---|" * len(quotas)
    for choice in quotas[0].choices:
        cells = (pace_words(quota.choice(choice.pollable.name)) for quota in quotas)
        yield f"| {choice.pollable.name} | {interval_words(choice.pollable.step)} | {' | '.join(cells)} |"
    for name, figure in PLAN_TOTALS.items():
        yield f"| *{name}* | | {' | '.join(figure(quota) for quota in quotas)} |"
    yield ""


def write_pages() -> None:
    """Write the pages below `docs`."""
    DOCS_DIR.mkdir(exist_ok=True)
    (DOCS_DIR / "datasets.md").write_text(datasets_page() + "\n", "utf-8")
    (DOCS_DIR / "dictionary.md").write_text(dictionary_page() + "\n", "utf-8")
    (DOCS_DIR / "plans.md").write_text(plans_page() + "\n", "utf-8")


if __name__ == "__main__":
    write_pages()
