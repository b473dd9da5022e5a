"""What profiles showed of the lines that were missed, and what would be tried next: said on the page while a line is missed.

Belongs here: words by the number of the line. Does not: figures of a run (`report`).
"""

from __future__ import annotations

WHY = {
    2: """
        About 10 µs a row at any size, as for 31,000. DuckDB's own `create table as` of the same file into a new file took 1.8 to
        2.0 s beside our 2.3 s: most of it is compressing and storing ids and figures, which counting lines does not do. Every
        value is read as text and checked, so that none is lost or rounded in silence: reading doubles as such instead gained
        0.1 to 0.2 s. Next: nothing that would reach the limit without storing less.
    """,
    3: """
        dlt's arrow path takes whatever DuckDB's reader makes of a value; ours checks each and keeps the file's rows in order
        under a number. Both spend most of their time storing (line 2).
    """,
    4: """
        DuckDB reads a list of JSON objects in one thread: 1.8 s to take every value as text, 3.7 s checked and stored, of which
        storing at the commit is a third. Next: rows that came before passed over by their hash, where 95 % of orders carry over.
    """,
    6: """
        Of 7.5 s (the peer: 3.0 s) 1.9 s are eight fsyncs a coin (its body, its record when it is received and again when the
        state after it is known), 1.2 s zstd, 0.9 s two entries a request in the ledger of requests, 0.5 s the quota plan.
        Waiting for disks in threads was tried and gains nothing: nearly all of it is processor time. Next: one record for a
        chunk of coins.
    """,
    9: """
        A version of the published file is a copy of the one before with what changed, and the file has all days of all facts but
        the two largest: its bytes grow with the history. Of the time, 3.7 s are fct_reconciliations and 1.2 s
        fct_cohort_summary, which look for what belongs to a tick in all there is. Next: both narrowed to the days of the tick;
        months that are over in files of their own, which versions share and attach.
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
        waits; most of the wait is storing the 210,000 positions that a tick brings. Once a day a version is sorted anew, while
        the writer waits as long as the history took to publish. Next: that made from the published file too.
    """,
    17: """
        A publish is some 80 statements whatever it writes: attaching and committing take 0.1 s, finding what differs in nine
        tables as much, and rows are written sorted, with zstd and statistics, where the peer only copies them. Files of other
        slots are passed over by their times; what still grows is DuckLake's own reading of its catalog, by the number of files,
        which the daily upkeep merges: here 300 publishes, three days of ticks, ran without it. Next: upkeep by the number of
        files too, and one statement for all tables that have no late slot.
    """,
}
