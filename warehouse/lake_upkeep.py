"""The lake's upkeep: small files merged, what was taken away forgotten after a while, what belongs to nothing removed.

Belongs here: DuckLake's own maintenance, with ages at which it is safe. Does not: publishing (`lake_publish`).

A local lake is kept by one process at a time. In a shared one whatever writes files anew goes table by table, each under the lock
that its publishers take, and what forgets and removes is done alone.

Every removal has an age: DuckLake would otherwise remove the files of a transaction that is still open, accept its commit, and
leave a table that cannot be read. The longest transactions here are a whole publish and a query of somebody, far below a day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from warehouse.lake import NAME, Lake, LakeError, attached
from warehouse.lake_locks import is_made, lake_lock
from warehouse.lake_notes import Publication, publications
from warehouse.raw_tables import quoted

REMOVED_AFTER_DAYS = 2
# A file is written again once a twentieth of its rows are gone.
REWRITE_THRESHOLD = 0.05
# What writes files anew: of the whole lake, and of one table of it.
MERGING = (
    (
        f"call ducklake_flush_inlined_data('{NAME}')",
        f"call ducklake_flush_inlined_data('{NAME}', schema_name => $1, table_name => $2)",
    ),
    (
        f"call ducklake_rewrite_data_files('{NAME}', delete_threshold => {REWRITE_THRESHOLD})",
        f"call ducklake_rewrite_data_files('{NAME}', $2, schema => $1, delete_threshold => {REWRITE_THRESHOLD})",
    ),
    (f"call ducklake_merge_adjacent_files('{NAME}')", f"call ducklake_merge_adjacent_files('{NAME}', $2, schema => $1)"),
)
TABLES = f"select schema_name, table_name from duckdb_tables() where database_name = '{NAME}' order by all"
REMOVING = (
    f"call ducklake_expire_snapshots('{NAME}', older_than => now() - interval '{{history_days}} days')",
    f"call ducklake_cleanup_old_files('{NAME}', older_than => now() - interval '{REMOVED_AFTER_DAYS} days')",
    f"call ducklake_delete_orphaned_files('{NAME}', older_than => now() - interval '{REMOVED_AFTER_DAYS} days')",
)
# Tables other than marts are named with their schema.
SIZES = f"""
    select if(schema_name = 'marts', '', schema_name || '.') || table_name as name, file_count,
        file_size_bytes + coalesce(delete_file_size_bytes, 0)
    from ducklake_table_info('{NAME}') join __ducklake_metadata_{NAME}.ducklake_schema using (schema_id)
    where end_snapshot is null
    order by name
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
    publishers: Sequence[Publication] = ()

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
        for step, table in _steps(connection, lake):
            # Let a publish that waits go in between.
            with lake_lock(lake, tables=table[1:] or None), attached(connection, lake):
                connection.execute(step.format(history_days=history_days), table)
        return before, _state(connection, lake)


def _steps(connection: duckdb.DuckDBPyConnection, lake: Lake) -> Iterator[tuple[str, Sequence[str]]]:
    """Each step with the schema and table that it writes; none for all of them, which nobody writes meanwhile."""
    with attached(connection, lake, read_only=True):
        tables = connection.execute(TABLES).fetchall() if lake.is_shared else [()]
    for whole, of_one in MERGING:
        yield from ((of_one if table else whole, table) for table in tables)
    yield from ((step, ()) for step in REMOVING)


def state_of(lake: Lake) -> LakeState:
    """What the lake holds now. Raises `LakeError`."""
    with _connected(lake) as connection:
        return _state(connection, lake)


def require_readable(lake: Lake) -> None:
    """Raises `LakeError` where files of the lake cannot be read: the store is out of reach, refuses the key, or has lost them."""
    with _connected(lake) as connection:
        files = _state(connection, lake).files
        with attached(connection, lake, read_only=True):
            for table in [name for name, count in files.items() if count and name.startswith("fct_")][:1]:
                connection.execute(f"select * from {NAME}.marts.{quoted(table)} limit 1").fetchall()


def _state(connection: duckdb.DuckDBPyConnection, lake: Lake) -> LakeState:
    with attached(connection, lake, read_only=True):
        sizes = connection.execute(SIZES).fetchall()
        found = connection.execute(
            "select count(*), min(snapshot_time)::varchar, max(snapshot_time)::varchar, arg_max(commit_message, snapshot_id) "
            f"from ducklake_snapshots('{NAME}')"
        ).fetchone()
        told = publications(connection)
    count, oldest, newest, message = found or (0, "", "", "")
    files, sizes_by_table = {row[0]: int(row[1]) for row in sizes}, {row[0]: int(row[2]) for row in sizes}
    return LakeState(files, sizes_by_table, int(count), str(oldest), str(newest), str(message or ""), told)


def _connected(lake: Lake) -> duckdb.DuckDBPyConnection:
    if not is_made(lake):
        raise LakeError(f"there is no lake at {lake.catalog} yet", "run `htw poll` (or `htw demo`)")
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    return connection
