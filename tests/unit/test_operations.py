"""docs/operations.md names every alert there is, and no command or setting that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from orchestration.alerting.problems import KINDS
from orchestration.cli import app
from orchestration.settings import Settings

TEXT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
COMMANDS = sorted(set(re.findall(r"(?:^|`)htw ([a-z]+(?: [a-z]+)?)", TEXT, re.MULTILINE)))
SETTINGS = sorted(set(re.findall(r"HTW_[A-Z0-9]+(?:_[A-Z0-9]+)*", TEXT)))


def test_every_alert_has_its_section() -> None:
    assert sorted(re.findall(r"^### `([a-z]+)`: ", TEXT, re.MULTILINE)) == sorted(KINDS)


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_named_is_there(words: str) -> None:
    name, _, more = words.partition(" ")
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    assert not more or not hasattr(command, "commands") or more in command.commands


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_named_is_there(name: str) -> None:
    fields = {f"HTW_{field.upper()}" for field in Settings.model_fields}
    # A family of settings, such as HTW_ALERT_*.
    assert name in fields or any(field.startswith(f"{name}_") for field in fields)
