"""A data folder that dbt has built whole, still without any rows: what measured folders begin as.

Belongs here: making it once. Does not: filling it.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from orchestration.modelling import build, raise_for_failures
from orchestration.registering import prepare
from orchestration.settings import WAREHOUSE_NAME
from warehouse.connection import open_writer


def begin(folder: Path) -> Path:
    """Put the working file into a data folder; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(_built_file(), folder / WAREHOUSE_NAME))


@cache
def _built_file() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="built-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = folder / WAREHOUSE_NAME
    with open_writer(file) as connection:
        prepare(connection)
    raise_for_failures(build(file, folder / "dbt"))
    return file
