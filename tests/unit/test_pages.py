"""The pages of `docs` are what the project makes of itself today, and the README claims no dataset that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestration.hypertracker.datasets import DATASETS
from orchestration.modelling import described_marts, prepare_manifest
from orchestration.pages import DOCS_DIR, datasets_page, dictionary_page, examples, plans_page
from warehouse.units import NUMBERS, unit_of

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def test_the_pages_are_up_to_date() -> None:
    assert (DOCS_DIR / "datasets.md").read_text("utf-8") == datasets_page() + "\n", "run `make docs`"
    assert (DOCS_DIR / "dictionary.md").read_text("utf-8") == dictionary_page() + "\n", "run `make docs`"
    assert (DOCS_DIR / "plans.md").read_text("utf-8") == plans_page() + "\n", "run `make docs`"


def test_every_mart_has_an_example_query() -> None:
    assert all(query.lower().startswith("select") for query in examples().values())


def columns() -> list[tuple[str, str, str, str]]:
    """Table, name, type and description of every published column."""
    marts = described_marts(prepare_manifest())
    types = {node["name"]: node["columns"] for node in prepare_manifest()["nodes"].values() if node["schema"] == "marts"}
    return [
        (mart.name, name, types[mart.name][name]["data_type"].lower(), description)
        for mart in marts
        for name, description in mart.columns.items()
        if not name.startswith("_")
    ]


def test_every_number_has_a_unit_but_for_ids_and_places_in_an_order() -> None:
    without = {name for _, name, kind, _ in columns() if kind.startswith(NUMBERS) and not unit_of(name, kind)}
    assert {name for name in without if not name.endswith("_id")} == {
        "bin_index", "builder_fee", "previous_rank", "rank", "sort_order", "version",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("suffix", "words"),
    [("_usd", "USD"), ("_pct", "[Pp]ercent"), ("_fraction", "0-1|fraction"), ("_at", "UTC|The same"), ("_price", "USD per coin")],
)
def test_a_column_whose_name_ends_in_a_unit_says_it(suffix: str, words: str) -> None:
    named = [(table, name, says) for table, name, _, says in columns() if name.endswith(suffix)]
    assert len(named) > 1
    assert [(table, name) for table, name, says in named if not re.search(words, says)] == []


def test_the_readme_ticks_every_dataset_and_no_other() -> None:
    rows = re.findall(r"^\| ([a-z_]+) \|.*\| ✓ \|$", README, re.MULTILINE)
    assert rows == [dataset.name for dataset in DATASETS]


def test_the_readme_names_each_mart() -> None:
    views = {mart.name for mart in described_marts(prepare_manifest()) if mart.is_view}
    named = re.findall(rf"^\| ((?:dim|fct)_[a-z_]+|{'|'.join(views)}) \|", README, re.MULTILINE)
    assert sorted(named) == sorted(examples())
