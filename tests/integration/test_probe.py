"""`htw probe` against a provider that keeps its forms, and one that changed them: each change is named, nothing else is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from orchestration.clock import SteppedClock
from orchestration.hypertracker.client import ApiAccess
from orchestration.hypertracker.datasets import BY_NAME, DATASETS
from orchestration.hypertracker.endpoint import Dataset
from orchestration.hypertracker.expectations import Aspect, Difference
from orchestration.hypertracker.pseudonyms import Pseudonyms
from orchestration.planning.plans import parse_plan
from orchestration.probe import run_probe
from orchestration.probe_errand import ASKED_PER_DEX, Errand, cost_words, largest_of_each_dex
from orchestration.probe_report import Report, report_lines
from sandbox import Fault, Sandbox, SandboxSettings, Shapes, running_sandbox
from tests.integration.processes import Htw
from warehouse.ledger import Verdict

DONE, WRONG_USAGE, DIFFERENCES = 0, 2, 3
NOON = datetime(2026, 3, 26, 12, 1, tzinfo=UTC)
SIZES: dict[str, Any] = {"coins": 9, "positions": 120, "orders": 60}
FULL_ADDRESS = re.compile(r"0x[0-9a-f]{40}")

# Hundreds of rows that the sandbox computes one by one, of a form it knows one of.
SLOW = ("coin_cohort_metrics", "coin_size_bucket_metrics")
CHANGEABLE = [dataset for dataset in DATASETS if dataset.name not in SLOW]

Named = set[tuple[str, Aspect]]


@dataclass
class Probed:
    """One probe of one provider: what it said before, what it found, what it left behind, what the provider counted."""

    provider: Sandbox
    report: Report
    folder: Path
    told: list[str]
    counted: int

    @property
    def named(self) -> Named:
        return {(difference.dataset, difference.aspect) for difference in self.report.differences}

    def verdicts(self, dataset: str) -> set[Verdict]:
        return {asked.verdict for asked in self.report.asked if asked.dataset == dataset}

    def all_words(self) -> str:
        """Everything that is printed or written."""
        texts = [path.read_text("utf-8") for path in self.folder.rglob("*") if path.is_file()]
        return "\n".join([*texts, *self.told, *report_lines(self.report), json.dumps(self.report.as_json())])


def probed(provider: Sandbox, folder: Path, datasets: Sequence[Dataset] = DATASETS) -> Probed:
    access = ApiAccess(provider.api_url, SecretStr(provider.token))
    errand, told, before = Errand.of(datasets, provider.clock.now()), list[str](), len(provider.requests())
    clock = SteppedClock(provider.clock.now, provider.clock.set)
    report = run_probe(access, clock, errand, folder, lambda text, _: told.append(text))
    counted = sum(request.leg == "api" for request in provider.requests()[before:])
    return Probed(provider, report, folder, [cost_words(errand, parse_plan("free")), *told], counted)


def settings(**changes: Any) -> SandboxSettings:
    return SandboxSettings(**{**SIZES, "start": NOON, "clock": "manual", **changes})


@pytest.fixture(scope="module")
def as_documented(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probed]:
    with running_sandbox(settings()) as sandbox:
        yield probed(sandbox, tmp_path_factory.mktemp("probe") / "samples")


@pytest.fixture
def spoilt(as_documented: Probed, tmp_path: Path) -> Iterator[Callable[..., Probed]]:
    """A probe of some datasets while a fault is in force."""
    provider = as_documented.provider

    def probe(datasets: Sequence[str], *faults: Fault, **changes: Any) -> Probed:
        for fault in faults:
            provider.faults.add(fault)
        chosen = [replace(BY_NAME[name], **changes) for name in datasets]
        return probed(provider, tmp_path / "samples", chosen)

    yield probe
    provider.faults.clear()


def test_a_provider_that_keeps_its_forms_is_clean(as_documented: Probed) -> None:
    assert as_documented.report.differences == []
    assert as_documented.report.failures == []
    assert {asked.verdict for asked in as_documented.report.asked} == {Verdict.LOADED}
    assert {dataset.name for dataset in DATASETS} <= {asked.dataset for asked in as_documented.report.asked}


def test_the_cost_shown_is_what_the_provider_counts(as_documented: Probed) -> None:
    first, *later = as_documented.told
    (exact,) = [int(text.split()[0]) for text in later if "requests; by coin" in text]
    most = re.search(r"at most (\d+) requests of plan free's 100 a day", first)
    assert most is not None
    assert exact == as_documented.counted == as_documented.report.requests
    assert exact <= int(most[1])


def test_one_coin_of_each_dex_is_asked_where_that_matters_and_the_largest_elsewhere(as_documented: Probed) -> None:
    scopes: dict[str, list[str]] = {}
    for asked in as_documented.report.asked:
        scopes.setdefault(asked.dataset, []).append(asked.scope)
    dexes = {coin.rpartition(":")[0] for coin in as_documented.provider.market.coins.names}
    for name in ASKED_PER_DEX:
        assert {scope.rpartition(":")[0] for scope in scopes[name]} == dexes
        assert len(scopes[name]) == len(dexes)
    assert scopes["coin_cohort_metrics"] == ["1 BTC"]
    assert all(len(found) == 1 for name, found in scopes.items() if name not in ASKED_PER_DEX)


def test_of_many_dexes_seven_are_asked_the_main_one_first() -> None:
    coins = ["xyz:GOLD", "BTC", "xyz:TSLA", *(f"d{number}:A" for number in range(9)), "ETH"]
    assert largest_of_each_dex(coins) == ["BTC", "xyz:GOLD", *(f"d{number}:A" for number in range(5))]


def test_another_market_is_clean_too(tmp_path: Path) -> None:
    with running_sandbox(settings(seed=11)) as sandbox:
        found = probed(sandbox, tmp_path, CHANGEABLE)
    assert (found.report.differences, found.report.failures) == ([], [])


LISTED: dict[str, Any] = {
    "shapes": Shapes(bias_export="named_list", metrics_step_h=1, leaderboard="table", open_positions="json"),
    "summary_delivery": "redirect",
}
LISTED_NAMED: Named = {
    ("segments_bias_export", Aspect.LAYOUT),
    ("position_metrics_export", Aspect.STEP),
    ("perp_pnl_leaderboard", Aspect.LAYOUT),
    ("open_positions", Aspect.FILE),
    ("open_positions_history", Aspect.FILE),
    ("segment_summary", Aspect.DELIVERY),
}
MAPPED: dict[str, Any] = {
    "shapes": Shapes(
        bias_export="map", coin_positions="missing", metrics_columns="even", leaderboard="csv", leaderboard_periods="hours"
    ),
}
MAPPED_NAMED: Named = {
    ("segments_bias_export", Aspect.LAYOUT),
    ("positions_export", Aspect.REFUSAL),
    ("position_metrics_export", Aspect.RETYPED),
    ("perp_pnl_leaderboard", Aspect.FILE),
    ("perp_pnl_leaderboard", Aspect.SPELLING),
}


@pytest.mark.parametrize(
    ("changes", "named", "words"),
    [
        pytest.param(
            LISTED, LISTED_NAMED,
            ["a list under `segments`", "rows 1 h apart", "columns and data at the top", "JSON (application/json)",
             "Delivery.REDIRECT", "BTC, "],
            id="named list, hourly, table, json, redirect",
        ),
        pytest.param(
            MAPPED, MAPPED_NAMED,
            ["an object by id at the top", "HTW_DATASETS", "`coin` is text", "CSV (text/csv)", "perp-pnl/24h/download",
             "`spellings`"],
            id="map, missing, even, csv, hours",
        ),
    ],
)  # fmt: skip
def test_each_changed_form_is_named_and_what_is_unambiguous_loads(
    tmp_path: Path, changes: dict[str, Any], named: Named, words: list[str]
) -> None:
    with running_sandbox(settings(**changes)) as sandbox:
        found = probed(sandbox, tmp_path, CHANGEABLE)
    assert found.named == named
    assert found.report.failures == []
    text = "\n".join(report_lines(found.report))
    assert [word for word in words if word not in text] == []
    assert all(difference.change for difference in found.report.differences)
    assert found.counted == found.report.requests
    refused = {dataset for dataset, aspect in named if aspect is Aspect.REFUSAL}
    assert {asked.dataset for asked in found.report.asked if asked.verdict is not Verdict.LOADED} == refused


@pytest.mark.parametrize(
    ("mode", "aspect", "verdict", "words"),
    [
        pytest.param("rename", Aspect.RENAMED, Verdict.QUARANTINED, "`renamed`", id="renamed"),
        pytest.param("extra", Aspect.ADDED, Verdict.LOADED, "`surprise`", id="added"),
        pytest.param("drop", Aspect.MISSING, Verdict.QUARANTINED, "`countShort`", id="removed"),
    ],
)
def test_a_changed_column_is_named_in_a_file_and_in_an_answer(
    spoilt: Callable[..., Probed], mode: str, aspect: Aspect, verdict: Verdict, words: str
) -> None:
    faults = [
        Fault("wrong_columns", r"/positions/coins", mode=mode),
        Fault("wrong_columns", r"/positions/open/coin/", leg="storage", mode=mode),
    ]
    found = spoilt(["coins", "open_positions"], *faults)
    # The history's file is behind another path, and as it should be.
    assert found.named == {("coins", aspect), ("open_positions", aspect)}
    assert found.verdicts("coins") == found.verdicts("open_positions") == {verdict}
    assert words in "\n".join(report_lines(found.report))


def test_a_smaller_page_than_asked_for_is_named(spoilt: Callable[..., Probed]) -> None:
    more = Fault("merge", "/metrics/perp-volume", members={"nextCursor": "abc.def"})
    found = spoilt(["perp_volume"], more)
    assert found.named == {("perp_volume", Aspect.PAGE)}
    assert found.counted == 1


def test_a_refused_dataset_is_named_with_the_setting_to_change(spoilt: Callable[..., Probed]) -> None:
    found = spoilt(["heatmap", "segments"], Fault("status", "/positions/heatmap", status=403))
    (difference,) = found.report.differences
    assert (difference.dataset, difference.aspect) == ("heatmap", Aspect.REFUSAL)
    assert "HTW_DATASETS" in difference.change
    assert found.verdicts("segments") == {Verdict.LOADED}


def test_a_spent_quota_ends_the_probe_as_a_failure(spoilt: Callable[..., Probed]) -> None:
    spent = {"limit": 100, "current": 100, "plan": "FREE"}
    found = spoilt(["segments", "heatmap", "perp_volume"], Fault("status", "heatmap", status=429, body=spent))
    assert found.counted == 2
    assert found.report.differences == []
    (failure,) = found.report.failures
    assert "quota" in failure


def test_without_a_list_of_coins_what_is_asked_by_coin_is_a_failure(spoilt: Callable[..., Probed]) -> None:
    found = spoilt(["segments", "coin_metrics"], Fault("status", "/positions/coins", status=404))
    assert found.named == {("coins", Aspect.REFUSAL)}
    assert found.verdicts("segments") == {Verdict.LOADED}
    (failure,) = found.report.failures
    assert "nothing is asked by coin" in failure


def test_nothing_that_identifies_or_opens_leaves_the_probe(as_documented: Probed) -> None:
    words, market = as_documented.all_words(), as_documented.provider.market
    addresses = set(market.wallets.addresses(np.arange(market.wallets.count)))
    shown = set(FULL_ADDRESS.findall(words))
    assert len(shown) > 10
    assert not shown & addresses
    assert not [address for address in addresses if address[2:] in words]
    assert as_documented.provider.token not in words
    assert "sig=" not in words
    assert as_documented.provider.storage_url not in words


def test_samples_are_few_records_of_every_form_with_a_line_of_where_from(as_documented: Probed) -> None:
    folder, names = as_documented.folder, {asked.dataset for asked in as_documented.report.asked}
    files = {path.stem: path for path in folder.iterdir() if path.suffix != ".md"}
    assert files.keys() == names
    assert files["open_positions"].suffix == ".csv"
    assert len(files["open_positions"].read_text("utf-8").splitlines()) == 4
    assert len(json.loads(files["coins"].read_text("utf-8"))) == 3
    metrics = json.loads(files["position_metrics_export"].read_text("utf-8"))["metrics"]
    assert (len(metrics["columns"]), len(metrics["data"])) == (6, 3)
    lines = (folder / "README.md").read_text("utf-8").splitlines()
    assert len(lines) == len(names)
    assert "GET /positions/open/coin/BTC for `BTC`, 2026-03-26 12:01" in next(
        line for line in lines if "`open_positions.csv`" in line
    )


def test_an_address_has_one_stand_in_however_it_is_written_and_another_run_another() -> None:
    one, other = Pseudonyms(), Pseudonyms()
    address = "0x00032b6993ba1276c206012d8af19dfba91d1406"
    hidden = one.hide(f"{address} {address.upper().replace('0X', '0x')} {address[2:]}").split()
    assert hidden[0] == hidden[1] == f"0x{hidden[2]}"
    assert hidden[0] != address
    assert other.hide(address) != hidden[0]
    sample = json.loads(
        one.sample_json(json.dumps({"oid": 2214865100, "value": 0.95961047772652412, "at": "2026-03-24T09:54:30.589Z"}))
    )
    assert sample["oid"] != 2214865100
    assert (len(str(sample["oid"])), sample["value"], sample["at"]) == (10, 0.9596104777265241, "2026-03-24T09:54:30.589Z")


def test_the_command_asks_only_when_told_to_and_exits_by_what_it_found(tmp_path: Path) -> None:
    with running_sandbox(SandboxSettings(**SIZES, seed=3, summary_delivery="redirect")) as sandbox:
        htw = Htw(sandbox.api_url, sandbox.token, tmp_path / "data")
        unasked = htw("probe", "segment_summary", "segments")
        assert sandbox.requests() == []
        with ThreadPoolExecutor(2) as pool:
            clean = pool.submit(htw, "probe", "segments", "--yes", "--samples", str(tmp_path / "kept"))
            changed = pool.submit(htw, "probe", "segment_summary", "segments", "--yes", "--json").result()
    assert unasked.returncode == WRONG_USAGE
    assert "this asks at most 2 requests" in unasked.stderr
    assert "add --yes" in unasked.stderr
    assert clean.result().returncode == DONE, clean.result().stderr
    assert "1 request spent, 1 ask made, 0 differences, 0 failures" in clean.result().stdout
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {"segments.json", "README.md"}
    assert changed.returncode == DIFFERENCES, changed.stderr
    report = json.loads(changed.stdout)
    (difference,) = [Difference(**found) for found in report["differences"]]
    assert (difference.dataset, difference.expected, difference.came) == ("segment_summary", "inline", "redirect")
    assert report["requests"] == 2
    assert Path(report["samples"]).parent == tmp_path / "data" / "probe"
    assert sandbox.token not in changed.stdout + changed.stderr + clean.result().stdout
