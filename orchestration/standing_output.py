"""What `htw` alone prints.

Belongs here: laying out where one stands. Does not: finding it out (`standing`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from orchestration.console import out

if TYPE_CHECKING:
    from orchestration.standing import Standing


def show_standing(found: Standing) -> None:
    """The facts, then the commands that come next."""
    facts = Table.grid(padding=(0, 2))
    for topic, text in found.facts:
        facts.add_row(f"[bold]{topic}[/]", _plain(text))
    steps = Table.grid(padding=(0, 2))
    for step in found.steps:
        steps.add_row(f"  [cyan]{_plain(step.command)}[/]", _plain(step.says))
    out.print(facts)
    out.print("\n[bold]next[/]")
    out.print(steps)
    out.print("\nhtw --help lists all commands, htw COMMAND --help what each can do")


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
