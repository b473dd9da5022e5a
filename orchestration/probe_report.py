"""What a probe found, as values and in words.

Belongs here: the report and its lines. Does not: finding anything (`probe`, `hypertracker.expectations`), printing
(`probe_command`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from orchestration.hypertracker.datasets import SOURCES
from orchestration.hypertracker.expectations import Difference
from orchestration.probe_errand import counted
from warehouse.ledger import Verdict


@dataclass(frozen=True)
class Asked:
    """One ask and how it ended; `verdict` is what the pipeline would make of the answer."""

    dataset: str
    scope: str
    requests: int
    verdict: Verdict
    reason: str = ""
    delivery: str = ""
    content_type: str = ""
    byte_count: int = 0


@dataclass
class Report:
    """What a probe found. `failures` are asks that said nothing about the provider's forms: no connection, no quota."""

    asked: list[Asked] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    samples: Path | None = None

    @property
    def requests(self) -> int:
        return sum(asked.requests for asked in self.asked)

    def as_json(self) -> dict[str, Any]:
        """The same for scripts."""
        samples = str(self.samples) if self.samples else None
        return {**asdict(self), "requests": self.requests, "samples": samples}


def report_lines(report: Report) -> Iterator[str]:
    """The report in words."""
    verdicts = {(asked.dataset, asked.scope): asked for asked in report.asked}
    for difference in report.differences:
        scopes = ", ".join(filter(None, difference.scopes))
        yield f"{difference.dataset}{f' ({scopes})' if scopes else ''}: {difference.aspect}"
        yield f"  expected  {difference.expected}"
        yield f"  came      {difference.came}"
        yield f"  change    {difference.change}"
        yield f"  loading   {_loading([verdicts[difference.dataset, scope] for scope in difference.scopes])}"
    yield from report.failures
    unknown = sorted({asked.dataset for asked in report.asked if _is_unknown(asked)})
    if unknown:
        yield f"not compared, because nothing is known of its form: {', '.join(unknown)}; see the sample"
    yield (
        f"{counted(report.requests, 'request')} spent, {counted(len(report.asked), 'ask')} made, "
        f"{counted(len(report.differences), 'difference')}, {counted(len(report.failures), 'failure')}"
        + (f"; samples in {report.samples}" if report.samples else "")
    )


def _loading(asked: Sequence[Asked]) -> str:
    if all(one.verdict.arrived for one in asked):
        return "loads all the same"
    return "; ".join(dict.fromkeys(f"{one.verdict.value}, {one.reason}" for one in asked if not one.verdict.arrived))


def _is_unknown(asked: Asked) -> bool:
    return SOURCES[asked.dataset].form is None and asked.verdict.arrived
