"""The lineage names what the pages read, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dashboards.pages.app import PAGES
from orchestration.modelling import prepare_manifest

QUERIES = Path(__file__).parents[2] / "dashboards" / "queries"
# Asked for every page: the time range and the completeness of a dataset.
OF_EVERY_PAGE = {"fct_cohort_metrics", "fct_coin_metrics", "fct_market_metrics", "fct_slot_coverage"}


@pytest.mark.parametrize("page", [name.lower() for name in PAGES])
def test_an_exposure_depends_on_what_its_page_asks(page: str) -> None:
    exposure = prepare_manifest()["exposures"][f"exposure.hypertracker.dashboard_{page}"]
    declared = {node.rpartition(".")[2] for node in exposure["depends_on"]["nodes"]}
    asked = set(re.findall(r"\b(?:fct|dim)_[a-z_]+", (QUERIES / f"{page}.py").read_text("utf-8")))
    assert declared == asked | OF_EVERY_PAGE
