"""What the text of a setting stands for.

Belongs here: reading addresses, names, intervals and secret files, with errors that say what is wrong with them and never show a
secret. Does not: names and defaults of settings (`settings`, `lake_settings`, `alert_settings`).
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from orchestration.hypertracker.datasets import BY_NAME
from orchestration.planning.pace import parse_interval


class SettingsError(Exception):
    """Settings that are missing or wrong; the message lists all of them with their mend."""


def scheme_and_path(url: str) -> tuple[str, str]:
    """An address in two: `sqlite:///x` and `sqlite:/x` are the same, a plain path has no scheme."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):(?://)?(.*)", url, re.DOTALL)
    return (found[1].lower(), found[2]) if found else ("", url)


def local_path(url: str | None) -> Path | None:
    """The absolute path in an address of this machine; None where there is no address."""
    return Path(scheme_and_path(url)[1]).expanduser().absolute() if url else None


def read_token(file: Path) -> str:
    """The token in a secret file. Raises `ValueError` as `read_secret` and `checked_token` do."""
    return checked_token(read_secret(file))


def read_secret(file: Path) -> str:
    """What a secret file holds. Raises `ValueError` that says what is wrong with the file, never what is in it."""
    try:
        text = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ValueError(f"names {file}, which cannot be read ({why})") from None
    if not text:
        raise ValueError(f"names {file}, which is empty")
    return text


def checked_token(text: str) -> str:
    """A token as it is. Raises `ValueError` for what cannot be one."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("holds something that is no token: a space, a line break or a character outside ASCII")
    return text


def checked_address(text: str) -> str:
    """A mail address as it is. Raises `ValueError` for what cannot be one."""
    if not re.fullmatch(r"[^@\s<>,\"]+@[^@\s<>,\"]+", text) or not text.isascii():
        raise ValueError(f"holds {text!r}, which is no mail address such as me@example.com")
    return text


def wanted_intervals(value: str) -> dict[str, timedelta]:
    """Intervals by dataset, under `''` the one for all others. Raises `ValueError` for what is neither."""
    wanted = {}
    for part in names_in(value):
        dataset, _, interval = part.rpartition("=")
        if dataset and dataset not in BY_NAME:
            raise ValueError(f"names unknown dataset {dataset}; known are {', '.join(BY_NAME)}")
        wanted[dataset] = parse_interval(interval)
    return wanted


def coin_names(value: str) -> list[str]:
    """The names of a list; one that holds a comma, or blanks at an end, stands in double quotes, with its own quotes doubled."""
    parts = [part.strip() for part in re.findall(r'\s*("(?:[^"]|"")*"\s*(?=,|$)|[^,]*)(?:,|$)', value)]
    quoted = [len(part) > 1 and part[0] == part[-1] == '"' for part in parts]
    return [part[1:-1].replace('""', '"') if is_quoted else part for part, is_quoted in zip(parts, quoted, strict=True) if part]


def names_in(value: str) -> list[str]:
    """The parts of a list with commas, without blanks."""
    return [part.strip() for part in value.split(",") if part.strip()]
