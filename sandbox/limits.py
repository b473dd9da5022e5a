"""Plans, quotas and the refusals they lead to; all windows are sandbox time, in UTC.

Choices where the contract is silent: minutes, days and months are calendar ones; a request refused for its rate does
not count towards day and month; the Free plan has no rate per minute.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.settings import SandboxSettings
from sandbox.times import MINUTE_MS
from sandbox.wire import Reply, json_reply


@dataclass(frozen=True)
class Plan:
    """Requests allowed; None is no limit."""

    name: str
    per_minute: int | None = None
    per_day: int | None = None
    per_month: int | None = None


PLANS = {
    plan.name: plan
    for plan in (
        Plan("none"),
        Plan("free", per_day=100),
        Plan("pulse", 60, None, 50_000),
        Plan("surge", 100, None, 150_000),
        Plan("flow", 200, None, 400_000),
        Plan("stream", 500, None, 2_000_000),
    )
}


def plan_of(settings: SandboxSettings) -> Plan:
    """Give the plan in force, with the settings' own figures in place of the plan's. Raises ValueError."""
    if settings.plan not in PLANS:
        raise ValueError(f"unknown plan {settings.plan!r}; one of {', '.join(PLANS)}")
    plan = PLANS[settings.plan]
    return Plan(
        plan.name,
        plan.per_minute if settings.per_minute is None else settings.per_minute,
        plan.per_day if settings.per_day is None else settings.per_day,
        plan.per_month if settings.per_month is None else settings.per_month,
    )


class Meter:
    """Counts the requests of the API leg and refuses those above the plan."""

    def __init__(self, plan: Plan) -> None:
        """Start with nothing spent."""
        self.plan = plan
        self._lock = threading.Lock()
        self._spent: dict[str, int] = {}

    def usage(self, now_ms: int) -> dict[str, Any]:
        """Give what is spent in the present minute, day and month."""
        with self._lock:
            spent = {unit: self._spent.get(key, 0) for unit, key in _windows(now_ms).items()}
        return {"plan": self.plan.name, **spent}

    def charge(self, now_ms: int) -> Reply | None:
        """Count one request, or give the refusal: quota of the month, then of the day, then rate."""
        keys = _windows(now_ms)
        with self._lock:
            spent = {unit: self._spent.get(key, 0) for unit, key in keys.items()}
            if self.plan.per_month is not None and spent["month"] >= self.plan.per_month:
                return self._refuse_month(spent["month"])
            if self.plan.per_day is not None and spent["day"] >= self.plan.per_day:
                return self._refuse_day(spent["day"], now_ms)
            if self.plan.per_minute is not None and spent["minute"] >= self.plan.per_minute:
                return self._refuse_minute(now_ms)
            for unit, key in keys.items():
                self._spent[key] = spent[unit] + 1
        return None

    def _refuse_minute(self, now_ms: int) -> Reply:
        wait_s = max(1, -(-(MINUTE_MS - now_ms % MINUTE_MS) // 1000))
        text = f"Rate limit of {self.plan.per_minute} requests per minute exceeded"
        body = {"error": "rate_limit_exceeded", "message": text, "retry_after": wait_s}
        return json_reply(body, 429, {"Retry-After": str(wait_s)})

    def _refuse_day(self, current: int, now_ms: int) -> Reply:
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        body = {
            "error": "daily_limit_exceeded",
            "message": "You have reached the daily limit of your plan",
            "limit": self.plan.per_day,
            "current": current,
            "plan": self.plan.name.upper(),
        }
        return json_reply(body, 429, {"Retry-After": str(int((midnight - now).total_seconds()) + 1)})

    def _refuse_month(self, current: int) -> Reply:
        text = "Your monthly request quota is spent"
        figures = {"limit": self.plan.per_month, "current": current, "plan": self.plan.name.upper()}
        return json_reply({"error": "quota_exceeded", "message": text, **figures}, 402)


def _windows(now_ms: int) -> dict[str, str]:
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    return {"minute": f"{now:%Y-%m-%dT%H:%M}", "day": f"{now:%Y-%m-%d}", "month": f"{now:%Y-%m}"}
