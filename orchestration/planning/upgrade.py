"""What one quota plan has that another has not: the difference of two results for the same wishes."""

from __future__ import annotations

from dataclasses import dataclass

from orchestration.planning.quota import Choice, QuotaPlan


@dataclass(frozen=True)
class Change:
    """One dataset before and after; `fraction_added` is what more of it is covered, 0-1."""

    before: Choice
    after: Choice

    @property
    def name(self) -> str:
        return self.after.pollable.name

    @property
    def units_added(self) -> int:
        return self.after.covered_count - self.before.covered_count

    @property
    def fraction_added(self) -> float:
        return self.after.coverage_fraction - self.before.coverage_fraction


def difference(before: QuotaPlan, after: QuotaPlan) -> tuple[Change, ...]:
    """The datasets that differ, by name. Raises `ValueError` where the two are not about the same datasets."""
    pairs = zip(before.choices, after.choices, strict=True)
    changes = [Change(old, new) for old, new in pairs if old.paces != new.paces or old.uncovered != new.uncovered]
    if any(change.before.pollable != change.after.pollable for change in changes):
        raise ValueError("plans for different datasets have no difference")
    return tuple(changes)
