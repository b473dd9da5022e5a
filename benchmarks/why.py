"""What profiles showed of the lines that were missed, and what would be tried next: said on the page while a line is missed.

Belongs here: words by the number of the line. Does not: figures of a run (`report`).
"""

from __future__ import annotations

WHY = {
    2: """
        Every value is read as text, checked and cast, so that none is lost or rounded in silence; the peer only counts lines.
        Next: read doubles as such, and check in text only what that refuses.
    """,
    6: """
        Of 7.5 s (the peer: 3.0 s) 1.9 s are eight fsyncs a coin (its body, its record when it is received and again when the
        state after it is known), 1.2 s zstd, 0.9 s two entries a request in the ledger of requests, 0.5 s the quota plan.
        Waiting for disks in threads was tried and gains nothing: nearly all of it is processor time. Next: one record for a
        chunk of coins.
    """,
    9: """
        A version of the published file is a copy of the one before with what changed, and the file has all days of all facts but
        the two largest: its bytes grow with the history. Next: months that are over in files of their own, which versions share
        and attach.
    """,
    10: """
        Three quarters are figures that differ in every row (value, profit, funding, progress). zstd at level 9 gives 3 %, keys
        instead of names and addresses less than a byte. Next: what follows from size and price as a view.
    """,
    15: """
        Of 30 s under the profiler 17 s are landing: 14 statements and two transactions a payload, 68 ms each, however few rows it
        has. Polling takes 10 s, of which zstd 2 s and fsync 1 s; opening the file 3 s. The provider's limit of requests a minute
        makes the same backfill take longer than that. Next: land a batch of payloads of one dataset by one statement.
    """,
    16: """
        What a tick changed is told by its sequence, brought up and checkpointed beside a copy that is made before the writer
        waits. Next: what is sorted anew once a day made from the published file too, so that the writer never waits for it.
    """,
}
