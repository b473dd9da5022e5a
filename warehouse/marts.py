"""What is published: the tables and views that readers know, as the dbt manifest describes them.

Belongs here: values. Does not: reading the manifest (`orchestration.modelling`), publishing (`publish`, `lake_publish`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from warehouse.as_of import Spans, Versions

INTERNAL_PREFIX = "_"
COLD = " This file has it from {since} on; the lake has the days before: `htw query --lake SQL`."


@dataclass(frozen=True)
class Replays:
    """A model whose new rows make those of a mart again: all of the scope, from the earliest new snapshot on."""

    model: str
    scope: str
    at: str


@dataclass(frozen=True)
class Mart:
    """One table to publish: its description, that of its columns, the columns its rows are sorted by, the versions behind it.

    `sort_by` is its key as well. A build replaces rows of a unit together; none where it makes the whole table each time. The
    lake keeps rows apart by the day of `partition_by`, and sorted by `kept_by` where that is named: the order in which they take
    least room. The file leaves out those whose `hot_by` is before the hot window (none is now). A view is published as a view,
    over published tables. What is kept `per_publisher` tells of who polls: of a key a shared lake has its row of each publisher.
    """

    name: str
    description: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    sort_by: Sequence[str] = ()
    kept_by: Sequence[str] = ()
    versions: Versions | None = None
    units: Sequence[str] = ()
    partition_by: str = ""
    hot_by: str = ""
    replays: Replays | None = None
    spans: Spans | None = None
    is_view: bool = False
    per_publisher: bool = False

    @property
    def is_fact(self) -> bool:
        return self.name.startswith("fct_")


def tables_of(marts: Sequence[Mart]) -> list[Mart]:
    return [mart for mart in marts if not mart.is_view]


def hash_of(marts: Sequence[Mart]) -> str:
    """Changes when a mart, a column or a description does."""
    return hashlib.sha256(repr(sorted(marts, key=lambda mart: mart.name)).encode()).hexdigest()[:16]
