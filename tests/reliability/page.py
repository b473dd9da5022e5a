"""docs/reliability.md, made from the register and from the marks of the tests: `python -m tests.reliability.page` writes it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability.proofs import Proof, Proofs
from tests.reliability.register import GROUPS, PROMISES, UNTESTED

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
HEAD = """# What it survives

Made by `python -m tests.reliability.page` from the tests; a test fails when it is out of date. Words in “quotes” are the
program's own, and the tests look for them in what it said.

## Promises
"""
ORACLES = """
## What is checked

After a fault, until all is quiet again:

- every fact is the same, row for row, as in a run without the fault;
- every slot that was due has one verdict, and what is `loaded` verifies against its sha256 in the vault;
- who reads the published copy meanwhile sees whole snapshots, never an empty table, never an error;
- the provider counts as many requests as the project does, and never more than the plan has;
- no token, header or signed link is anywhere in logs, errors, files and tables;
- one message names the cause and the command that mends it.
"""


def page(proofs: Proofs) -> str:
    """The page by the proofs of all tests."""
    promises = [f"{number}. {promise}" for number, promise in enumerate(PROMISES, 1)]
    return "\n".join([HEAD, *promises, ORACLES, *sections(proofs)])


def collected() -> Proofs:
    """The proofs of every test there is, also of the slow ones. Once a process: pytest imports its tests only once."""
    proofs, silence = Proofs(), io.StringIO()
    arguments = ["--collect-only", "-p", "no:cacheprovider", "-m", "", str(Path(__file__).parents[1])]
    with contextlib.redirect_stdout(silence):
        code = pytest.main(arguments, plugins=[proofs])
    if code != pytest.ExitCode.OK:
        raise RuntimeError(f"the tests cannot be collected:\n{silence.getvalue()[-2000:]}")
    return proofs


def sections(proofs: Proofs) -> Iterator[str]:
    for group, faults in GROUPS.items():
        yield from (f"## {group}", "", "| fault | what the user sees | proved by |", "|---|---|---|")
        for fault, words in faults.items():
            yield row(words, proofs.of(fault), UNTESTED.get(fault, ""))
        yield ""


def row(words: str, proofs: list[Proof], untested: str) -> str:
    sees = dict.fromkeys(proof.sees for proof in proofs)
    tests = dict.fromkeys(f"`{proof.test.removeprefix('tests/')}`{place(proof)}" for proof in proofs)
    cells = (words, "; ".join(sees) or "", "<br>".join(tests) or f"not tested: {untested}")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def place(proof: Proof) -> str:
    return "" if proof.tier == "make test" else f" (`{proof.tier}`)"


if __name__ == "__main__":
    PAGE.write_text(page(collected()), encoding="utf-8")
