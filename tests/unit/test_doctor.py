"""What `htw doctor` finds without a provider: the budget of requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.clock import SystemClock
from orchestration.doctor import Finding, examine
from orchestration.pipeline import Pipeline
from orchestration.planning.urgency import Urgency
from orchestration.settings import Settings, load_settings


def settings_with(data_dir: Path, plan: str) -> Settings:
    return load_settings(api_url="http://127.0.0.1:1", data_dir=data_dir, plan=plan)


def finding(settings: Settings, subject: str) -> Finding:
    return next(found for found in examine(settings, SystemClock()) if found.subject == subject)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ("1200/day", "1,199 of 1,200 requests are left today (UTC)"),
        ("9000/month", "8,999 of 9,000 requests are left this month (UTC)"),
    ],
)
def test_the_budget_says_what_is_left(tmp_path: Path, plan: str, words: str) -> None:
    settings = settings_with(tmp_path, plan)
    Pipeline(settings).budget().grant(Urgency.PERISHABLE)
    assert finding(settings, "budget") == Finding("budget", True, words)


def test_a_spent_budget_is_found_and_nothing_is_asked(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, "1/day")
    Pipeline(settings).budget().grant(Urgency.PERISHABLE)
    found = finding(settings, "budget")
    assert not found.is_well
    assert "0 of 1 requests are left today (UTC); none is sent until" in found.says
    assert "are spent" in finding(settings, "token and API").says
