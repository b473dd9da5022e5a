"""What is kept of a fetch: the record of one attempt, and which bodies it brought.

Belongs here: the values and their form as JSON. Does not: where they lie on disk (`vault`), the bytes themselves (`bodies`).
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Self


@dataclass(frozen=True)
class Part:
    """One stored body: the sha256 and length of the bytes received, and the file that holds them."""

    sha256: str
    byte_count: int
    file: str


@dataclass(frozen=True)
class FetchRecord:
    """One attempt to fill (dataset, scope, slot); times are UTC.

    `outcome` is `received`, or the verdict of a fetch that brought nothing (`absent`, `failed`, `missed`, ...).
    `state_before` and `state_after` are the provider's `lastUpdate` read around the fetch, where the payload carries no time.
    `source` names the registry record that was asked, where it is not the dataset's own; `extra` is what the provider said
    beside a link; `requests_budget` how many requests a day the plan in force had.
    """

    fetch_id: str
    dataset: str
    scope: str
    slot: datetime
    started_at: datetime
    finished_at: datetime
    outcome: str
    parts: tuple[Part, ...] = ()
    reason: str = ""
    mend: str = ""
    requests_spent: int = 0
    state_before: datetime | None = None
    state_after: datetime | None = None
    source: str = ""
    requests_budget: int = 0
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def content_sha256(self) -> str:
        """The sha256 of the payload: of the body, or of the list of bodies where there are several pages."""
        if len(self.parts) == 1:
            return self.parts[0].sha256
        return hashlib.sha256("".join(part.sha256 for part in self.parts).encode()).hexdigest()

    @property
    def payload_id(self) -> str:
        """The same for the same bytes in the same (dataset, scope, slot), however often they are fetched."""
        key = "\0".join((self.dataset, self.scope, self.slot.isoformat(), self.content_sha256))
        return hashlib.sha256(key.encode()).hexdigest()[:32]

    @property
    def byte_count(self) -> int:
        return sum(part.byte_count for part in self.parts)

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=lambda value: value.isoformat(), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        values = json.loads(text)
        values["parts"] = tuple(Part(**part) for part in values["parts"])
        for name in ("slot", "started_at", "finished_at", "state_before", "state_after"):
            values[name] = datetime.fromisoformat(values[name]) if values[name] else None
        return cls(**values)


def in_order(records: Iterable[FetchRecord]) -> list[FetchRecord]:
    """As the fetches finished: what is judged by what came before needs them so."""
    return sorted(records, key=finish_of)


def finish_of(record: FetchRecord) -> tuple[datetime, str]:
    """What fetches are ordered by: when they finished."""
    return record.finished_at, record.fetch_id


def new_fetch_id() -> str:
    return uuid.uuid4().hex


def parts_of(text: str) -> tuple[Part, ...]:
    """The bodies of a list in JSON."""
    return tuple(Part(**part) for part in json.loads(text))
