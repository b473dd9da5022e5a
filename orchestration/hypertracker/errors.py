"""What can go wrong between us and the provider, as a family.

    HyperTrackerError
    ├── RefusedError              the answer is final for this request; asking again does not help
    │   ├── BadRequestError       400
    │   ├── TokenError            401: the token is not accepted
    │   │   └── NotAskedError     the token was refused before; nothing was sent
    │   ├── ForbiddenError        403: the token may not read this dataset
    │   ├── QuotaSpentError       402, or the 429 that means the day or month is spent; or known before asking
    │   │   └── QuotaHeldError    what is left is kept for more urgent requests
    │   ├── SlotOverError         its slot ended before its turn came; nothing was sent
    │   ├── NotFoundError         404: the provider does not have this scope
    │   ├── UnsafeLinkError       a redirect or link outside the allowed storage hosts
    │   └── PagingError           a cursor that repeats or never ends
    ├── TransientError            asking again may help; retried within bounds
    │   ├── RateLimitedError      429 that says to wait
    │   ├── LinkExpiredError      a pre-signed link that storage no longer honours
    │   ├── DoubtfulBodyError     a body that cannot be data: nothing, a web page, broken compression
    │   ├── ServerError           5xx, or an answer no page of the contract describes
    │   └── TransportError        refused, reset, cut off, too slow
    └── TooLargeError             more bytes than any payload of this dataset can have

Every error says what the caller can do in `mend`. Messages never hold a token or a query string.
"""

from __future__ import annotations

from datetime import datetime

from orchestration.planning.windows import Unit


class HyperTrackerError(Exception):
    """Base of all errors of this package. `mend` is the command or act that helps."""

    mend = "run the same `htw poll` again"


class RefusedError(HyperTrackerError):
    """The answer is final for this request."""


class BadRequestError(RefusedError):
    """400: the request does not follow the contract. `says` begins every message."""

    says = "the request is refused with status"
    mend = "the provider changed what it accepts for this dataset: compare with its documentation"


class TokenError(RefusedError):
    """401 from the API host."""

    mend = "put a valid token into HTW_API_TOKEN (or HTW_API_TOKEN_FILE), then run `htw doctor`"


class NotAskedError(TokenError):
    """The token was refused before, and is not shown again by the same client; nothing was sent."""


class ForbiddenError(RefusedError):
    """403 from the API host, for one dataset. `says` begins every message."""

    says = "this token may not read it"
    mend = "the plan of this token does not include the dataset: leave it out of HTW_DATASETS"


class QuotaSpentError(RefusedError):
    """The plan's requests are used up until they reset.

    What the server said of it, None where it did not: `limit` and `current` are requests of the `unit`, `until` (UTC) is when
    it may be asked again.
    """

    mend = "wait until the quota resets, or lower HTW_COINS / HTW_DATASETS, or set a larger HTW_PLAN"

    def __init__(
        self, message: str, unit: Unit = "day", limit: int | None = None, current: int | None = None,
        until: datetime | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.unit, self.limit, self.current, self.until = unit, limit, current, until


class QuotaHeldError(QuotaSpentError):
    """Requests are left, but the plan needs them for what is more urgent; only less urgent ones are refused."""

    mend = (
        "nothing needs mending: it is asked for again later; a larger HTW_PLAN, or less of HTW_COINS / HTW_DATASETS, makes room"
    )


class SlotOverError(RefusedError):
    """The slot ended before its turn came: what is served now is of a later one."""

    mend = "nothing needs mending: what can still be had is healed; a larger HTW_PLAN, or less of HTW_COINS, makes room"


class NotFoundError(RefusedError):
    """404: the provider has nothing under this name."""

    mend = 'check the coin\'s exact spelling with `htw query "select coin from dim_coin"`'


class UnsafeLinkError(RefusedError):
    """A download link that leads somewhere it must not."""

    mend = "if the provider moved its storage, add the host to HTW_STORAGE_HOSTS"


class PagingError(RefusedError):
    """Pages that repeat or never end."""


class TransientError(HyperTrackerError):
    """Asking again may help."""


class RateLimitedError(TransientError):
    """429 per minute; `wait_s` is what the server asked for, None where it said nothing usable."""

    def __init__(self, message: str, wait_s: float | None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class LinkExpiredError(TransientError):
    """Storage refused a pre-signed link; a fresh one is asked for, which costs a request."""


class DoubtfulBodyError(TransientError):
    """A body that came whole and cannot be data; when it comes again it is kept, for the quarantine to show."""


class ServerError(TransientError):
    """5xx, or a status that the contract does not know."""


class TransportError(TransientError):
    """The connection failed, broke off, or took longer than allowed."""

    mend = "check the network and HTW_API_URL with `htw doctor`, then run the same `htw poll` again"


class TooLargeError(HyperTrackerError):
    """A body larger than the dataset's cap."""

    mend = "nothing was kept of it; raise the dataset's `cap_bytes` if the market really grew that much"
