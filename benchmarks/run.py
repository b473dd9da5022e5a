"""Measures the lines and writes RESULTS.md: `make bench`; the quick size shows that the harness runs: `make bench SIZE=--quick`.

Belongs here: choosing what is measured, and where the page goes. Does not: lines (`lines`), measuring, words (`report`).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.lines import LINES, Line
from benchmarks.measuring import FULL, QUICK, Finding, Size
from benchmarks.report import page
from benchmarks.storage import year_of_ten_coins

RESULTS_FILE = Path(__file__).parent / "RESULTS.md"
YEAR_LINES = {10, 11}


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every chosen line could be measured, whether it is met or not; 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="Measure, and write the page of results.")
    parser.add_argument("--quick", action="store_true", help="a small size that only shows that everything runs")
    parser.add_argument("--only", default="", help="numbers of lines, as 1,4,14")
    parser.add_argument("--output", type=Path, default=RESULTS_FILE, help="where the page goes")
    given = parser.parse_args(arguments)
    size = QUICK if given.quick else FULL
    chosen = [line for line in LINES if not given.only or str(line.number) in given.only.split(",")]
    found, took = {}, {}
    command = "make bench" + (" SIZE=--quick" if given.quick else "") + (f" (lines {given.only})" if given.only else "")
    for line in chosen:
        begun = time.monotonic()
        found[line] = _measured(line, size)
        took[line] = time.monotonic() - begun
        print(f"{line.number:>2} {took[line]:4.0f} s  {line.what}: {_brief(found[line])}", file=sys.stderr, flush=True)
        # What was measured outlives a run that is cut off.
        given.output.write_text(page(found, size, took, [], command), "utf-8")
    year = year_of_ten_coins(size) if any(line.number in YEAR_LINES for line in chosen) else []
    given.output.write_text(page(found, size, took, year, command), "utf-8")
    return 1 if any(isinstance(finding, Exception) for finding in found.values()) else 0


def _measured(line: Line, size: Size) -> Finding | Exception:
    """A line that cannot be measured costs itself only."""
    try:
        return line.measure(size)
    except Exception as error:
        return error


def _brief(finding: Finding | Exception) -> str:
    if isinstance(finding, Exception):
        return f"not taken ({finding})"
    return "; ".join(f"{check.value:.3g} {check.unit}" if check.value is not None else check.why_not for check in finding.checks)


if __name__ == "__main__":
    sys.exit(main())
