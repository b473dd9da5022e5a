"""DuckDB and files: the vault of payloads, raw tables, the ledger, the published file and the lake. No Dagster and no HTTP here.

For notebooks: `from warehouse import connect_published, Lake`, then `connect_published(Lake.below("data"))`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warehouse.lake import Lake as Lake
    from warehouse.query import connect_published as connect_published


def __getattr__(name: str) -> Any:
    """Imported when asked for: most of what imports this package needs neither DuckDB nor pandas."""
    if name == "connect_published":
        from warehouse.query import connect_published

        return connect_published
    if name == "Lake":
        from warehouse.lake import Lake

        return Lake
    raise AttributeError(name)
