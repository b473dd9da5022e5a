"""Findings as the page RESULTS.md.

Belongs here: words and tables. Does not: figures.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from benchmarks.lines import Line
from benchmarks.measuring import Check, Finding, Size
from benchmarks.why import WHY

PACKAGES = ("duckdb", "dbt-core", "dbt-duckdb", "dagster", "httpx", "pandas")
QUICK_WORDS = "**Of the quick size, which only shows that the harness runs: no figure here counts.**"
MET, MISSED, NOT_TAKEN = "met", "**missed**", "not taken"
DIGITS = {"x": 2, "s": 1, "MiB": 0, "B": 1, "%": 1, "ms": 1, "errors": 0, "ticks a minute": 1}


def page(
    findings: Mapping[Line, Finding | Exception], size: Size, took: Mapping[Line, float], year: Sequence[str], command: str
) -> str:
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return "\n".join([
        "# Measured", "",
        f"By `{command}` on {os.cpu_count()} cores ({platform.machine()}) and {memory:.0f} GiB, "
        f"Python {platform.python_version()}, {versions}; {sum(took.values()) / 60:.0f} minutes. "
        f"The load of the machine was {_load()} at the end.",
        "Times of different moments on a shared machine say little: figures are ratios within one run, which takes turns at who "
        "goes first, and medians of the runs.", "",
        *([] if size.name == "full" else [QUICK_WORDS, ""]),
        "| # | what | against | must reach | measured | |", "|---|---|---|---|---|---|",
        *(_row(line, finding) for line, finding in findings.items()), "",
        "## Stages and figures", "",
        *(text for line, finding in findings.items() for text in _section(line, finding, took[line])),
        *(["## A year of ten coins", "", *year, ""] if year else []),
    ])  # fmt: skip


def _load() -> str:
    return " ".join(f"{load:.1f}" for load in os.getloadavg())


def _row(line: Line, finding: Finding | Exception) -> str:
    if isinstance(finding, Exception):
        return f"| {line.number} | {line.what} | {line.against} | {line.must} | {_words(finding)} | {NOT_TAKEN} |"
    bounded = [check for check in finding.checks if check.is_bounded]
    worst = bounded if len(bounded) <= 4 else sorted(bounded, key=lambda check: check.value or 0.0)[-1:]
    figures = "; ".join(_figure(check) for check in worst or finding.checks)
    return f"| {line.number} | {line.what} | {line.against} | {line.must} | {figures} | {_verdict(bounded or finding.checks)} |"


def _verdict(checks: Sequence[Check]) -> str:
    if any(check.value is None for check in checks):
        return NOT_TAKEN
    if not any(check.is_bounded for check in checks):
        return ""
    return MET if all(check.is_met for check in checks) else MISSED


def _section(line: Line, finding: Finding | Exception, took: float) -> list[str]:
    title = f"### {line.number}. {line.what}"
    if isinstance(finding, Exception):
        return [title, "", f"It ended with: {_words(finding)}", ""]
    figures = [f"- {check.what}: {_figure(check, False)}" + _after_comma(_verdict([check])) for check in finding.checks]
    missed = any(check.value is not None and not check.is_met for check in finding.checks)
    why = [f"- why: {' '.join(WHY[line.number].split())}"] if missed and line.number in WHY else []
    notes = [f"- {note}" if not note.startswith(" ") else f"  - {note.strip()}" for note in finding.notes]
    return [title, "", *figures, *notes, *why, f"- measured in {took:.0f} s", ""]


def _after_comma(word: str) -> str:
    return f", {word}" if word else ""


def _figure(check: Check, with_what: bool = True) -> str:
    if check.value is None:
        return check.why_not or "not taken"
    unit = check.unit if check.unit == "x" else f" {check.unit}"
    figure = f"{check.value:,.{DIGITS[check.unit]}f}{unit}"
    return f"{figure} ({check.what})" if with_what else figure


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".replace("|", "\\|")
