"""The published copy as the pages see it: one version, held open for as long as somebody looks at it.

Belongs here: opening the newest version, asking it, remembering its answers, its errors in words. Does not: which questions there
are (`queries`). Each version is a file of its own that never changes, so an answer is true for as long as its version is looked
at; a version that was removed while open stays readable.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from warehouse.connection import WarehouseError
from warehouse.query import connect_published

ANSWERS_KEPT = 256
# A version can be removed between finding and opening it only when as many newer ones as are kept came in between.
ATTEMPTS = 5
NOTHING_MEND = "run `htw poll` with a token, or `htw demo` without one"
Question = Callable[..., pd.DataFrame]


class Edition:
    """One version of the published copy. Safe to share between threads; each question has a cursor of its own."""

    def __init__(self, file: Path) -> None:
        """Raises `WarehouseError` where the file is missing, damaged, or of another version of DuckDB."""
        self.file = file
        try:
            self._connection = connect_published(file)
        except duckdb.Error as error:
            raise _unreadable(file, error) from error
        # A cursor begins with the settings of the instance: where its connection looks is not among them.
        self._search_path = self._connection.sql("select current_setting('search_path')").fetchall()[0][0]
        self._remembered = lru_cache(ANSWERS_KEPT)(self._ask)
        self.published_at = self._published_at()

    def answer(self, question: Question, *given: Hashable) -> pd.DataFrame:
        """What `question(connection, *given)` gives; asked once. The frame is shared: never change it."""
        return self._remembered(question, *given)

    def _ask(self, question: Question, *given: Any) -> pd.DataFrame:
        cursor = self._connection.cursor()
        try:
            cursor.execute(f"set search_path = '{self._search_path}'")
            return question(cursor, *given)
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            raise WarehouseError(
                f"the published copy has other tables than this page expects ({_first_line(error)})",
                "it was made by another version of the project: run `htw poll`, or `htw rebuild`",
            ) from error
        except duckdb.Error as error:
            raise _unreadable(self.file, error) from error
        finally:
            cursor.close()

    def _published_at(self) -> datetime:
        frame = self._ask(_edition_row)
        return frame["published_at"].iloc[0].to_pydatetime()


def newest(stable: Path, open_edition: Callable[[str], Edition]) -> Edition:
    """The version that the stable name points to now; `open_edition` gets its real path, and may remember.

    Raises `WarehouseError` when nothing is published yet, or what is cannot be read.
    """
    for attempt in range(ATTEMPTS):
        real = stable.resolve()
        if not real.exists() and not stable.is_symlink():
            raise WarehouseError(f"nothing is published at {stable} yet", NOTHING_MEND)
        try:
            return open_edition(str(real))
        except WarehouseError:
            if stable.resolve() == real or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def _edition_row(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    return connection.sql("select published_at from edition").df()


def _unreadable(file: Path, error: Exception) -> WarehouseError:
    return WarehouseError(
        f"the published copy {file.name} cannot be read ({_first_line(error)})",
        "run `htw doctor`; the next publish (`htw poll`) makes a new one",
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
