"""Text that leaves the house: one line each, of bounded length, without tokens, addresses that are secrets, or signed links.

Belongs here: taking secrets out. Does not: finding the words (`problems`).
"""

from __future__ import annotations

import contextlib
import re
from datetime import timedelta

from pydantic import SecretStr

from orchestration.hypertracker.redaction import redact
from orchestration.settings import Settings, SettingsError

MOST_CHARACTERS = 400
HIDDEN = "***"
# A shorter one would be found in ordinary words.
LEAST_SECRET_LENGTH = 6
# A link's host says enough; its path may be a key too.
LINK = re.compile(r"(https?://[^/\s'\"]+)/[^\s'\"]*")


def secrets_of(settings: Settings) -> list[str]:
    """Every value that nobody may read in a message, a log or a file."""
    held = (getattr(settings, name) for name in type(settings).model_fields)
    texts = [value.get_secret_value() for value in held if isinstance(value, SecretStr)]
    with contextlib.suppress(SettingsError):  # a token file that went away is told elsewhere
        texts.append(settings.access().token.get_secret_value())
    return sorted((text for text in set(texts) if len(text) >= LEAST_SECRET_LENGTH), key=len, reverse=True)


def safe(text: str, secrets: list[str]) -> str:
    """The text on one line, shortened, with what is secret left out."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    line = LINK.sub(rf"\1/{HIDDEN}", redact(" ".join(text.split())))
    return line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 1]}…"


def counted(count: int, noun: str, plural: str = "") -> str:
    """`1 slot`, `2 slots`; `2 bodies` where the plural is given."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {plural or noun + 's'}"


def span_words(span: timedelta) -> str:
    """A length of time as people say it: `45 s`, `12 min`, `3 h 5 min`, `2 d 4 h`."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    days, hours, minutes = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    shown = [f"{count} {unit}" for count, unit in parts if count]
    return " ".join(shown[:2])
