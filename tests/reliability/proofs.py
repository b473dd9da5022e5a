"""Which test proves the survival of which fault, read off the tests themselves.

Belongs here: the marks of collected tests, and the words a test promised to see. Does not: the faults (`register`), their page.

A test says `@pytest.mark.proves("refused", sees="the slot fails: “the connection is refused”")`. What stands between “ and ” is
the project's own wording, and the test holds it against what was really said with the fixture `said`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from tests.reliability.register import FAULTS

MARK = "proves"
PLUGIN = "proofs"
QUOTED = re.compile(r"“([^”]*)”")


@dataclass(frozen=True)
class Proof:
    """One mark on one test: `test` is its file and name, `tier` the make target that runs it."""

    fault: str
    sees: str
    test: str
    tier: str


@dataclass(eq=False)  # pytest keeps its plugins in a set
class Proofs:
    """A pytest plugin: the proofs of whatever is collected, in the order of collection, one for each function and fault."""

    found: dict[tuple[str, str, str], Proof] = field(default_factory=dict)

    @pytest.hookimpl(tryfirst=True)  # before any test is deselected
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for mark in item.iter_markers(MARK):
                proof = Proof(checked(mark), mark.kwargs["sees"], item.nodeid.partition("[")[0], tier(item))
                self.found[proof.fault, proof.sees, proof.test] = proof

    def of(self, fault: str) -> list[Proof]:
        return [proof for proof in self.found.values() if proof.fault == fault]


def checked(mark: pytest.Mark) -> str:
    """The fault of a mark. Raises `UsageError` for one that is not in the register."""
    (fault,) = mark.args
    if fault not in FAULTS:
        raise pytest.UsageError(f"no fault is called {fault!r}: see tests/reliability/register.py")
    return str(fault)


def tier(item: pytest.Item) -> str:
    names = {"soak": "soak", "long": "test-long"}
    return next((f"make {target}" for mark, target in names.items() if item.get_closest_marker(mark)), "make test")


def quoted(marks: Iterable[pytest.Mark]) -> list[str]:
    """What the marks of a test quote of the project's own words."""
    return [words for mark in marks for words in QUOTED.findall(mark.kwargs["sees"])]
