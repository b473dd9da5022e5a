"""Asking again: after which errors, when, and how often.

Belongs here: the rule, and stamina, which keeps it. Does not: what errors mean (`errors`, `answers`), what is asked
(`client`).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, Callable

import stamina
from stamina.instrumentation import RetryDetails

from orchestration.hypertracker.errors import RateLimitedError, TransientError
from orchestration.hypertracker.tally import MOST_FRESH_LINKS, Bounds, Tally

LOGGER = logging.getLogger("hypertracker")
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 20.0


def attempts(bounds: Bounds, tally: Tally) -> AsyncIterable[stamina.Attempt]:
    """One attempt after the other, each to be entered, until one succeeds; the last error is raised."""
    return stamina.retry_context(
        on=_retry_rule(tally, bounds.unsaid_wait_s),
        attempts=bounds.attempts,
        timeout=bounds.retry_span_s,
        wait_initial=FIRST_WAIT_S,
        wait_max=LONGEST_WAIT_S,
    )


def log_retries() -> None:
    """Say of each retry why it is made; may be called twice."""
    stamina.instrumentation.set_on_retry_hooks([_note_retry])


def _retry_rule(tally: Tally, unsaid_wait_s: float) -> Callable[[Exception], bool | float]:
    """Which errors are tried again, and after how many seconds where it is a matter of the rate."""

    def rule(error: Exception) -> bool | float:
        if not isinstance(error, TransientError) or tally.stale_links > MOST_FRESH_LINKS:
            return False
        return (error.wait_s or unsaid_wait_s) if isinstance(error, RateLimitedError) else True

    return rule


def _note_retry(details: RetryDetails) -> None:
    """Retries are logged for those who look; our errors hold no address and no token."""
    LOGGER.info("asking again in %.1f s, attempt %d: %s", details.wait_for, details.retry_num + 1, details.caused_by)
