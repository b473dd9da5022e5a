"""The sandbox keeps the API's contract over real sockets: samples, legs, pages, quirks, faults, truth."""

from __future__ import annotations

import csv
import gzip
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import lz4.frame
import pytest

from sandbox import Fault, Sandbox, SandboxSettings, running_sandbox

START = datetime(2026, 3, 26, 12, tzinfo=UTC)
PREFIX = "/api/external"


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    settings = SandboxSettings(start=START, clock="manual")
    with running_sandbox(settings) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared: Sandbox) -> Sandbox:
    shared.faults.clear()
    shared.clock.set(START)
    return shared


@cache
def client() -> httpx.Client:
    """One client for all tests: making one costs more than most requests."""
    return httpx.Client(timeout=20)


def get(sandbox: Sandbox, path: str, **params: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {sandbox.token}"}
    return client().get(sandbox.api_url + PREFIX + path, params=params or None, headers=headers)


def link_of(answer: httpx.Response) -> str:
    return answer.headers["Location"] if answer.status_code == 302 else answer.json()["downloadUrl"]


def fetch(sandbox: Sandbox, path: str, **params: Any) -> bytes:
    answer = get(sandbox, path, **params)
    if answer.status_code == 302 or b"downloadUrl" in answer.content[:20]:
        answer = client().get(link_of(answer))
    assert answer.status_code == 200, answer.text
    return answer.content


def shape(value: Any, depth: int = 9) -> Any:
    """Give names, order and JSON types; of lists the first element; int and float are both numbers."""
    if isinstance(value, dict):
        return {name: shape(part, depth - 1) for name, part in value.items()}
    if isinstance(value, list):
        return [shape(value[0], depth - 1)] if value else []
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return type(value).__name__
    return "number"


def ordered(value: Any) -> str:
    return json.dumps(shape(value))


SAMPLED = {
    "exports_position_breakdown_by_size_BTC.json": "/exports/coins/BTC/position-breakdown-by-size",
    "exports_position_metrics_BTC.json": "/exports/coins/BTC/position-metrics",
    "exports_total_wallets_equity_chart_data.json": "/exports/total-wallets-equity-chart-data",
    "metrics_perp_volume.json": "/metrics/perp-volume?start=2026-03-01&limit=20",
    "orders_5m_snapshots_latest.json": "/orders/5m-snapshots/latest?orderType=Limit",
    "orders_5m_snapshots_latest_snapshot_timestamp.json": "/orders/5m-snapshots/latest-snapshot-timestamp",
    "position_metrics_coin_BTC.json": "/position-metrics/coin/BTC?start=2026-03-26&limit=5",
    "position_metrics_general.json": "/position-metrics/general?start=2026-03-26&limit=5",
    "positions.json": "/positions?start=2026-03-20&open=true&limit=5",
    "positions_coins.json": "/positions/coins",
    "segment_assets_liquidation_risk.json": "/7/assets/liquidation-risk",
}


@pytest.mark.parametrize("sample", SAMPLED, ids=str)
def test_payloads_have_the_samples_names_order_and_types(sandbox: Sandbox, samples: Path, sample: str) -> None:
    documented = json.loads((samples / sample).read_text())
    assert ordered(json.loads(fetch(sandbox, SAMPLED[sample]))) == ordered(documented)


def test_bias_history_has_the_samples_fields_and_newest_first_pages(sandbox: Sandbox, samples: Path) -> None:
    documented = json.loads((samples / "segments_bias_history_9.json").read_text())
    answer = get(sandbox, "/segments/9/bias-history", start="2026-03-25", limit=3).json()
    assert set(answer) == set(documented)
    assert answer["segment"] == documented["segment"]
    assert answer["historySnapshotStructure"] == documented["historySnapshotStructure"]
    assert answer["pageStart"] > answer["pageEnd"]
    for _, bias, ratio, value, long, short, equity in answer["history"]:
        assert value == pytest.approx(long + short, abs=0.02)
        assert bias == pytest.approx((long - short) / equity, abs=0.006)
        assert ratio == pytest.approx(value / equity, abs=0.006)


def test_the_csv_has_the_samples_header_and_foreign_rows(sandbox: Sandbox, samples: Path) -> None:
    header = (samples / "positions_open_coin_BTC.csv").read_text().splitlines()[0]
    text = fetch(sandbox, "/positions/open/coin/BTC").decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert text.splitlines()[0] == header
    foreign = [row for row in rows if row["coin"] != "BTC"]
    assert 0 < len(foreign) < 0.05 * len(rows)
    own = {row["id"]: row for row in rows if row["coin"] == "BTC"}
    assert {len(position) for position in own} > {64, 63}
    truth = sandbox.market.positions_at(START, "BTC")
    assert set(own) == set(truth["id"])
    for record in truth.to_dict("records"):
        assert float(own[record["id"]]["value"]) == record["value"]
        assert own[record["id"]]["openTime"] == record["openTime"]


def test_coins_are_the_sum_of_the_open_positions(sandbox: Sandbox) -> None:
    truth = sandbox.market.truth_coins(START)
    rows = get(sandbox, "/positions/coins").json()
    assert {row["coin"] for row in rows} == set(truth.index)
    values = [row["totalValue"] for row in rows]
    assert values != sorted(values, reverse=True)
    for row in rows:
        expected = truth.loc[row["coin"]]
        assert row["totalValueLong"] == row["totalValueShort"]
        assert (row["count"], row["countLong"]) == (expected["count"], expected["count_long"])
        assert row["totalValue"] == pytest.approx(expected["value"], rel=1e-12)


def test_heads_of_the_exports_equal_the_coins_row_of_the_state(sandbox: Sandbox) -> None:
    state = get(sandbox, "/hypertracker/state/status").json()["lastUpdate"]
    coin = next(row for row in get(sandbox, "/positions/coins").json() if row["coin"] == "ETH")
    metrics = json.loads(fetch(sandbox, "/exports/coins/ETH/position-metrics"))["metrics"]
    assert len(metrics["columns"]) == len(metrics["data"][0]) + 1
    assert metrics["data"][0] == [
        state,
        coin["count"],
        coin["countLong"],
        coin["totalValue"],
        coin["totalValueLong"],
    ]
    stamps = [row[0] for row in metrics["data"]]
    assert stamps == sorted(stamps, reverse=True)
    assert all(stamp.endswith(":00:00.000Z") and int(stamp[11:13]) % 2 == 0 for stamp in stamps[1:-1])
    assert stamps[-1] == f"{datetime.fromisoformat(state) - timedelta(days=14):%Y-%m-%dT%H}:00:00.000Z"
    size = json.loads(fetch(sandbox, "/exports/coins/ETH/position-breakdown-by-size"))
    assert size["createdAt"] == state
    assert sum(row["totalPositionValue"] for row in size["breakdownBySize"]) == pytest.approx(coin["totalValue"])


def test_cohort_payloads_agree_with_the_truth(sandbox: Sandbox) -> None:
    truth = sandbox.market.truth_cohorts(START, "BTC")
    heat = {row["coin"]: row for row in get(sandbox, "/positions/heatmap").json()["heatmap"]}["BTC"]
    breakdown = json.loads(fetch(sandbox, "/exports/coins/BTC/position-breakdown-by-cohort"))
    series = json.loads(fetch(sandbox, "/exports/coins/BTC/segment-metrics"))
    assert {part["segmentId"] for part in heat["segments"]} == set(truth.index)
    assert len(breakdown["breakdownByCohort"]) == len(series["data"]) == 16
    for part in heat["segments"]:
        expected = truth.loc[part["segmentId"]]
        assert part["totalLongValue"] == pytest.approx(expected["value_long"])
        assert part["count"] == expected["count"]
    for row in breakdown["breakdownByCohort"]:
        if row["positionCount"]:
            assert row["valueCloseToLiquidation"] == pytest.approx(truth.loc[row["segment"]["id"], "near_value"])
    assert all(len(group["metrics"]["columns"]) == len(group["metrics"]["data"][0]) for group in series["data"])


def test_buckets_and_liquidation_bins_agree_with_the_truth(sandbox: Sandbox) -> None:
    buckets = sandbox.market.truth_buckets(START, "BTC")
    rows = json.loads(fetch(sandbox, "/exports/coins/BTC/position-breakdown-by-size"))["breakdownBySize"]
    assert [row["positionCount"] for row in rows] == buckets["count"].tolist()
    bins = sandbox.market.truth_liquidation_bins(START, "BTC")
    heatmap = json.loads(fetch(sandbox, "/exports/coins/BTC/liquidation-heatmap"))["heatmap"]
    assert [row["priceBinIndex"] for row in heatmap] == bins.index.tolist()
    assert [row["positionsCount"] for row in heatmap] == bins["count"].tolist()
    assert sum(row["liquidationValue"] for row in heatmap) == pytest.approx(bins["value"].sum())


def test_market_rows_hold_the_state_in_force_at_their_mark(sandbox: Sandbox) -> None:
    row = get(sandbox, "/position-metrics/general", start="2026-03-26", limit=3).json()["metrics"][1]
    mark = datetime.fromisoformat(row["createdAt"]).replace(second=0, microsecond=0)
    truth = sandbox.market.truth_market(mark)
    assert mark.minute % 10 == 0
    assert row["count"] == row["countLong"] + row["countShort"] == truth["count"]
    assert row["openInterest"] == pytest.approx(truth["value"])
    assert row["perpEquity"] == pytest.approx(truth["perp_equity"])
    assert row["countInProfit"] == truth["in_profit_count"]


def test_a_coins_file_of_orders_is_gzip_without_content_encoding(sandbox: Sandbox) -> None:
    answer = client().get(link_of(get(sandbox, "/orders/5m-snapshots/coins/kPEPE/download")))
    assert answer.headers["content-type"] == "application/gzip"
    assert "content-encoding" not in answer.headers
    rows = json.loads(gzip.decompress(answer.content))
    truth = sandbox.market.orders_at(START, "kPEPE")
    assert [row["oid"] for row in rows] == truth["oid"].tolist()
    assert [row["sz"] for row in rows] == truth["sz"].tolist()
    assert len(rows[0]) == 23
    assert {row["snapshotTs"] for row in rows} == {"2026-03-26T11:55:00.000Z"}


def test_the_archive_is_lz4_and_ends_in_march(sandbox: Sandbox) -> None:
    path = "/orders/5m-snapshots/2026-03-12T10%3A00%3A00.000Z/download"
    rows = json.loads(lz4.frame.decompress(fetch(sandbox, path)))
    assert len(rows) == 1_500
    assert rows[0]["snapshotTime"] == 1773309600000
    assert get(sandbox, "/orders/5m-snapshots/2026-03-13T00%3A00%3A00.000Z/download").status_code == 404


def page_through(sandbox: Sandbox, path: str, key: str, **params: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while True:
        body = get(sandbox, path, **params).json()
        rows += body[key]
        if not body["nextCursor"]:
            return rows
        params["nextCursor"] = body["nextCursor"]


def test_pages_of_orders_give_every_order_once(sandbox: Sandbox) -> None:
    path = "/orders/5m-snapshots/2026-03-26T11:00:00.000Z"
    rows = page_through(sandbox, path, "orders", limit=400)
    assert len({row["oid"] for row in rows}) == len(rows) == 1_500
    assert len(get(sandbox, path).json()["orders"]) == 100
    some = rows[7]
    assert {row["oid"] for row in page_through(sandbox, path, "orders", address=some["address"])} == {
        row["oid"] for row in rows if row["address"] == some["address"]
    }
    assert get(sandbox, path, oid=some["oid"]).json()["orders"] == [some]


def test_pages_of_positions_give_every_open_position_once(sandbox: Sandbox) -> None:
    rows = page_through(sandbox, "/positions", "positions", start="2025-04-04", open="true", coin="BTC", limit=300)
    truth = sandbox.market.positions_at(START, "BTC")
    traders = truth[truth["openTime"] >= "2025-04-04"]
    assert {row["address"]: row["positionValue"] for row in rows} == dict(zip(traders["address"], traders["value"], strict=True))
    assert [row["openTime"] for row in rows] == sorted(row["openTime"] for row in rows)
    assert all(row["closeTime"] is None for row in rows)
    closed = get(sandbox, "/positions", start="2026-03-20", open="True").json()["positions"]
    assert closed
    assert all(row["closeTime"] > row["openTime"] for row in closed)


def test_every_page_of_a_window_of_positions_comes_once(sandbox: Sandbox) -> None:
    rows = page_through(sandbox, "/positions", "positions", start="2026-03-25", limit=7)
    assert len({row["id"] for row in rows}) == len(rows) > 7
    assert {row["id"] for row in rows} == {
        row["id"] for row in get(sandbox, "/positions", start="2026-03-25").json()["positions"]
    }


def test_a_parameter_named_cursor_gives_page_one_for_ever(sandbox: Sandbox) -> None:
    first = get(sandbox, "/metrics/perp-volume", start="2026-03-20", limit=5).json()
    again = get(sandbox, "/metrics/perp-volume", start="2026-03-20", limit=5, cursor=first["nextCursor"]).json()
    assert again == first
    forged = first["nextCursor"][:-2] + "xx"
    assert get(sandbox, "/metrics/perp-volume", start="2026-03-20", nextCursor=forged).status_code == 400


def test_history_of_open_positions_is_one_snapshot_a_page(sandbox: Sandbox) -> None:
    rows, cursor = [], None
    for _ in range(3):
        params = {"start": "2026-03-26T11:00:00Z", **({"nextCursor": cursor} if cursor else {})}
        body = get(sandbox, "/coin/hyna%3ABTC/open-positions/history", **params).json()
        rows.append(body["snapshot"])
        cursor = body["nextCursor"]
    times = [row["createdAt"] for row in rows]
    assert times == sorted(times, reverse=True)
    assert rows[0]["stateVersion"] - rows[2]["stateVersion"] == 2
    lines = client().get(rows[1]["downloadUrl"]).text.splitlines()
    assert len(lines) - 1 == rows[1]["rowCount"]


REFUSALS = {
    "unknown coin": ("/positions/open/coin/NOPE", 404),
    "wrong case of a file's coin": ("/exports/coins/btc/position-metrics", 404),
    "unknown export": ("/exports/coins/BTC/nothing", 404),
    "missing start": ("/position-metrics/general", 400),
    "epoch milliseconds": ("/position-metrics/general?start=1771977600000", 400),
    "limit above the highest": ("/metrics/perp-volume?start=2026-03-20&limit=1001", 400),
    "limit without start": ("/segments/9/bias-history?limit=5", 400),
    "cohort 17": ("/17/assets/liquidation-risk", 400),
    "other spelling of a period": ("/leaderboards/perp-pnl/24h/download", 400),
    "time off the five minutes": ("/orders/5m-snapshots/2026-03-26T11:01:00Z", 400),
    "time in the future": ("/orders/5m-snapshots/2026-03-27T11:00:00Z", 400),
    "unknown position age": ("/segments/3/summary?positionAge=1h", 404),
    "unknown path": ("/nowhere", 404),
}


@pytest.mark.parametrize("case", REFUSALS, ids=str)
def test_refusals(sandbox: Sandbox, case: str) -> None:
    path, status = REFUSALS[case]
    assert get(sandbox, path).status_code == status


def test_empty_answers_are_not_errors(sandbox: Sandbox) -> None:
    assert get(sandbox, "/orders/5m-snapshots/2026-02-01T00:00:00Z").json()["orders"] == []
    assert get(sandbox, "/position-metrics/coin/btc", start="2026-03-25").json()["metrics"] == []
    assert get(sandbox, "/position-metrics/coin/BTC/segment/7", start="2026-01-01", end="2026-02-18").json()["metrics"] == []


def test_the_token_belongs_to_the_api_leg_alone(sandbox: Sandbox) -> None:
    assert client().get(f"{sandbox.api_url}{PREFIX}/segments").status_code == 401
    answer = get(sandbox, "/positions/open/coin/BTC")
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(sandbox.storage_url)
    refused = client().get(link_of(answer), headers={"Authorization": f"Bearer {sandbox.token}"})
    assert refused.status_code == 400
    assert "Only one auth mechanism allowed" in refused.text
    assert client().get(link_of(answer).replace("sig=", "sig=0")).status_code == 403
    assert client().get(link_of(answer)).status_code == 200
    last = sandbox.requests()[-1]
    assert (last.leg, last.status, last.has_auth) == ("storage", 200, False)


def test_links_expire(sandbox: Sandbox) -> None:
    url = link_of(get(sandbox, "/positions/open/coin/BTC"))
    sandbox.clock.advance(31)
    expired = client().get(url)
    assert expired.status_code == 403
    assert "<Error>" in expired.text


def test_time_is_sandbox_time(sandbox: Sandbox) -> None:
    assert get(sandbox, "/segments").headers.get_list("date") == ["Thu, 26 Mar 2026 12:00:00 GMT"]
    before = get(sandbox, "/hypertracker/state/status").json()["lastUpdate"]
    sandbox.clock.advance(18 * 60)
    assert get(sandbox, "/hypertracker/state/status").json()["lastUpdate"] > before


def test_control_over_http(sandbox: Sandbox) -> None:
    control = f"{sandbox.api_url}/_sandbox"
    moved = client().put(f"{control}/clock", json={"now": "2026-03-27T00:00:00Z"}).json()
    assert moved["now"] == "2026-03-27T00:00:00.000Z"
    assert sandbox.clock.now() == datetime(2026, 3, 27, tzinfo=UTC)
    client().post(f"{control}/faults", json={"kind": "status", "path": "/segments$", "status": 503})
    assert get(sandbox, "/segments").status_code == 503
    assert client().delete(f"{control}/faults").json() == []
    assert get(sandbox, "/segments").status_code == 200
    assert client().get(f"{control}/requests").json()[-1]["path"] == f"{PREFIX}/segments"
    assert client().post(f"{control}/faults", json={"kind": "gremlin"}).status_code == 400


def test_a_fault_strikes_as_often_as_it_was_told(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("status", "/positions/coins", after=1, count=2, status=500))
    assert [get(sandbox, "/positions/coins").status_code for _ in range(4)] == [200, 500, 500, 200]


def test_faults_of_transport(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("reset", "/segments$", count=1))
    with pytest.raises(httpx.ReadError):
        get(sandbox, "/segments")
    sandbox.faults.add(Fault("cut", "/segments$", count=1))
    with pytest.raises(httpx.RemoteProtocolError):
        get(sandbox, "/segments")
    sandbox.faults.add(Fault("empty", "/segments$", count=1))
    assert get(sandbox, "/segments").content == b""
    sandbox.faults.add(Fault("html", "/segments$", count=1))
    assert get(sandbox, "/segments").text.startswith("<!doctype html>")
    sandbox.faults.add(Fault("slow", "/segments$", count=1, delay_s=0.05))
    sandbox.faults.add(Fault("drip", "/segments$", count=1, bytes=1000, pause_s=0.01))
    assert len(get(sandbox, "/segments").json()) == 16


def test_faults_of_storage(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("expired", "/positions/open/coin/xyz:GOLD", leg="storage", count=1))
    url = link_of(get(sandbox, "/positions/open/coin/xyz%3AGOLD"))
    assert [client().get(url).status_code for _ in range(2)] == [403, 200]


def test_faults_of_content(sandbox: Sandbox) -> None:
    path = "/positions/open/coin/SOL"
    sandbox.faults.add(Fault("foreign", path, count=1, share=0.5))
    assert fetch(sandbox, path).count(b",kPEPE,") > 50
    sandbox.faults.add(Fault("wrong_columns", path, leg="storage", count=1, mode="rename"))
    assert fetch(sandbox, path).splitlines()[0].endswith(b",renamed")
    export = "/exports/coins/SOL/position-metrics"
    sandbox.faults.add(Fault("wrong_columns", export, leg="storage", count=1, mode="extra"))
    assert json.loads(fetch(sandbox, export))["metrics"]["columns"][-1] == "surprise"


def test_faults_of_state(sandbox: Sandbox) -> None:
    status = "/hypertracker/state/status"
    first = get(sandbox, status).json()["lastUpdate"]
    sandbox.faults.add(Fault("rollover", "/positions/coins", count=1))
    get(sandbox, "/positions/coins")
    second = get(sandbox, status).json()["lastUpdate"]
    assert second > first
    sandbox.faults.add(Fault("frozen", "/"))
    get(sandbox, status)
    sandbox.clock.advance(3_600)
    assert get(sandbox, status).json()["lastUpdate"] == second


def test_plans_refuse_what_is_above_them() -> None:
    settings = SandboxSettings(start=START, clock="manual", plan="free", per_day=2, coins=1, positions=20, orders=5)
    with running_sandbox(settings) as sandbox:
        answers = [get(sandbox, "/segments") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[2].json()["plan"] == "FREE"
        assert sandbox.usage()["day"] == 2


def test_the_per_minute_refusal_has_the_samples_fields(samples: Path) -> None:
    settings = SandboxSettings(start=START, clock="manual", per_minute=0, coins=1, positions=20, orders=5)
    with running_sandbox(settings) as sandbox:
        refusal = get(sandbox, "/segments")
    assert ordered(refusal.json()) == ordered(json.loads((samples / "error_429.json").read_text()))
    assert int(refusal.headers["Retry-After"]) == refusal.json()["retry_after"]


def test_the_summary_comes_inline_or_by_redirect() -> None:
    settings = SandboxSettings(start=START, clock="manual", summary_delivery="redirect")
    with running_sandbox(settings) as sandbox:
        assert get(sandbox, "/segments/1/summary").status_code == 302
        body = json.loads(fetch(sandbox, "/segments/1/summary", positionAge="7d"))
    assert "countTraders" not in body["summary"]
    assert body["segment"]["name"] == "Fish"


def test_equal_settings_serve_equal_bytes(sandbox: Sandbox) -> None:
    with running_sandbox(SandboxSettings(start=START, clock="manual")) as twin:
        for path in ("/positions/heatmap", "/positions/open/coin/BTC", "/orders/5m-snapshots/coins/BTC/download"):
            assert fetch(twin, path) == fetch(sandbox, path)


def test_the_command_serves_until_it_is_told_to_stop() -> None:
    command = [sys.executable, "-m", "sandbox", "--coins", "1", "--positions", "20", "--orders", "5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = dict(process.stdout.readline().split() for _ in range(3))
        headers = {"Authorization": f"Bearer {lines['token']}"}
        assert client().get(f"{lines['api']}{PREFIX}/segments", headers=headers).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
