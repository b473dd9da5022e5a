"""Where bodies go while they arrive: the store that the client is given, and looking at what is stored.

Belongs here: the protocol between client and store. Does not: a store itself (the vault), what makes a body doubtful
(`inspection`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from orchestration.hypertracker.inspection import BodyWatch

PartT = TypeVar("PartT", covariant=True)
StoredT = TypeVar("StoredT")


class Body(Protocol[PartT]):
    """One body being written; `finish` makes it durable and gives the stored part."""

    def write(self, chunk: bytes) -> None: ...
    def finish(self) -> PartT: ...


class BodyStore(Protocol[StoredT]):
    """Where bodies go."""

    def new_body(self) -> contextlib.AbstractContextManager[Body[StoredT]]: ...
    def read(self, part: StoredT) -> bytes: ...

    def begun(self) -> Sequence[StoredT]:
        """The first pages of the same payload, where an earlier attempt was cut off between pages."""
        ...

    def note(self, parts: Sequence[StoredT]) -> None:
        """Remember the first pages; none to forget them."""
        ...


@dataclass(frozen=True)
class WatchedBody:
    """A body that is looked at while it is stored."""

    target: Body[object]
    watch: BodyWatch

    def write(self, chunk: bytes) -> None:
        self.watch.see(chunk)
        self.target.write(chunk)
