"""Samples of what a probe received, fit to be shown and to become fixtures of tests.

Belongs here: the folder, one file an endpoint and a line of where each came from. Does not: what is hidden in them
(`hypertracker.pseudonyms`).
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from orchestration.collecting import Ask
from orchestration.hypertracker.pseudonyms import Pseudonyms
from orchestration.hypertracker.tally import Tally


class Samples:
    """Below `folder`; of each endpoint the first answer. No file bears a coin's name, which may be anything."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.pseudonyms = folder, Pseudonyms()
        self._kept: set[str] = set()

    def keep(self, ask: Ask, tally: Tally, text: str, file: str, at: datetime) -> Path:
        """Write a sample of one answer, unless its endpoint has one; the folder."""
        if ask.source.name not in self._kept:
            self._kept.add(ask.source.name)
            self.folder.mkdir(parents=True, exist_ok=True)
            sample = self.pseudonyms.sample_csv(text) if file == "csv" else self.pseudonyms.sample_json(text)
            target = self.folder / f"{ask.source.name}.{file}"
            target.write_text(sample, "utf-8")
            with (self.folder / "README.md").open("a", encoding="utf-8") as readme:
                readme.write(_line(target.name, ask, tally, len(text), at))
        return self.folder


def _line(name: str, ask: Ask, tally: Tally, length: int, at: datetime) -> str:
    how = f"{tally.delivery.value if tally.delivery else 'unknown'}, {tally.content_type or 'no content type'}"
    scope = f" for `{ask.scope}`" if ask.scope else ""
    return (
        f"- `{name}`: GET {tally.path}{scope}, {at:%Y-%m-%d %H:%M:%S} UTC, {how}; the first records of {length:,} characters, "
        "addresses and ids replaced\n"
    )
