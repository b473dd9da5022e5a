"""What a registry record can say about an endpoint: how it is asked, in which scopes, when, and what it answers.

Belongs here: the vocabulary of the registry. Does not: the records themselves (`datasets`), requests (`client`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import product
from urllib.parse import quote

from orchestration.hypertracker.forms import Form
from orchestration.hypertracker.shapes import Shape
from orchestration.planning.slots import Cadence

MEBIBYTE = 1 << 20
PAGE_LIMIT = 1000
NO_KNOWN_END = datetime(9999, 12, 31, tzinfo=UTC)
ALL_OF_IT = timedelta(days=36_525)


class Delivery(StrEnum):
    """How an endpoint is documented to hand over its payload; the client takes any of them from any endpoint."""

    INLINE = "inline"
    REDIRECT = "redirect"
    LINK = "link"


class Dating(StrEnum):
    """Where a payload's snapshot time comes from."""

    PAYLOAD = "payload"
    STATE = "state"
    SLOT = "slot"
    SERIES = "series"


class Paging(StrEnum):
    """How the next page is asked for."""

    NONE = "none"
    CURSOR = "cursor"
    OFFSET = "offset"


class Axis(StrEnum):
    """What one request is about. A scope is one value of each of its dataset's axes, joined by spaces."""

    COHORT = "cohort"
    SIZE_BUCKET = "size_bucket"
    AGE = "age"
    PERIOD = "period"
    COIN = "coin"


AXIS_VALUES: Mapping[Axis, tuple[str, ...]] = {
    Axis.COHORT: tuple(str(number) for number in range(1, 17)),
    Axis.SIZE_BUCKET: tuple(str(number) for number in range(1, 11)),
    Axis.AGE: ("all", "24h", "7d", "30d"),
    Axis.PERIOD: ("day", "week", "month", "all"),
}


@dataclass(frozen=True)
class LinkNote:
    """An object of the answer, under `at`, that holds the link and says things about the file behind it: under
    `row_count` how many rows it has, under `snapshot` its time."""

    at: str
    row_count: str
    snapshot: str


@dataclass(frozen=True)
class Defines:
    """Records (under `at`, or the payload itself) that define something by their `key`: whose `values` are watched."""

    label: str
    key: str
    values: tuple[str, ...]
    at: str | None = None


@dataclass(frozen=True)
class Dataset:
    """One endpoint as something we collect.

    `path` and the values of `query` may hold `{coin}`, `{cohort}` ... for the axes of `scoped_by` (the coin, whose name may
    hold anything, comes last), and `{slot}`; without axes there is one scope, the whole market (`''`). Exactly one of `shape`
    (the payload is kept as JSON documents) and `columns` (it becomes rows under the source's names, found under `rows_at`
    where they are not the payload itself) is set; a column may come as epoch milliseconds under its name in `epoch_aliases`.

    No record or row may lack a value of `identity`: its key in the warehouse. `adds_up` names a
    figure and the parts it must be the sum of.

    `lookback` is how far before its slot a series asks; `settle_s` how long after the slot its payload is published.
    `window` is how far back an export reaches of itself. Where the quota is short, `priority` 1 (others rest on it) goes before 2
    and 3 (others tell it too); `requests_a_poll` is what a scope is reckoned to cost, in pages.
    `spellings` are other words for a scope's value that the provider may insist on. `is_optional` means that the provider
    may not have it at all. `past` are the ways to ask for a slot that the endpoint itself no longer serves; such a record
    covers slots not older than `reach`, from `floor` until `ceiling`. `redefined_at` accepts a change of its keys: payloads
    received since are compared among themselves only. `form` is what the answer is expected to look like, None where nobody
    knows: `htw probe` compares, and the values of documents must be of its kinds.
    """

    name: str
    number: int
    path: str
    cadence: Cadence
    delivery: Delivery
    dating: Dating
    description: str
    feeds: tuple[str, ...] = ()
    scoped_by: tuple[Axis, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)
    shape: Shape | None = None
    form: Form | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    epoch_aliases: Mapping[str, str] = field(default_factory=dict)
    rows_at: str | None = None
    scope_column: str | None = None
    time_column: str | None = None
    identity: tuple[str, ...] = ()
    adds_up: tuple[str, ...] = ()
    accept: str = "application/json"
    paging: Paging = Paging.NONE
    page_limit: int = PAGE_LIMIT
    lookback: timedelta | None = None
    window: timedelta | None = None
    settle_s: float = 0.0
    is_current_state: bool = True
    is_optional: bool = False
    priority: int = 2
    requests_a_poll: int = 1
    cap_bytes: int = 256 * MEBIBYTE
    spellings: Mapping[str, str] = field(default_factory=dict)
    link_note: LinkNote | None = None
    defines: Defines | None = None
    redefined_at: datetime | None = None
    past: tuple[Dataset, ...] = ()
    reach: timedelta | None = None
    floor: datetime | None = None
    ceiling: datetime | None = None
    quirks: str = ""

    @property
    def is_per_coin(self) -> bool:
        return Axis.COIN in self.scoped_by

    @property
    def suffix(self) -> str:
        """The kind of text inside the payload, as a file name ends."""
        return ".csv" if self.accept == "text/csv" else ".json"

    def scopes(self, coins: Sequence[str]) -> list[str]:
        """Every scope, given the coins that are wanted."""
        values = [coins if axis is Axis.COIN else AXIS_VALUES[axis] for axis in self.scoped_by]
        return [" ".join(parts) for parts in product(*values)]

    @property
    def unit_axis(self) -> Axis | None:
        """The axis by which a dataset may be polled in part, each value (a unit) at a pace of its own; None: whole or not."""
        return self.scoped_by[-1] if self.scoped_by and self.scoped_by[-1] in (Axis.COIN, Axis.AGE) else None

    @property
    def scope_prefixes(self) -> list[str]:
        """What goes before a unit in each of its scopes: a scope is a prefix and a unit (`''` without such an axis)."""
        if self.unit_axis is None:
            return self.scopes([])
        return ["".join(f"{value} " for value in values) for values in product(*(AXIS_VALUES[a] for a in self.scoped_by[:-1]))]

    def units(self, coins: Sequence[str]) -> list[str]:
        """What may be polled at a pace of its own, given the coins that are wanted."""
        return [""] if self.unit_axis is None else list(coins if self.is_per_coin else AXIS_VALUES[self.unit_axis])

    def parts(self, scope: str) -> dict[str, str]:
        """A scope's value on each axis: `{"cohort": "3", "coin": "xyz:GOLD"}` for `3 xyz:GOLD`."""
        values = scope.split(" ", len(self.scoped_by) - 1) if self.scoped_by else []
        return {axis.value: value for axis, value in zip(self.scoped_by, values, strict=True)}

    def url_paths(self, scope: str, slot: datetime) -> list[str]:
        """The path for one scope, and the same in the other spelling where there is one. Values are percent-encoded as one
        segment, otherwise unchanged."""
        parts = self.parts(scope)
        respelled = {axis: self.spellings.get(value, value) for axis, value in parts.items()}
        spellings = [parts] if respelled == parts else [parts, respelled]
        return [self._filled(self.path, words, slot) for words in spellings]

    def params(self, scope: str, slot: datetime) -> dict[str, str]:
        """Query parameters of the first request for a slot (UTC)."""
        values = {} if self.paging is Paging.NONE else {"limit": str(self.page_limit)}
        if self.lookback is not None:
            values |= {"start": iso_utc(slot - self.lookback)}
        words = {**self.parts(scope), "slot": iso_utc(slot)}
        return values | {name: template.format(**words) for name, template in self.query.items()}

    @property
    def ending_at_slot(self) -> Dataset:
        """The same for a series asked about the past: no further than the slot, so that its cost is known."""
        return self if self.lookback is None else replace(self, query={**self.query, "end": "{slot}"})

    def past_source(self, slot: datetime, now: datetime) -> Dataset | None:
        """The way to still ask for a slot that is over, or None."""
        return next((source for source in self.past if source.covers(slot, now)), None)

    @property
    def reaches_back(self) -> timedelta | None:
        """How much of the past before its slot one answer holds; `ALL_OF_IT` without a limit, None for one state only."""
        return (self.lookback or self.window or ALL_OF_IT) if self.dating is Dating.SERIES else None

    def recoverable_until(self, slot: datetime) -> datetime | None:
        """How long a missed slot can be asked for (UTC, may be over); `NO_KNOWN_END` where nothing says, None where it is lost.

        An export with a window heals by any later answer that still reaches back to the slot before.
        """
        if self.window is not None:
            return slot - self.cadence.step + self.window
        if self.reaches_back is not None:
            return NO_KNOWN_END if self.floor is None or slot >= self.floor else None
        ends = [slot + source.reach if source.reach else NO_KNOWN_END for source in self.past if source.is_served(slot)]
        return max(ends, default=None)

    def covers(self, slot: datetime, now: datetime) -> bool:
        """Whether the provider still serves a slot, by this record's reach, floor and ceiling."""
        return self.is_served(slot) and (self.reach is None or slot > now - self.reach)

    def is_served(self, slot: datetime) -> bool:
        """Whether the provider ever serves a slot, by this record's floor and ceiling."""
        return (self.floor is None or slot >= self.floor) and (self.ceiling is None or slot < self.ceiling)

    @staticmethod
    def _filled(path: str, parts: Mapping[str, str], slot: datetime) -> str:
        words = {axis: _segment(value) for axis, value in parts.items()}
        return path.format(**words, slot=quote(iso_utc(slot), safe=""))


def _segment(value: str) -> str:
    """A value as one segment of a path; `.` and `..` would be taken for steps through it."""
    return value.replace(".", "%2E") if value in (".", "..") else quote(value, safe="")


def iso_utc(moment: datetime) -> str:
    """`2026-02-25T00:00:00.000Z`, the only form the API takes."""
    moment = moment.astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
