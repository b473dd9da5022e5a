"""Samples of payloads that can be shown: a few records, nobody's address, no link.

Belongs here: cutting and pseudonymising one payload. Does not: where samples go (`orchestration.probe`).
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
import re
import secrets
from typing import Any

RECORDS_KEPT = 3
NUMBER = re.compile(r"[-+]?\d{1,24}(\.\d+)?([eE][-+]?\d+)?")
LEAST_DIGITS = 16
# Not the fraction of a number.
HEX = re.compile(rf"(?<![0-9A-Za-z.])(0x)?([0-9a-fA-F]{{{LEAST_DIGITS},}})(?![0-9A-Za-z])")
# Shortened as documents print them, too: `0xdef1...`.
SHORT_HEX = re.compile(r"(?<![0-9A-Za-z])0x[0-9a-fA-F]{4,15}(?![0-9A-Za-z])")
LINK = re.compile(r"https?:(?:\\?/){2}[^\s\"'<>]+")
NUMBERED = ("oid", "cloid", "snapshotId")
NAMED = ("displayName", "nickname", "label", "ens")
SIGNED = ("nextCursor",)


class Pseudonyms:
    """The same stand-in for the same address or id throughout one run; the key is forgotten with it, because addresses are
    public and a plain digest of one is as good as its name."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)

    def sample_json(self, text: str) -> str:
        """A JSON payload cut to a few records a list, under stand-ins."""
        return json.dumps(self._shown(json.loads(text), ""), indent=1, ensure_ascii=False) + "\n"

    def sample_csv(self, text: str) -> str:
        """The header and the first lines, under stand-ins."""
        header, *rows = csv.reader(text.splitlines()[: 1 + RECORDS_KEPT])
        target = io.StringIO()
        csv.writer(target, lineterminator="\n").writerows(
            [header, *([self._cell(cell, name) for name, cell in zip(header, row, strict=False)] for row in rows)]
        )
        return target.getvalue()

    def hide(self, text: str) -> str:
        """Any text with stand-ins of the same form and length for whatever looks like an address or id, and without links."""
        text = LINK.sub("https://link.invalid", text)
        text = HEX.sub(lambda match: (match[1] or "") + self._digits(match[2]), text)
        return SHORT_HEX.sub(lambda match: "0x" + self._digits(match[0][2:]), text)

    def _shown(self, value: Any, name: str) -> Any:
        if isinstance(value, list):
            return [self._shown(item, name) for item in (value[:RECORDS_KEPT] if _is_long(value) else value)]
        if isinstance(value, dict):
            kept = list(value.items())
            kept = kept[:RECORDS_KEPT] if all(HEX.fullmatch(key) or key.isdigit() for key, _ in kept) else kept
            return {self.hide(key): self._shown(inner, key) for key, inner in kept}
        if isinstance(value, str):
            return self._text(value, name)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return self._number(value) if name in NUMBERED and is_number else value

    def _cell(self, cell: str, name: str) -> str:
        if not NUMBER.fullmatch(cell):
            return self._text(cell, name)
        return str(self._number(int(cell))) if name in NUMBERED and cell.isdigit() else cell

    def _text(self, value: str, name: str) -> str:
        if not value:
            return value
        if name in NAMED:
            return f"name-{self._digits(value.encode().hex())[:8]}"
        return "cursor" if name in SIGNED else self.hide(value)

    def _number(self, value: int) -> int:
        """As many digits, so that what must fit into 64 bits still does."""
        digits = str(int(self._digits(f"{value:x}" * 4), 16))
        return int("1" + digits[: len(str(abs(value))) - 1])

    def _digits(self, hexadecimal: str) -> str:
        """As many hexadecimal digits, by the lower-case value: spellings of one address stay one."""
        wanted, made = len(hexadecimal), ""
        while len(made) < wanted:
            made += hmac.new(self._key, f"{len(made)}:{hexadecimal.lower()}".encode(), hashlib.sha256).hexdigest()
        return made[:wanted]


def _is_long(value: list[Any]) -> bool:
    """Lists of records and rows are cut; the names of columns and the values of one row are not."""
    return len(value) > RECORDS_KEPT and isinstance(value[0], dict | list)
