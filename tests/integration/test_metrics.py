"""Metrics: what Prometheus' own parsers read from them, from a ledger whose figures are known."""

from __future__ import annotations

import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from pydantic import SecretStr
from typer.testing import CliRunner

from orchestration.alerting.problems import Found, Problem
from orchestration.cli import app
from orchestration.clock import SteppedClock
from orchestration.metrics import openmetrics_text, registry_of, write_metrics
from orchestration.pipeline import Pipeline
from orchestration.planning.urgency import Urgency
from orchestration.registering import prepare
from orchestration.settings import load_settings
from tests.integration.processes import Htw
from tests.integration.test_coverage import Book
from warehouse.connection import open_writer

DAY = datetime(2026, 3, 24)
NOW = datetime(2026, 3, 24, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
TOKEN = "htk_a1b2c3d4"
FOUND = Found((Problem("late:coins", "coins is late", "", "", NOW), Problem("disk", "", "", "", NOW)), ("run",))


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """Two hours of coins: two slots arrived, the last twice; one failed, the others were never asked for."""
    settings = load_settings(
        api_url="http://127.0.0.1:1", api_token=SecretStr(TOKEN), data_dir=tmp_path / "data", plan="100/day,10/minute",
        warehouse_url=None,
    )  # fmt: skip
    made = Pipeline(settings, SteppedClock(lambda: NOW, lambda _: None))
    with open_writer(settings.warehouse_file) as connection:
        prepare(connection)
        _fill(Book(connection))
    return made


def _fill(book: Book) -> None:
    book.plan(DAY, "pulse", ("coins", 1800, [""]), ("order_snapshots", 3600, ["BTC"]))
    for begins, byte_count, took_s, old in ((0, 1000, 2, 0), (1, 500, 4, 0), (1, 500, 6, 40)):
        slot = DAY + begins * HOUR - timedelta(days=old)
        times = {"started_at": slot, "finished_at": slot + timedelta(seconds=took_s)}
        book.fetch("coins", "", slot, byte_count=byte_count, requests_spent=2, **times)
    book.fetch("coins", "", DAY + HOUR / 2, "failed", started_at=DAY + HOUR / 2)
    book.fetch("order_snapshots", "BTC", DAY, "failed")


@pytest.fixture
def registry(pipeline: Pipeline) -> CollectorRegistry:
    return registry_of(pipeline, lambda: FOUND)


def samples(families: Any) -> dict[tuple[str, ...], float]:
    """Values by name and labels' values, in the order of the labels' names."""
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_figures_are_those_of_the_ledger(registry: CollectorRegistry) -> None:
    found = samples(parse_openmetrics(openmetrics_text(registry)))
    expected = {
        ("htw_warehouse_readable",): 1,
        ("htw_freshness_seconds", "coins"): 3600,
        ("htw_slots_last_day", "coins", "loaded"): 2,
        ("htw_slots_last_day", "coins", "failed"): 1,
        ("htw_slots_last_day", "coins", "missed"): 1,
        ("htw_slots_last_day", "coins", "not_planned"): 4,
        ("htw_slots_missing_last_day", "coins"): 2,
        ("htw_slots_recoverable_last_day", "coins"): 0,
        ("htw_slots_missing_last_day", "order_snapshots"): 2,
        ("htw_slots_recoverable_last_day", "order_snapshots"): 2,
        ("htw_requests_total", "coins"): 7,
        ("htw_received_bytes_total", "coins"): 2000,
        ("htw_received_last_day_bytes", "coins"): 1500,
        ("htw_fetch_duration_seconds_count", "coins"): 4,
        ("htw_fetch_duration_seconds_sum", "coins"): 17,
        ("htw_fetch_duration_seconds", "coins", "0.5"): 4,
        ("htw_requests_left", "day"): 100,
        ("htw_quota_closed",): 0,
        ("htw_problems_open", "late"): 1,
        ("htw_problems_open", "disk"): 1,
        ("htw_problems_open", "quota"): 0,
        ("htw_metrics_timestamp_seconds",): NOW.timestamp(),
    }
    assert {key: found.get(key) for key in expected} == expected
    assert ("htw_problems_open", "run") not in found, "what was not looked at is not none"


def test_requests_are_those_of_the_budget(pipeline: Pipeline, registry: CollectorRegistry) -> None:
    for urgency in (Urgency.PERISHABLE, Urgency.PERISHABLE, Urgency.BACKFILL):
        pipeline.budget().grant(urgency)
    found = samples(parse_openmetrics(openmetrics_text(registry)))
    assert found["htw_requests_spent_today", "perishable"] == 2
    assert found["htw_requests_spent_today", "backfill"] == 1
    assert found["htw_requests_left", "day"] == 97


def test_names_follow_the_conventions_and_each_has_help(registry: CollectorRegistry) -> None:
    families: list[Metric] = list(parse_openmetrics(openmetrics_text(registry)))
    assert len(families) == len({family.name for family in families}) >= 15
    for family in families:
        assert family.name.startswith("htw_")
        assert family.documentation.endswith("."), family.name
        assert family.type in ("gauge", "counter", "summary"), family.name
        assert not family.unit or family.name.endswith(family.unit), family.name


def test_the_file_is_what_the_textfile_collector_reads_and_is_replaced_as_one(
    pipeline: Pipeline, registry: CollectorRegistry
) -> None:
    file = pipeline.settings.metrics_file
    for _ in range(2):
        write_metrics(registry, file)
    assert [path.name for path in file.parent.iterdir()] == ["htw.prom"]
    found = {family.name: family for family in parse_text(file.read_text())}
    assert samples(found.values())["htw_requests_total", "coins"] == 7
    assert found["htw_requests"].type == "counter"
    assert found["htw_fetch_duration_seconds"].type == "summary"


def test_sizes_are_those_on_disk(pipeline: Pipeline, registry: CollectorRegistry) -> None:
    day = pipeline.settings.vault_dir / "coins" / "2026-03-24"
    day.mkdir(parents=True)
    for size in (100, 250):
        (day / f"{size}.json").write_bytes(b"x" * size)
        found = samples(parse_openmetrics(openmetrics_text(registry)))
        assert found["htw_files_bytes", "vault"] == (100 if size == 100 else 350)
    assert found["htw_files_bytes", "warehouse"] == pipeline.settings.warehouse_file.stat().st_size
    assert ("htw_files_bytes", "published") not in found
    pipeline.settings.published_dir.mkdir()
    pipeline.settings.published_file.write_bytes(b"12345")
    found = samples(parse_openmetrics(openmetrics_text(registry)))
    assert found["htw_files_bytes", "published"] == 5
    assert found["htw_last_publish_timestamp_seconds",] == pytest.approx(pipeline.settings.published_file.stat().st_mtime)


@pytest.mark.parametrize("content", [None, b"nonsense" * 4096], ids=["not there", "damaged"])
def test_without_a_ledger_the_rest_is_still_there(pipeline: Pipeline, registry: CollectorRegistry, content: bytes | None) -> None:
    pipeline.settings.warehouse_file.unlink()
    if content:
        pipeline.settings.warehouse_file.write_bytes(content)
    found = samples(parse_openmetrics(openmetrics_text(registry)))
    assert found["htw_warehouse_readable",] == 0
    assert found["htw_requests_left", "day"] == 100
    assert not [key for key in found if key[0].startswith(("htw_slots", "htw_fresh"))]


def test_a_scrape_is_served_anew_in_the_format_it_asks_for(pipeline: Pipeline, registry: CollectorRegistry) -> None:
    server, thread = start_http_server(0, "127.0.0.1", registry)
    url = f"http://127.0.0.1:{server.server_address[1]}/metrics"
    try:
        before = _scraped(url)
        pipeline.budget().grant(Urgency.FRESHNESS)
        after = _scraped(url)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert (before["htw_requests_left", "day"], after["htw_requests_left", "day"]) == (100, 99)


def _scraped(url: str) -> dict[tuple[str, ...], float]:
    request = urllib.request.Request(url, headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        return samples(parse_openmetrics(answer.read().decode()))


def test_the_command_prints_them(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in Htw("http://127.0.0.1:1", TOKEN, pipeline.settings.data_dir).environment().items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(app, ["metrics"])
    assert result.exit_code == 0
    assert samples(parse_openmetrics(result.stdout))["htw_requests_total", "coins"] == 7
