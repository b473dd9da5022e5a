"""Faults cost their own scope and slot only, in words; everything else is published."""

from __future__ import annotations

import pytest

from tests.pipeline.conftest import Day
from warehouse.connection import connect
from warehouse.query import query


def verdicts(day: Day, dataset: str) -> dict[str, tuple[str, str]]:
    with connect(day.settings.warehouse_file, read_only=True) as connection:
        rows = connection.execute(
            "select scope, verdict, reason from ops.fetches where dataset = ? order by finished_at", [dataset]
        ).fetchall()
    return {scope: (verdict, reason) for scope, verdict, reason in rows}


def test_an_unknown_coin_costs_only_itself(faulty_day: Day) -> None:
    found = verdicts(faulty_day, "open_positions")
    assert found["NOSUCH"][0] == "absent"
    assert "NOSUCH" in found["NOSUCH"][1]
    assert found["BTC"][0] == "loaded"


def test_a_page_instead_of_data_is_quarantined_and_other_coins_go_on(faulty_day: Day) -> None:
    assert verdicts(faulty_day, "open_positions")["ETH"][0] == "quarantined"
    coins = query(faulty_day.settings.published_file, "select distinct coin from fct_open_positions")
    assert list(coins["coin"]) == ["BTC"]


@pytest.mark.parametrize("dataset", ["coins", "heatmap", "market_metrics", "state_status"])
def test_errors_that_pass_are_retried_until_data_comes(faulty_day: Day, dataset: str) -> None:
    assert verdicts(faulty_day, dataset)[""][0] == "loaded"


def test_broken_and_expired_downloads_are_asked_for_again(faulty_day: Day) -> None:
    for dataset in ("order_snapshots", "position_metrics_export", "liquidation_heatmap_export"):
        found = verdicts(faulty_day, dataset)
        assert (found["BTC"][0], found["ETH"][0]) == ("loaded", "loaded")


def test_requests_are_counted_with_their_retries(faulty_day: Day) -> None:
    served = [request for request in faulty_day.sandbox.requests() if request.leg == "api"]
    with connect(faulty_day.settings.warehouse_file, read_only=True) as connection:
        spent = connection.execute("select sum(requests_spent) from ops.fetches").fetchone()
    assert spent == (len(served),)


def test_a_refused_token_stops_the_sweep_with_the_mend(faulty_day: Day) -> None:
    from pydantic import SecretStr

    from orchestration.hypertracker.datasets import BY_NAME
    from orchestration.pipeline import Pipeline
    from orchestration.planning.slots import Cadence, slot_at

    settings = faulty_day.settings.model_copy(
        update={"api_token": SecretStr("wrong"), "data_dir": faulty_day.settings.data_dir / "refused"}
    )
    slot = slot_at(Cadence.QUARTER_HOUR, faulty_day.clock.now())
    outcomes = Pipeline(settings, faulty_day.clock).poll([BY_NAME["coins"], BY_NAME["heatmap"]], slot)
    assert {outcome.judgement.verdict.value for outcome in outcomes} == {"failed"}
    assert all("HTW_API_TOKEN" in outcome.judgement.mend for outcome in outcomes)
    assert all("wrong" not in outcome.judgement.reason for outcome in outcomes)
