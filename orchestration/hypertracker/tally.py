"""What a fetch may take, and what it has taken so far.

Belongs here: both as values. Does not: holding a fetch to its bounds (`transport`, `retries`), the provider's quota (`turns`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestration.hypertracker.endpoint import Delivery

# Downloads of one fetch that may come to nothing before it is given up.
MOST_FRESH_LINKS = 2


@dataclass(frozen=True)
class Bounds:
    """How long and how often a fetch may try; seconds. `deadline_s` holds for a whole fetch, with its retries and pages.

    `unsaid_wait_s` is the wait after a 429 that names none: the provider counts by the minute.
    """

    connect_s: float = 10.0
    read_s: float = 30.0
    deadline_s: float = 300.0
    attempts: int = 5
    retry_span_s: float = 180.0
    unsaid_wait_s: float = 15.0


@dataclass
class Tally:
    """What a fetch has cost so far, also when it fails, and what the answer said beside its link.

    `stale_links` counts the downloads that came to nothing: links that were refused or broke off, and doubtful bodies.
    `doubt` says why the body kept last cannot be data; `kept_bytes` is what the bodies kept so far inflate to.
    `path` is what was asked last, `delivery` and `content_type` how its body was handed over and what it was called.
    """

    requests: int = 0
    stale_links: int = 0
    doubt: str = ""
    kept_bytes: int = 0
    path: str = ""
    delivery: Delivery | None = None
    content_type: str = ""
    notes: dict[str, str] = field(default_factory=dict)
