"""What every command shares: where it prints, its exit status, and errors in words.

Belongs here: the consoles, exit codes, options that several commands have, turning errors into one line. Does not: commands
(`cli`, the `*_command` and the `*_commands` modules).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from orchestration.settings import SettingsError

DONE, FAILED, WRONG_USAGE, SLOTS_MISSING = 0, 1, 2, 3
PIPED_WIDTH = 140

out = Console(highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH)
err = Console(stderr=True, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
InLake = Annotated[bool, typer.Option("--lake", help="The lake, which has all days of all marts, instead of the file.")]


@contextmanager
def spoken_errors() -> Iterator[None]:
    """Turn errors a person can mend into one line and an exit status."""
    from orchestration.hypertracker.errors import HyperTrackerError
    from warehouse.connection import WarehouseError
    from warehouse.disk import DISK_FULL, is_disk_full

    try:
        yield
    except typer.Exit:
        raise
    except SettingsError as error:
        complain(str(error))
        raise typer.Exit(WRONG_USAGE) from None
    except Exception as error:
        if is_disk_full(error):
            complain(DISK_FULL)
        elif isinstance(error, HyperTrackerError):
            complain(f"{error}; {error.mend}")
        elif isinstance(error, WarehouseError | OSError):
            complain(str(error))
        else:
            raise
        raise typer.Exit(FAILED) from None


def complain(text: str) -> None:
    """One line to standard error."""
    err.print(f"htw: {text}", markup=False, soft_wrap=True)
