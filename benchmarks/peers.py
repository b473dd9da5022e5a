"""Peers that the project does not depend on: dlt, in an environment of its own below `.venv`.

Belongs here: making that environment and asking it. Does not: what dlt is asked to do (`dlt_peer`). Nothing of it is in
requirements.lock, because nobody but this comparison needs it. Where it cannot be installed, that is said.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.measuring import REPOSITORY

ENVIRONMENT = REPOSITORY / ".venv" / "bench"
PACKAGES = ("dlt[duckdb]==1.31.0", "pyarrow==26.0.1", f"duckdb=={duckdb.__version__}")
SCRIPT = Path(__file__).parent / "dlt_peer.py"


def dlt_seconds(file: Path, rows: int, runs: int) -> dict[str, Any]:
    """Seconds of each run by way, `dicts` and `arrow`, and dlt's version; or `why_not`."""
    try:
        python = _installed()
        command = [str(python), str(SCRIPT), str(file), str(rows), str(runs)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        words = str(getattr(error, "stderr", "") or error).strip().splitlines()
        return {"why_not": f"dlt could not be installed or run ({words[-1] if words else error})"}
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    return answer


def _installed() -> Path:
    python, ready = ENVIRONMENT / "bin" / "python", ENVIRONMENT / ".ready"
    if ready.exists() and ready.read_text() == "\n".join(PACKAGES):
        return python
    for command in (
        [sys.executable, "-m", "venv", str(ENVIRONMENT)],
        [str(python), "-m", "pip", "install", "--quiet", *PACKAGES],
    ):
        subprocess.run(command, check=True, capture_output=True, text=True)
    ready.write_text("\n".join(PACKAGES))
    return python
