"""The ways to tell somebody: Slack, a webhook of one's own, mail.

Belongs here: sending messages. Does not: which messages (`notices`). A channel's address is a secret: no error and no log line
holds it. Errors say what a person can do, never what a library said: that may repeat an address.
"""

from __future__ import annotations

import contextlib
import logging
import smtplib
import ssl
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, Protocol

import httpx
from pydantic import SecretStr

from orchestration.alerting.notices import Message, Status
from orchestration.alerting.wording import span_words
from orchestration.settings import Settings

TIMEOUT_S = 10.0
SMTP_TLS_PORT = 465
TIME = "%Y-%m-%d %H:%M"
WORDS = {Status.OPENED: "Problem", Status.REMINDER: "Still open", Status.RESOLVED: "Resolved"}
LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy")


class ChannelError(Exception):
    """A channel could not be reached, or did not take what was sent; the message says why and how to mend it."""


class Channel(Protocol):
    """One way to tell somebody. `takes_many`: several messages are one telling."""

    @property
    def name(self) -> str: ...

    @property
    def takes_many(self) -> bool: ...

    def send(self, messages: Sequence[Message]) -> None:
        """Returns once the messages were taken. Raises `ChannelError`."""


def channels_of(settings: Settings) -> list[Channel]:
    """Every channel that is set; empty where alerts are off."""
    found: list[Channel] = []
    if settings.alert_slack_webhook is not None:
        found.append(Slack(settings.alert_slack_webhook))
    if settings.alert_webhook is not None:
        found.append(Webhook(settings.alert_webhook))
    if settings.alert_email_to:
        found.append(Mail(settings))
    return found


@dataclass(frozen=True)
class Slack:
    """An incoming webhook of Slack, or of what speaks its language."""

    url: SecretStr
    name: str = "slack"
    takes_many: bool = True

    def send(self, messages: Sequence[Message]) -> None:
        post(self.url, {"text": "\n\n".join(map(slack_text, messages))}, "HTW_ALERT_SLACK_WEBHOOK")


@dataclass(frozen=True)
class Webhook:
    """Any address that takes a POST of JSON, one message each."""

    url: SecretStr
    name: str = "webhook"
    takes_many: bool = False

    def send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            post(self.url, as_json(message), "HTW_ALERT_WEBHOOK")


@dataclass(frozen=True)
class Mail:
    """Mail by SMTP."""

    settings: Settings
    name: str = "email"
    takes_many: bool = True

    def send(self, messages: Sequence[Message]) -> None:
        try:
            with self._server() as server:
                server.send_message(self._letter(messages))
        except smtplib.SMTPAuthenticationError as error:
            raise ChannelError(
                f"the mail server refused the login ({error.smtp_code}): see HTW_SMTP_USER, HTW_SMTP_PASSWORD"
            ) from None
        except smtplib.SMTPNotSupportedError:
            says = "the mail server does not offer STARTTLS, or no login: see HTW_SMTP_PORT, or set HTW_SMTP_STARTTLS=false"
            raise ChannelError(says) from None
        except smtplib.SMTPException as error:
            code = getattr(error, "smtp_code", None)
            raise ChannelError(
                f"the mail server refused the mail ({code or type(error).__name__}): see HTW_ALERT_EMAIL_*"
            ) from None
        except OSError as error:
            where = f"{self.settings.smtp_host}:{self.settings.smtp_port}"
            raise ChannelError(f"{where} cannot be reached ({type(error).__name__}): see HTW_SMTP_HOST, HTW_SMTP_PORT") from None

    @contextlib.contextmanager
    def _server(self) -> Iterator[smtplib.SMTP]:
        given, safely = self.settings, ssl.create_default_context()
        if given.smtp_port == SMTP_TLS_PORT:
            server: smtplib.SMTP = smtplib.SMTP_SSL(given.smtp_host, given.smtp_port, timeout=TIMEOUT_S, context=safely)
        else:
            server = smtplib.SMTP(given.smtp_host, given.smtp_port, timeout=TIMEOUT_S)
        with server:
            if given.smtp_starttls and given.smtp_port != SMTP_TLS_PORT:
                server.starttls(context=safely)
            if given.smtp_password is not None:
                server.login(given.smtp_user, given.smtp_password.get_secret_value())
            yield server

    def _letter(self, messages: Sequence[Message]) -> EmailMessage:
        letter, first = EmailMessage(), headline(messages[0])
        more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
        letter["Subject"] = f"[HyperTracker warehouse] {first}{more}"
        letter["From"] = self.settings.alert_email_from or self.settings.smtp_user
        letter["To"] = ", ".join(self.settings.alert_email_to)
        letter["Auto-Submitted"] = "auto-generated"
        letter.set_content("\n\n".join(map(plain_text, messages)) + "\n")
        return letter


def post(url: SecretStr, body: dict[str, Any], setting: str) -> None:
    """POST JSON; anything but a 2xx is a failure, a redirect too. Raises `ChannelError`, which does not hold the address."""
    try:
        with _unlogged(), httpx.Client(timeout=TIMEOUT_S, follow_redirects=False) as client:
            answer = client.post(url.get_secret_value(), json=body)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ChannelError(f"the address cannot be reached ({type(error).__name__}): see {setting}") from None
    if not answer.is_success:
        raise ChannelError(f"the address answered {answer.status_code}: see {setting}")


@contextlib.contextmanager
def _unlogged() -> Iterator[None]:
    """The HTTP libraries log whole addresses: of what this thread sends, they log nothing."""
    own = threading.get_ident()

    def is_of_others(record: logging.LogRecord) -> bool:
        return record.thread != own

    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addFilter(is_of_others)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(is_of_others)


def as_json(message: Message) -> dict[str, Any]:
    """A message as values for programs."""
    problem = message.problem
    return {
        "status": message.status.value,
        "key": problem.key,
        "title": problem.title,
        "cause": problem.cause,
        "command": problem.command,
        "since": problem.since.isoformat(),
        "at": message.at.isoformat(),
        "until": message.until.isoformat() if message.until else None,
    }


def headline(message: Message) -> str:
    return f"{WORDS[message.status]}: {message.problem.title}"


def plain_text(message: Message) -> str:
    """A message as lines for people."""
    return "\n".join([headline(message), *_lines(message)])


def slack_text(message: Message) -> str:
    """The same in Slack's markup; what Slack would take for a mention or a link is only text."""
    title, *rest = (
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for text in (headline(message), *_lines(message))
    )
    return "\n".join([f"*{title}*", *rest])


def _lines(message: Message) -> list[str]:
    problem = message.problem
    if message.until is not None:
        return [
            f"it lasted {span_words(message.until - problem.since)}, until {message.until:{TIME}} UTC",
            f"it was: {problem.cause}",
        ]
    lasted = f", for {span_words(message.at - problem.since)}" if message.status is Status.REMINDER else ""
    return [problem.cause, f"since {problem.since:{TIME}} UTC{lasted}", f"mend: {problem.command}"]
