"""Healing in a simulated month: what is lacking, kept up as it happens, and the project's errands for it.

Belongs here: the list of lacks, which in earnest is asked of the coverage each time, and would take minutes a virtual hour. Does
not: what is recoverable, the order, what is affordable (`filling`, `planning.errands`); whether the list was right is seen at
the end, when the coverage is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from orchestration.filling import cost_of, errands_of, recoverable
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.hypertracker.endpoint import Dataset
from orchestration.planning.errands import Errand, Lack, within
from orchestration.planning.slots import slot_at
from orchestration.simulation.chronicle import Entry


class Missing:
    """Slots that were due and have not arrived. `row_counts` tells what the newest payload of a (dataset, scope) held."""

    def __init__(self, row_counts: Mapping[tuple[str, str], int]) -> None:
        self._row_counts = dict(row_counts)
        self._open: dict[tuple[str, datetime], dict[str, None]] = {}
        self._lacks: dict[str, dict[tuple[str, datetime], Lack]] = {}

    def expect(self, dataset: Dataset, scopes: Sequence[str], slot: datetime) -> None:
        """These are due now."""
        if scopes:
            self._open[dataset.name, slot] = dict.fromkeys(scopes)

    def close(self, dataset: Dataset, slot: datetime, now: datetime) -> None:
        """The slot is over: what nobody asked for is lacking."""
        for scope in self._open.pop((dataset.name, slot), ()):
            self._lack(dataset, scope, slot, now)

    def note(self, entry: Entry) -> None:
        """A fetch ended."""
        if waiting := self._open.get((entry.dataset, entry.slot)):
            for scope in entry.scopes:
                waiting.pop(scope, None)
        dataset = BY_NAME[entry.dataset]
        if entry.verdict.arrived:
            self._arrived(dataset, entry)
            return
        for scope in entry.scopes:
            self._lack(dataset, scope, entry.slot, entry.finished_at, is_tried=True)

    def errands(self, now: datetime, requests: int | None) -> list[Errand]:
        """What healing asks now, with so many requests to spend; None without a limit."""
        if requests == 0:
            return []
        self._forget_expired(now)
        lacks = [lack for held in self._lacks.values() for lack in held.values() if lack.is_worth_trying(now)]
        errands = errands_of(lacks, now)
        return errands if requests is None else within(errands, requests)

    def cost(self, dataset: Dataset, scope: str, slot: datetime, now: datetime) -> int:
        return cost_of(dataset, scope, slot, now, self._row_counts)

    def _lack(self, dataset: Dataset, scope: str, slot: datetime, now: datetime, is_tried: bool = False) -> None:
        held = self._lacks.setdefault(dataset.name, {})
        lack = held.get((scope, slot))
        if lack is None:
            until = recoverable(dataset, slot, now) if is_tried else dataset.recoverable_until(slot)
            if until is None or until <= now:
                return
            lack = Lack(dataset.name, scope, slot, until, self.cost(dataset, scope, slot, now))
        held[scope, slot] = replace(lack, attempts=lack.attempts + 1, tried_at=now) if is_tried else lack

    def _arrived(self, dataset: Dataset, entry: Entry) -> None:
        """Its slot is there, and of a series those before it as far as the answer reaches."""
        held = self._lacks.get(dataset.name)
        if not held:
            return
        scopes, reach, step = set(entry.scopes), dataset.reaches_back, dataset.cadence.step
        for scope, slot in [*held]:
            is_covered = reach is not None and slot < entry.slot and entry.slot - reach <= slot - step
            if scope in scopes and (slot == entry.slot or is_covered):
                del held[scope, slot]

    def _forget_expired(self, now: datetime) -> None:
        for name, held in self._lacks.items():
            self._lacks[name] = {key: lack for key, lack in held.items() if lack.expires_at > now}


def is_over(dataset: Dataset, slot: datetime, now: datetime) -> bool:
    return slot < slot_at(dataset.cadence, now)
