"""How hard hypothesis tries: 25 examples, or 500 with HTW_EXAMPLES=long. CI tries the same examples at every run."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

UNHURRIED = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=bool(os.environ.get("CI")))
settings.register_profile("quick", UNHURRIED, max_examples=25)
settings.register_profile("long", UNHURRIED, max_examples=500)


def pytest_configure() -> None:
    settings.load_profile("long" if os.environ.get("HTW_EXAMPLES") == "long" else "quick")
