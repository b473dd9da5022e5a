"""Every fault of the register is proved by a test, and the page says which."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.reliability.page import PAGE, page
from tests.reliability.proofs import PLUGIN, Proofs, checked
from tests.reliability.register import FAULTS, UNTESTED

REPOSITORY = Path(__file__).parents[2]
WRITE = "from tests.reliability.page import collected, page; print(page(collected()), end='')"


@pytest.fixture(scope="module")
def made(request: pytest.FixtureRequest) -> str:
    """The page of now: by the tests of this very run where it collected them all, else by a process of its own."""
    gathered = request.config.pluginmanager.get_plugin(PLUGIN)
    if gathered and request.config.args == request.config.getini("testpaths"):
        return page(gathered)
    return subprocess.run(
        [sys.executable, "-c", WRITE], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=120
    ).stdout


def test_the_page_is_up_to_date(made: str) -> None:
    assert PAGE.read_text("utf-8") == made, "run `python -m tests.reliability.page`"


def test_every_fault_is_proved_or_says_why_not(made: str) -> None:
    assert "| not tested:  |" not in made
    assert made.count("| not tested: ") == len(UNTESTED)


def test_what_is_not_tested_is_in_the_register() -> None:
    assert UNTESTED.keys() <= FAULTS.keys()


def test_a_fault_that_nobody_registered_is_refused() -> None:
    mark = pytest.mark.proves("no-such-fault", sees="").mark
    with pytest.raises(pytest.UsageError, match="no-such-fault"):
        checked(mark)
    assert Proofs().of("refused") == []
