"""`htw plan` as a process: no token, no network, no vault."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.processes import Htw

DONE = 0


def test_plan_needs_neither_token_nor_network_and_says_that_the_coins_are_assumed(tmp_path: Path) -> None:
    htw = Htw("https://hypertracker.invalid", "", tmp_path / "data")
    result = htw("plan", "--plan", "pulse", "--coins", "top:20", "--json", plan="free", coins="all")
    assert result.returncode == DONE, result.stderr
    found = json.loads(result.stdout)
    assert (found["plan"], found["is_universe_assumed"], found["next_plan"]["plan"]) == ("pulse", True, "surge")
    assert found["total"]["month"] <= found["allowance"]["month"] == 45_000
    polled = {dataset["dataset"]: dataset for dataset in found["datasets"]}
    assert sum(len(pace["units"]) for pace in polled["open_positions"]["paces"]) == 20
    assert not (tmp_path / "data").exists(), "looking writes nothing"
