"""The lake's upkeep: small files merged, what was taken away forgotten after a while, what belongs to nothing removed.

Belongs here: DuckLake's own maintenance, with ages at which it is safe. Does not: publishing (`lake_publish`).

Every removal has an age: DuckLake would otherwise remove the files of a transaction that is still open, accept its commit, and
leave a table that cannot be read. The longest transactions here are a whole publish and a query of somebody, far below a day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from warehouse.lake import NAME, Lake, LakeError, attached, lake_lock

REMOVED_AFTER_DAYS = 2
# A file is written again once a twentieth of its rows are gone.
REWRITE_THRESHOLD = 0.05
STEPS = (
    f"call ducklake_flush_inlined_data('{NAME}')",
    f"call ducklake_rewrite_data_files('{NAME}', delete_threshold => {REWRITE_THRESHOLD})",
    f"call ducklake_merge_adjacent_files('{NAME}')",
    f"call ducklake_expire_snapshots('{NAME}', older_than => now() - interval '{{history_days}} days')",
    f"call ducklake_cleanup_old_files('{NAME}', older_than => now() - interval '{REMOVED_AFTER_DAYS} days')",
    f"call ducklake_delete_orphaned_files('{NAME}', older_than => now() - interval '{REMOVED_AFTER_DAYS} days')",
)
SIZES = f"""
    select table_name, file_count, file_size_bytes + coalesce(delete_file_size_bytes, 0)
    from ducklake_table_info('{NAME}')
    order by table_name
"""


@dataclass(frozen=True)
class LakeState:
    """What the lake holds now: files and bytes by table; how many states of it can still be asked for, since when."""

    files: Mapping[str, int]
    bytes: Mapping[str, int]
    snapshot_count: int
    oldest_snapshot_at: str
    newest_snapshot_at: str
    newest_message: str

    @property
    def file_count(self) -> int:
        return sum(self.files.values())

    @property
    def byte_count(self) -> int:
        return sum(self.bytes.values())


def maintain(lake: Lake, history_days: int) -> tuple[LakeState, LakeState]:
    """Merge, rewrite, expire and remove; the lake before and after. May be run at any time, beside readers.

    States older than `history_days` can no longer be asked for; nothing that is published now is lost. Raises `LakeError`.
    """
    with _connected(lake) as connection:
        before = _state(connection, lake)
        for step in STEPS:
            # Let a publish that waits go in between.
            with lake_lock(lake), attached(connection, lake):
                connection.execute(step.format(history_days=history_days))
        return before, _state(connection, lake)


def state_of(lake: Lake) -> LakeState:
    """What the lake holds now. Raises `LakeError`."""
    with _connected(lake) as connection:
        return _state(connection, lake)


def _state(connection: duckdb.DuckDBPyConnection, lake: Lake) -> LakeState:
    with attached(connection, lake, read_only=True):
        sizes = connection.execute(SIZES).fetchall()
        found = connection.execute(
            "select count(*), min(snapshot_time)::varchar, max(snapshot_time)::varchar, arg_max(commit_message, snapshot_id) "
            f"from ducklake_snapshots('{NAME}')"
        ).fetchone()
    count, oldest, newest, message = found or (0, "", "", "")
    files, sizes_by_table = {row[0]: int(row[1]) for row in sizes}, {row[0]: int(row[2]) for row in sizes}
    return LakeState(files, sizes_by_table, int(count), str(oldest), str(newest), str(message or ""))


def _connected(lake: Lake) -> duckdb.DuckDBPyConnection:
    if not lake.catalog.exists():
        raise LakeError(f"there is no lake at {lake.catalog} yet", "run `htw poll` (or `htw demo`)")
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    return connection
