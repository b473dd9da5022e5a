"""The pages of `docs` are what the project makes of itself today, and the README claims no dataset that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from orchestration.hypertracker.datasets import DATASETS
from orchestration.pages import DOCS_DIR, datasets_page, examples, plans_page, tables_page

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def test_the_pages_are_up_to_date() -> None:
    assert (DOCS_DIR / "datasets.md").read_text("utf-8") == datasets_page() + "\n", "run `make docs`"
    assert (DOCS_DIR / "tables.md").read_text("utf-8") == tables_page() + "\n", "run `make docs`"
    assert (DOCS_DIR / "plans.md").read_text("utf-8") == plans_page() + "\n", "run `make docs`"


def test_every_mart_has_an_example_query() -> None:
    assert all(query.lower().startswith("select") for query in examples().values())


def test_the_readme_ticks_every_dataset_and_no_other() -> None:
    rows = re.findall(r"^\| ([a-z_]+) \|.*\| ✓ \|$", README, re.MULTILINE)
    assert rows == [dataset.name for dataset in DATASETS]


def test_the_readme_names_each_mart() -> None:
    named = set(re.findall(r"^\| ((?:dim|fct)_[a-z_]+) \|", README, re.MULTILINE))
    assert named == set(examples())
