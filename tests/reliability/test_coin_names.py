"""A coin may be called anything: its name survives the settings, the URL, the vault, the tables and the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from orchestration.cli import app
from orchestration.clock import SteppedClock
from orchestration.collecting import listed_coins
from orchestration.hypertracker.datasets import BY_NAME, DATASETS
from orchestration.modelling import raise_for_failures
from orchestration.pipeline import Outcome, Pipeline
from orchestration.settings import Settings, load_settings
from sandbox import SandboxSettings, running_sandbox
from sandbox.api.router import PREFIX, find
from warehouse.connection import connect
from warehouse.fetches import FetchRecord, new_fetch_id
from warehouse.vault import Vault

NOON = datetime(2026, 3, 26, 12, tzinfo=UTC)
EVERY_POLL = ("coins", "heatmap", "open_positions", "order_snapshots", "position_metrics_export", "coin_metrics")
MEANS = {
    "coin-quotes": ("O'Neil", '"quoted"', 'in"side', "`tick`", "';drop table raw.coins;--", "\\"),
    "coin-slashes": ("a/b", "/", "//x", "a\\b", "../../etc/passwd"),
    "coin-dots": (".", "..", "...", ".hidden", "a.b.", "x.json"),
    "coin-percent": ("100%", "%2F", "%", "%00", "a%20b", "%25"),
    "coin-spaces": (" lead", "trail ", "two  blanks", "a b", "tab\there", "line\nbreak", "1 BTC"),
    "coin-emoji": ("\U0001f680", "\u00e9t\u00e9", "e\u0301te\u0301", "\u4e2d\u6587", "\u202eright", "\U0001f468\u200d\U0001f469"),
    "coin-long": ("x" * 500, "\U0001f680" * 125),
    "coin-case-twins": ("PEPE", "pepe", "kPEPE", "KPEPE", "btc"),
    "": ("a,b", "#?&=+;:@", "{coin}", "{0}", "null", "all", "top:3", "-", "--help", "=1+1", "nan", "_scope", ":", "x:"),
}
NAMES = tuple(name for names in MEANS.values() for name in names)


def as_setting(names: tuple[str, ...]) -> str:
    """The names as `HTW_COINS` takes them, each in quotes."""
    return ",".join('"' + name.replace('"', '""') + '"' for name in names)


class Market:
    """A sandbox whose coins have such names, polled once and built."""

    def __init__(self, sandbox: Any, settings: Settings) -> None:
        self.sandbox, self.settings = sandbox, settings
        self.pipeline = Pipeline(settings, SteppedClock(sandbox.clock.now, sandbox.clock.set))
        self.outcomes: list[Outcome] = []

    def poll_and_build(self) -> None:
        self.sandbox.clock.set(NOON + timedelta(seconds=50))
        self.outcomes = self.pipeline.poll([BY_NAME[name] for name in EVERY_POLL], NOON)
        raise_for_failures(self.pipeline.build())
        self.pipeline.publish()

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with connect(self.settings.published_file.resolve(), read_only=True) as connection:
            return connection.execute(sql, [*values]).fetchall()


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    count = len(NAMES) + 2
    made = SandboxSettings(
        start=NOON, clock="manual", coins=count, coin_names=NAMES, positions=6 * count, orders=5 * count, foreign_share=0.0
    )
    with running_sandbox(made) as sandbox:
        settings = load_settings(
            api_url=sandbox.api_url, api_token=sandbox.token, coins=as_setting(NAMES), datasets=",".join(EVERY_POLL),
            data_dir=tmp_path_factory.mktemp("names"), plan="1000000/day",
        )  # fmt: skip
        polled = Market(sandbox, settings)
        polled.poll_and_build()
        yield polled


def positions_of(market: Market, coin: str) -> list[str]:
    truth = market.sandbox.market.positions_at(NOON + timedelta(seconds=50), coin)
    return sorted(truth["id"])


@pytest.mark.long
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(names, id=fault or "others", marks=pytest.mark.proves(fault, sees=sees) if fault else ())
        for (fault, names), sees in zip(
            MEANS.items(),
            [
                "the coin's facts under its name; in a list of coins the name stands in double quotes, its own doubled",
                "the coin's facts under its name; no file or path is made of it",
                "the coin's facts under its name, also of a coin called `..`",
                "the coin's facts under its name; a % is asked for as %25",
                "the coin's facts under its name; in a list of coins a name with blanks at an end stands in double quotes",
                "the coin's facts under its name, as sent",
                "the coin's facts under its name, whole",
                "each coin's facts under its own name, exactly as spelt",
                "",
            ],
            strict=True,
        )
    ],
)
def test_a_name_survives_from_the_settings_to_the_facts(market: Market, names: tuple[str, ...]) -> None:
    for name in names:
        asked = {
            outcome.record.dataset: outcome.judgement.verdict.value for outcome in market.outcomes if outcome.record.scope == name
        }
        assert asked == {dataset: "loaded" for dataset in EVERY_POLL if BY_NAME[dataset].is_per_coin}, name
        found = market.rows("select position_id from marts.fct_open_positions where coin = ? order by 1", name)
        assert [key for (key,) in found] == positions_of(market, name), name
        for table in ("fct_coin_metrics", "fct_cohort_metrics", "fct_order_versions", "dim_coin"):
            assert market.rows(f"select count(*) > 0 from marts.{table} where coin = ?", name) == [(True,)], (table, name)


@pytest.mark.long
def test_no_coin_has_the_rows_of_another(market: Market) -> None:
    total = sum(len(positions_of(market, name)) for name in NAMES)
    assert market.rows("select count(*) from marts.fct_open_positions") == [(total,)]
    assert {coin for (coin,) in market.rows("select distinct coin from marts.dim_coin")} >= set(NAMES)


@pytest.mark.long
def test_no_file_is_named_after_a_coin(market: Market) -> None:
    files = [path.relative_to(market.settings.data_dir).as_posix() for path in market.settings.vault_dir.rglob("*")]
    stems = {Path(file).name.partition(".")[0] for file in files}
    assert not stems & set(NAMES)
    assert all(part.isascii() and len(part) < 120 for file in files for part in file.split("/"))


@pytest.mark.long
def test_a_name_is_asked_for_as_one_segment_and_heard_as_it_is(market: Market) -> None:
    asked = [request for request in market.sandbox.requests() if request.leg == "api" and "/positions/open/coin/" in request.path]
    paths = {request.path.partition("?")[0] for request in asked}
    assert sorted(find(path)[1]["coin"] for path in paths) == sorted(NAMES)


@pytest.mark.long
def test_the_names_can_be_given_on_the_command_line(market: Market, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HTW_DATA_DIR", str(market.settings.data_dir))
    done = CliRunner().invoke(app, ["plan", "--coins", as_setting(NAMES)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert f"{len(NAMES)} coins" in done.output


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(lambda name: name.strip())


@given(st.lists(names, min_size=1, max_size=4))
@example(['a"b', ",", '"', ' " ,'])
def test_any_list_of_names_can_be_a_setting(given_names: list[str]) -> None:
    settings = load_settings(api_url="http://127.0.0.1:1", api_token="x", coins=as_setting(tuple(given_names)))
    assert settings.wanted_coins([]) == given_names


@given(names, st.sampled_from([dataset for dataset in DATASETS if dataset.is_per_coin]))
@example("..", BY_NAME["coin_metrics"])
@example("3 BTC", BY_NAME["coin_cohort_metrics"])
def test_any_name_survives_scope_path_and_record(name: str, dataset: Any) -> None:
    import httpx

    (scope, *_) = dataset.scopes([name])
    assert dataset.parts(scope)["coin"] == name
    (path,) = dataset.url_paths(scope, NOON)
    url = httpx.URL(f"http://127.0.0.1{PREFIX}{path}", params=dataset.params(scope, NOON))
    raw = url.raw_path.decode("ascii").partition("?")[0]
    assert find(raw)[1].get("coin", url.params.get("coin")) == name
    record = FetchRecord(new_fetch_id(), dataset.name, scope, NOON, NOON, NOON, "received")
    assert FetchRecord.from_json(record.to_json()) == record


@pytest.mark.parametrize(
    "newest",
    [
        b"",
        b"null",
        b"[1]",
        b'[{"coin": null, "totalValue": 1}]',
        b'[{"coin": "\\ud800", "totalValue": 1}]',
        b"[" * 100_000,
        b"\x1f\x8bno",
    ],
    ids=["nothing", "null", "numbers", "no name", "half a character", "too deep", "damaged"],
)
def test_a_list_of_coins_that_cannot_be_read_leaves_the_one_before_in_force(tmp_path: Path, newest: bytes) -> None:
    vault = Vault(tmp_path)
    vault.create()
    good = json.dumps([{"coin": "ETH", "totalValue": 1}, {"coin": "BTC", "totalValue": "2"}]).encode()
    for slot, body in ((NOON, good), (NOON + timedelta(minutes=15), newest)):
        with vault.new_body("coins", slot, ".json") as writer:
            writer.write(body)
            part = writer.finish()
        vault.keep(FetchRecord(new_fetch_id(), "coins", "", slot, slot, slot, "received", (part,)))
    assert listed_coins(vault) == ["BTC", "ETH"]
