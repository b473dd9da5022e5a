"""Looks at a real ledger and a real Dagster instance, told to a webhook on a real socket."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._utils import get_run_crash_explanation
from dagster._utils.error import serializable_error_info_from_exc_info
from pydantic import SecretStr
from typer.testing import CliRunner

from orchestration.alerting import problems as problems_module
from orchestration.alerting.looking import NO_CHANNEL, look, open_problems
from orchestration.alerting.problems import Found, find_problems
from orchestration.cli import app
from orchestration.clock import SteppedClock
from orchestration.hypertracker.errors import QuotaSpentError
from orchestration.pipeline import Pipeline
from orchestration.registering import prepare
from orchestration.runs import dagster_instance
from orchestration.sensors import build_coverage_sensor, build_failure_sensor
from orchestration.settings import load_settings
from tests.integration.processes import Htw
from tests.integration.receivers import SECRET_PATH, Hook, hook
from tests.integration.test_coverage import Book
from warehouse.connection import connect, open_writer, writer_lock

DAY = datetime(2026, 3, 24, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TOKEN = "htk_a1b2c3d4"
SIGNED = "https://bucket.s3.amazonaws.com/a/b?X-Amz-Signature=abcdef"


@dataclass
class House:
    """A data folder, its clock, and the webhook that is told."""

    pipeline: Pipeline
    hook: Hook
    moment: list[datetime] = field(default_factory=lambda: [DAY])
    instance: dg.DagsterInstance | None = None

    def at(self, minutes: float) -> datetime:
        self.moment[0] = DAY + minutes * MINUTE
        return self.moment[0]

    def look(self, minutes: float) -> list[tuple[str, str]]:
        """What the webhook is told by a look at a moment."""
        before = len(self.hook.posted)
        self.at(minutes)
        look(self.pipeline, self.instance)
        return self.hook.taken()[before:]

    def keys(self, minutes: float) -> list[str]:
        self.at(minutes)
        return [problem.key for problem in find_problems(self.pipeline, self.instance).problems]

    def write(self, work: Any) -> None:
        with open_writer(self.pipeline.settings.warehouse_file) as connection:
            prepare(connection)
            book = Book(connection)
            book.count = connection.execute("select count(*) from ops.fetches").fetchone()[0]  # type: ignore[index]
            work(book)


@pytest.fixture
def webhook() -> Iterator[Hook]:
    with hook() as found:
        yield found


@pytest.fixture
def new_house(webhook: Hook, tmp_path: Path) -> Any:
    def make(**given: Any) -> House:
        wanted = {"alert_webhook": webhook.url, "coins": "BTC", "plan": "1000/day"} | given
        settings = load_settings(
            api_url="http://127.0.0.1:1", api_token=SecretStr(TOKEN), data_dir=tmp_path / "data", warehouse_url=None, **wanted
        )
        moment = [DAY]
        clock = SteppedClock(lambda: moment[0], lambda to: moment.__setitem__(0, to))
        return House(Pipeline(settings, clock), webhook, moment)

    return make


@pytest.fixture
def house(new_house: Any) -> House:
    """Coins are planned every quarter of an hour; the slots of the first hour arrived."""
    made: House = new_house()

    def begin(book: Book) -> None:
        book.plan(naive(0), "pulse", ("coins", 900, [""]))
        for minutes in (0, 15, 30, 45):
            book.fetch("coins", "", naive(minutes))

    made.write(begin)
    return made


def naive(minutes: float) -> datetime:
    return (DAY + minutes * MINUTE).replace(tzinfo=None)


def test_a_late_dataset_is_told_within_two_slots_and_its_return_too(house: House) -> None:
    assert house.look(60) == []
    assert [house.look(minutes) for minutes in (75, 89)] == [[], []], "one slot may be missing"
    house.write(lambda book: book.fetch("coins", "", naive(75), "failed", reason=f"HTTP 503 at {SIGNED} {TOKEN}", mend="wait"))
    assert house.look(90) == [("opened", "late:coins")]
    body = house.hook.posted[-1]
    assert body["title"] == "coins is late"
    assert body["since"] == "2026-03-24T01:00:00+00:00"
    assert [house.look(minutes) for minutes in (91, 100, 110)] == [[], [], []]
    house.write(lambda book: book.fetch("coins", "", naive(105)))
    assert house.look(121) == []
    assert house.look(136) == [("resolved", "late:coins")]
    assert house.hook.posted[-1]["until"] == "2026-03-24T02:01:00+00:00"


def test_the_cause_and_the_command_come_from_the_ledger_without_secrets(house: House) -> None:
    def fail(book: Book) -> None:
        for minutes in (60, 75):
            book.fetch("coins", "", naive(minutes), "failed", reason=f"HTTP 503 at {SIGNED} {TOKEN}", mend="wait for it")

    house.write(fail)
    assert house.look(90) == [("opened", "late:coins")]
    body = house.hook.posted[0]
    assert body["cause"] == (
        "the slots 2026-03-24 01:00 and 01:15 UTC brought nothing (failed): HTTP 503 at https://bucket.s3.amazonaws.com/*** ***"
    )
    assert body["command"] == "wait for it"
    kept = house.pipeline.settings.alerts_file.read_text()
    assert [secret for secret in (TOKEN, "X-Amz", "s3cr3tpath") if secret in kept] == []


def test_it_is_told_again_after_a_day_of_it(house: House) -> None:
    told = [entry for minutes in (90, 12 * 60, 25 * 60, 26 * 60, 40 * 60, 50 * 60) for entry in house.look(minutes)]
    assert [status for status, key in told if key == "late:coins"] == ["opened", "reminder", "reminder"]


def test_a_channel_that_was_down_is_told_later_and_nobody_is_told_twice(new_house: Any, webhook: Hook) -> None:
    with hook() as slack:
        house = new_house(alert_slack_webhook=slack.url)
        house.write(lambda book: book.plan(naive(0), "pulse", ("coins", 900, [""])))
        slack.status = 500
        house.at(90)
        looked = look(house.pipeline, None)
        assert looked.failures == (("slack", "the address answered 500: see HTW_ALERT_SLACK_WEBHOOK"),)
        assert webhook.taken() == [("opened", "late:coins")]
        assert house.look(91) == []
        slack.status = 200
        house.look(92)
        house.look(93)
        assert len(slack.posted) == 1
        assert webhook.taken() == [("opened", "late:coins")]


def test_no_log_holds_the_address(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    house.hook.status = 500
    house.look(90)
    house.hook.status = 200
    assert house.look(91) == [("opened", "late:coins")]
    assert SECRET_PATH not in caplog.text


def test_without_a_channel_nothing_is_sent_and_nothing_written(new_house: Any) -> None:
    house = new_house(alert_webhook=None)
    house.write(lambda book: book.plan(naive(0), "pulse", ("coins", 900, [""])))
    house.at(90)
    assert look(house.pipeline, None).words == NO_CHANNEL
    assert not house.pipeline.settings.alerts_file.exists()


def test_a_dataset_that_nobody_wants_any_more_is_not_late(new_house: Any) -> None:
    house = new_house(datasets="heatmap")
    house.write(lambda book: book.plan(naive(0), "pulse", ("coins", 900, [""]), ("heatmap", 900, [""])))
    assert house.keys(90) == ["late:heatmap"]


def test_a_sparse_plan_makes_its_own_slots_late_only(new_house: Any) -> None:
    house = new_house()
    house.write(lambda book: book.plan(naive(0), "free", ("coins", 7200, [""]), ("segments", 86_400, [""])))
    assert house.keys(134) == []
    assert house.keys(135) == ["late:coins"]
    assert house.keys(2 * 1440) == ["late:coins", "late:segments"]


def test_what_is_lost_within_a_day_is_told_with_its_price(new_house: Any) -> None:
    house = new_house()
    house.write(lambda book: book.fetch("order_snapshots", "BTC", naive(0), "failed"))
    at = 30 * 1440 - 60
    assert house.keys(at - 1440) == []
    house.at(at)
    (problem,) = find_problems(house.pipeline, None).problems
    assert (problem.key, problem.command) == ("expiring:order_snapshots", "`htw heal`")
    assert problem.cause == "1 slot missing that the provider still has, the first for another 1 h; 1 request would fill all"
    assert house.keys(30 * 1440 + 1) == []


def test_what_could_not_be_read_is_told_for_a_day(house: House) -> None:
    house.write(lambda book: book.fetch("coins", "", naive(50), "quarantined", reason="no `coins` in it", mend="htw rebuild"))
    house.at(59)
    (problem,) = find_problems(house.pipeline, None).problems
    assert (problem.key, problem.title) == ("quarantined:coins", "1 payload of coins could not be read")
    assert (problem.cause, problem.command) == ("no `coins` in it", "htw rebuild")
    assert "quarantined:coins" not in house.keys(50 + 1441)


def test_a_quota_that_the_provider_closed_is_told_until_it_opens(house: House) -> None:
    house.at(59)
    house.pipeline.budget().spent(QuotaSpentError("spent", "day", limit=100, current=100))
    (problem,) = find_problems(house.pipeline, None).problems
    assert problem.key == "quota"
    closed = "the provider says that the quota of the day is spent (100 of 100 requests)"
    assert problem.cause == f"{closed}; no request is sent until 2026-03-25 00:00 UTC"
    assert "quota" not in house.keys(1441)


def test_a_disk_that_is_nearly_full_is_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems_module, "LEAST_FREE_FRACTION", 1.0)
    monkeypatch.setattr(problems_module, "LEAST_FREE_BYTES", 1 << 60)
    assert house.keys(59) == ["disk"]


def test_a_file_that_somebody_holds_ends_no_problem(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    monkeypatch.setattr(problems_module, "READER_WAIT_S", 0.05)
    house.look(90)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with writer_lock(house.pipeline.settings.warehouse_file):
            held.set()
            done.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(20)
    assert [house.look(minutes) for minutes in (91, 120)] == [[], []]
    done.set()
    thread.join()
    assert house.look(121) == []
    assert house.keys(121) == ["late:coins"]


def test_a_damaged_file_is_a_problem_of_its_own(house: House) -> None:
    house.pipeline.settings.warehouse_file.write_bytes(b"nonsense" * 4096)
    house.at(90)
    (problem,) = find_problems(house.pipeline, None).problems
    assert problem.key == "warehouse"
    assert "htw rebuild" in problem.command


def test_a_ledger_of_an_earlier_version_is_a_problem_and_no_crash(new_house: Any) -> None:
    house = new_house()
    house.pipeline.settings.data_dir.mkdir()
    connect(house.pipeline.settings.warehouse_file).close()
    assert house.keys(0) == ["warehouse"]


@pytest.fixture
def dagster(house: House) -> Iterator[dg.DagsterInstance]:
    with dagster_instance(house.pipeline.settings) as instance:
        house.instance = instance
        yield instance


def run_heal(instance: dg.DagsterInstance, error: str) -> dg.ExecuteInProcessResult:
    """A run of a job named like the real one, which fails where there is an error."""

    @dg.op
    def fill() -> None:
        if error:
            raise RuntimeError(error)

    @dg.job(name="heal", executor_def=dg.in_process_executor, tags={"dagster/partition": "2026-03-24T00:45Z"})
    def heal() -> None:
        fill()

    return heal.execute_in_process(instance=instance, raise_on_error=False)


def test_a_failed_run_is_told_with_slot_and_error_until_one_succeeds(house: House, dagster: dg.DagsterInstance) -> None:
    house.at(59)
    result = run_heal(dagster, f"no answer from {SIGNED}")
    event = next(event for event in result.all_events if event.event_type_value == "PIPELINE_FAILURE")
    sensor = build_failure_sensor(lambda: house.pipeline)
    context = dg.build_run_status_sensor_context(
        sensor_name=sensor.name, dagster_instance=dagster, dagster_run=result.dagster_run, dagster_event=event
    ).for_run_failure()
    answer = sensor(context)
    assert isinstance(answer, dg.SkipReason)
    assert answer.skip_message == "1 open problem; 1 message sent"
    (body,) = house.hook.posted
    assert (body["key"], body["title"]) == ("run:heal", "The job heal failed")
    assert body["cause"] == "slot 2026-03-24T00:45Z: no answer from https://bucket.s3.amazonaws.com/***"
    run_heal(dagster, "")
    house.write(lambda book: book.fetch("coins", "", naive(60)))
    assert house.look(60) == []
    assert house.look(76) == [("resolved", "run:heal")]


def outside_of_all_steps() -> EngineEventData:
    """As Dagster notes an error of its own: the last of what it says was caused by the first."""
    try:
        raise RuntimeError("too many retries") from ConnectionError("connection refused\n\tIs the server running?")
    except RuntimeError:
        return EngineEventData(error=serializable_error_info_from_exc_info(sys.exc_info()))


@pytest.mark.parametrize(
    ("noted", "told"),
    [
        (None, "was terminated by signal 9 (SIGKILL)"),
        (outside_of_all_steps(), "ConnectionError: connection refused"),
    ],
    ids=["killed", "an error of Dagster's"],
)
def test_a_run_that_ended_outside_of_all_steps_is_told_with_why(
    house: House, dagster: dg.DagsterInstance, noted: EngineEventData | None, told: str
) -> None:
    house.at(59)
    run = dagster.create_run_for_job(dg.job(name="heal")(lambda: None), status=dg.DagsterRunStatus.STARTED)
    # As a code server does for a process that it finds dead.
    dagster.report_engine_event(get_run_crash_explanation(f"Run execution process for {run.run_id}", -9), run, noted)
    dagster.report_run_failed(run)
    assert house.look(60) == [("opened", "run:heal")]
    cause = house.hook.posted[-1]["cause"]
    assert told in cause
    assert "\n" not in cause


def test_the_sensor_tells_and_writes_metrics(house: House, dagster: dg.DagsterInstance) -> None:
    sensor = build_coverage_sensor(lambda: house.pipeline)
    assert sensor.minimum_interval_seconds == 60
    house.at(90)
    for expected in ("1 open problem; 1 message sent", "1 open problem; 0 messages sent"):
        data = sensor.evaluate_tick(dg.build_sensor_context(instance=dagster))
        assert (data.skip_message, data.run_requests, data.cursor) == (expected, [], None)
    text = house.pipeline.settings.metrics_file.read_text()
    assert 'htw_problems_open{kind="late"} 1.0' in text
    assert SECRET_PATH not in text


def test_the_sensors_say_why_they_are_silent(new_house: Any) -> None:
    house = new_house(alert_webhook=None)
    with dagster_instance(house.pipeline.settings) as instance:
        data = build_coverage_sensor(lambda: house.pipeline).evaluate_tick(dg.build_sensor_context(instance=instance))
    assert data.skip_message == NO_CHANNEL
    assert house.pipeline.settings.metrics_file.exists()
    assert house.hook.posted == []


def test_what_is_open_is_listed_with_its_first_sight(house: House) -> None:
    house.look(90)
    house.at(150)
    (problem,) = open_problems(house.pipeline, find_problems(house.pipeline, None))
    assert problem.since == DAY + 60 * MINUTE
    assert open_problems(house.pipeline, Found(())) == []


def test_the_command_lists_what_is_open(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.write(
        lambda book: book.fetch("coins", "", datetime.now(), "quarantined", reason="no `coins` in it", mend="htw rebuild")
    )
    for name, value in Htw("http://127.0.0.1:1", TOKEN, house.pipeline.settings.data_dir).environment(coins="BTC").items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(app, ["alerts"])
    assert result.exit_code == 1
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines[-3:] == ["1 payload of coins could not be read", "no `coins` in it", "-> htw rebuild"]
    assert "coins is late" in lines
    assert "alerts are off" in result.stderr
    as_json = CliRunner().invoke(app, ["alerts", "--json"])
    assert '"key": "quarantined:coins"' in as_json.stdout
