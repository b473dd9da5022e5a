"""How far raw rows have come that go through a shared lake, in one sentence.

Belongs here: looking at the lake's notes and those of the working file. Does not: sending and taking (`warehouse.lake_sending`,
`warehouse.lake_taking`), who looks (`doctor`).
"""

from __future__ import annotations

import duckdb

from orchestration.alerting.wording import counted
from orchestration.division import Landing
from orchestration.settings import Settings
from warehouse.connection import open_reader
from warehouse.lake import attached
from warehouse.lake_locks import is_made
from warehouse.lake_raw import SentUpTo, landing_of, senders
from warehouse.lake_taking import taken_up_to
from warehouse.publisher import known_publisher

LOCK_WAIT_S = 2.0


def landing_words(settings: Settings) -> str:
    """What a machine has sent, or taken, and what waits. Raises `WarehouseError` where lake or working file cannot be read."""
    if not settings.warehouse_file.exists():
        return (
            "none yet: `htw model` takes what others sent" if settings.landing is Landing.TAKE else "none yet: nothing was polled"
        )
    sent = _sent(settings)
    return _of_sender(settings, sent) if settings.landing is Landing.SEND else _of_taker(settings, sent)


def _sent(settings: Settings) -> dict[str, SentUpTo]:
    """How far each publisher has sent."""
    if not is_made(settings.lake):
        return {}
    with duckdb.connect() as connection, attached(connection, settings.lake, read_only=True):
        return {publisher: landing_of(connection, publisher) for publisher in senders(connection)}


def _of_sender(settings: Settings, sent: dict[str, SentUpTo]) -> str:
    there = sent.get(known_publisher(settings.vault_dir), SentUpTo()).payload_count
    with open_reader(settings.warehouse_file, LOCK_WAIT_S) as connection:
        row = connection.execute("select count(*) from ops.payloads").fetchone()
    waiting = max((row[0] if row else 0) - there, 0)
    return f"{counted(there, 'payload')} of this machine at the lake, {waiting:,} to be sent by its next publish"


def _of_taker(settings: Settings, sent: dict[str, SentUpTo]) -> str:
    own = known_publisher(settings.vault_dir)
    with open_reader(settings.warehouse_file, LOCK_WAIT_S) as connection:
        taken = taken_up_to(connection)
    others = {publisher: landing.sent_seq for publisher, landing in sent.items() if publisher != own}
    behind = [publisher for publisher, sent_seq in others.items() if taken.get(publisher, 0) < sent_seq]
    waiting = f"those of {', '.join(sorted(behind))} wait for the next build" if behind else "all are taken"
    return f"raw rows of {counted(len(others), 'other machine')} at the lake; {waiting}"
