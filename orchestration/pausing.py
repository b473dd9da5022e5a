"""What is left alone for a while, because the provider refused it for what it is and not for when it was asked.

Belongs here: which (source, scope)s are paused after a 400 or a 403, and until when, by the ledger. Does not: the refusals
themselves (`hypertracker.errors`), leaving out what is paused (`collecting`).

Asking again does not help, and each try costs a request; but nobody says when it is mended, and most of it is perishable: so
every refusal without another answer in between doubles the pause. Who names a dataset (`htw poll DATASET`) asks all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import duckdb

from orchestration.hypertracker.errors import BadRequestError, ForbiddenError, HyperTrackerError
from warehouse.ledger import Refusals, refusals

# A little less than an hour and a day, so that the slot after so long is asked for.
FIRST_PAUSE = timedelta(minutes=55)
LONGEST_PAUSE = timedelta(hours=23)
LOOKED_BACK = timedelta(days=3)
PAUSING = (BadRequestError, ForbiddenError)


@dataclass(frozen=True)
class Pause:
    """Nothing is asked before `until` (UTC); `reason` is the provider's refusal, in our words and theirs."""

    until: datetime
    reason: str
    mend: str

    def mend_of(self, dataset: str) -> str:
        return f"{self.mend}; asked again from {self.until:%Y-%m-%d %H:%M} UTC, or at once by `htw poll {dataset}`"


Pauses = dict[tuple[str, str], Pause]


def pauses(connection: duckdb.DuckDBPyConnection, now: datetime) -> Pauses:
    """What is paused at an instant (UTC), by the name of the registry record that is asked, and the scope."""
    found = refusals(connection, now - LOOKED_BACK, [kind.says for kind in PAUSING])
    made = {(refused.source, refused.scope): _pause(refused) for refused in found}
    return {key: pause for key, pause in made.items() if pause.until > now}


def pause_after(error: HyperTrackerError, now: datetime) -> Pause | None:
    """The pause that begins with an error; None for what does not begin any."""
    return Pause(now + FIRST_PAUSE, str(error), error.mend) if isinstance(error, PAUSING) else None


def _pause(refused: Refusals) -> Pause:
    length = min(FIRST_PAUSE * 2 ** min(refused.count - 1, LONGEST_PAUSE // FIRST_PAUSE), LONGEST_PAUSE)
    return Pause(refused.last_at.replace(tzinfo=UTC) + length, refused.reason, _mend_of(refused.reason, PAUSING))


def _mend_of(reason: str, kinds: Iterable[type[BadRequestError | ForbiddenError]]) -> str:
    return next((kind.mend for kind in kinds if reason.startswith(kind.says)), "")
