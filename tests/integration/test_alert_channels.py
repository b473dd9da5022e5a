"""Channels on real sockets: what arrives, what a failure says, and that no address of a webhook is ever logged or said."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from orchestration.alerting.channels import Channel, ChannelError, Mail, Slack, Webhook, channels_of
from orchestration.alerting.notices import Message, Status
from orchestration.alerting.problems import Problem
from orchestration.cli import app
from orchestration.settings import Settings, load_settings
from tests.integration.processes import Htw
from tests.integration.receivers import SECRET_PATH, Hook, Post, hook, post_office

NOON = datetime(2026, 3, 24, 12, tzinfo=UTC)
COINS = Problem("late:coins", "coins is late", "HTTP 503 & <nothing>", "htw status", NOON)
OPENED = Message(Status.OPENED, COINS, NOON)
RESOLVED = Message(Status.RESOLVED, COINS, NOON + timedelta(hours=2), NOON + timedelta(hours=1, minutes=5))


@pytest.fixture
def webhook() -> Iterator[Hook]:
    with hook() as found:
        yield found


@pytest.fixture
def office() -> Iterator[Post]:
    with post_office() as found:
        yield found


@pytest.fixture(autouse=True)
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No address and no password may be among what the libraries log when they log all they can."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger=name)
    yield
    assert "s3cr3tpath" not in caplog.text
    assert "pass-word-1" not in caplog.text


def settings_of(**given: Any) -> Settings:
    return load_settings(api_url="http://127.0.0.1:1", **given)


def mailing(office: Post, **given: Any) -> Mail:
    wanted = {
        "smtp_host": "127.0.0.1", "smtp_port": office.port, "smtp_starttls": False, "alert_email_from": "htw@a.example",
        "alert_email_to": "me@a.example,you@b.example",
    } | given  # fmt: skip
    (channel,) = channels_of(settings_of(**wanted))
    assert isinstance(channel, Mail)
    return channel


def failure_of(channel: Channel) -> str:
    with pytest.raises(ChannelError) as caught:
        channel.send([OPENED])
    assert caught.value.__cause__ is None
    assert "s3cr3tpath" not in str(caught.value)
    return str(caught.value)


def test_a_webhook_gets_each_message_as_json(webhook: Hook) -> None:
    Webhook(SecretStr(webhook.url)).send([OPENED, RESOLVED])
    assert webhook.posted[0] == {
        "status": "opened", "key": "late:coins", "title": "coins is late", "cause": "HTTP 503 & <nothing>",
        "command": "htw status", "since": "2026-03-24T12:00:00+00:00", "at": "2026-03-24T12:00:00+00:00", "until": None,
    }  # fmt: skip
    assert (webhook.posted[1]["status"], webhook.posted[1]["until"]) == ("resolved", "2026-03-24T13:05:00+00:00")


def test_slack_gets_one_text_in_which_nothing_is_markup(webhook: Hook) -> None:
    Slack(SecretStr(webhook.url)).send([OPENED, RESOLVED])
    (body,) = webhook.posted
    assert body == {
        "text": "*Problem: coins is late*\nHTTP 503 &amp; &lt;nothing&gt;\nsince 2026-03-24 12:00 UTC\nmend: htw status\n\n"
        "*Resolved: coins is late*\nit lasted 1 h 5 min, until 2026-03-24 13:05 UTC\nit was: HTTP 503 &amp; &lt;nothing&gt;"
    }


@pytest.mark.parametrize("status", [302, 404, 500])
def test_an_answer_that_is_no_success_is_a_failure_and_no_redirect_is_followed(webhook: Hook, status: int) -> None:
    webhook.status = status
    assert failure_of(Slack(SecretStr(webhook.url))) == f"the address answered {status}: see HTW_ALERT_SLACK_WEBHOOK"
    assert webhook.asked_count == 1


def test_an_address_where_nobody_listens_is_named_by_its_setting() -> None:
    says = failure_of(Webhook(SecretStr(f"http://127.0.0.1:1{SECRET_PATH}")))
    assert says == "the address cannot be reached (ConnectError): see HTW_ALERT_WEBHOOK"


def test_what_others_send_meanwhile_is_logged_as_ever(webhook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    import httpx

    Webhook(SecretStr(webhook.url)).send([OPENED])
    assert "HTTP Request" not in caplog.text
    httpx.get(f"http://127.0.0.1:{webhook.port}/other")
    assert "HTTP Request: GET" in caplog.text


def test_a_mail_says_it_all_to_everybody(office: Post) -> None:
    mailing(office).send([OPENED, RESOLVED])
    (letter,) = office.letters
    assert letter["Subject"] == "[HyperTracker warehouse] Problem: coins is late (and 1 more)"
    assert (letter["From"], letter["To"]) == ("htw@a.example", "me@a.example, you@b.example")
    text = letter.get_payload()
    assert "mend: htw status" in text
    assert "it lasted 1 h 5 min" in text
    assert [line for line in office.commands if line.lower().startswith(("auth", "rcpt"))] == [
        "rcpt TO:<me@a.example>",
        "rcpt TO:<you@b.example>",
    ]


def test_a_login_goes_before_the_mail_and_its_refusal_is_said(office: Post) -> None:
    login = {"smtp_user": "htw@a.example", "smtp_password": "pass-word-1"}
    mailing(office, **login).send([OPENED])
    assert len(office.letters) == 1
    office.is_refusing = True
    assert failure_of(mailing(office, **login)).startswith("the mail server refused the login (535): see HTW_SMTP_USER")


def test_a_refused_sender_is_said(office: Post) -> None:
    office.is_refusing = True
    assert failure_of(mailing(office)) == "the mail server refused the mail (550): see HTW_ALERT_EMAIL_*"


def test_no_password_goes_over_a_line_that_was_to_be_encrypted(office: Post) -> None:
    given = {"smtp_user": "htw@a.example", "smtp_password": "pass-word-1", "smtp_starttls": True}
    assert "does not offer STARTTLS" in failure_of(mailing(office, **given))
    assert not [line for line in office.commands if line.lower().startswith("auth")]


def test_a_mail_server_where_nobody_listens_is_named(office: Post) -> None:
    assert failure_of(mailing(office, smtp_port=1)) == (
        "127.0.0.1:1 cannot be reached (ConnectionRefusedError): see HTW_SMTP_HOST, HTW_SMTP_PORT"
    )


def test_only_the_channels_that_are_set_are_there(webhook: Hook) -> None:
    assert channels_of(settings_of()) == []
    found = channels_of(settings_of(alert_webhook=webhook.url, alert_slack_webhook=webhook.url))
    assert [channel.name for channel in found] == ["slack", "webhook"]
    assert "s3cr3tpath" not in repr(found)


def test_the_command_tries_every_channel(webhook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    htw = Htw("http://127.0.0.1:1", "token", tmp_path / "data")
    deaf = f"http://127.0.0.1:1{SECRET_PATH}"
    for name, value in htw.environment(alert_webhook=webhook.url, alert_slack_webhook=deaf).items():
        monkeypatch.setenv(name, value)
    half = CliRunner().invoke(app, ["alerts", "test"])
    assert half.exit_code == 1
    assert half.stdout.splitlines() == [
        "slack: the address cannot be reached (ConnectError): see HTW_ALERT_SLACK_WEBHOOK",
        "webhook: took the test message",
    ]
    assert webhook.taken() == [("opened", "test")]
    monkeypatch.setenv("HTW_ALERT_SLACK_WEBHOOK", "")
    assert CliRunner().invoke(app, ["alerts", "test"]).exit_code == 0
    monkeypatch.setenv("HTW_ALERT_WEBHOOK", "")
    silent = CliRunner().invoke(app, ["alerts", "test"])
    assert (silent.exit_code, "alerts are off" in silent.stderr) == (2, True)
    assert not (tmp_path / "data").exists()
