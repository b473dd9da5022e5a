"""DuckDB and files: the vault of payloads, raw tables, the ledger, the published file and the lake. No Dagster and no HTTP here.

For notebooks and scripts:

    import warehouse

    warehouse.frame("fct_cohort_metrics", coins=["BTC"], since="2026-03-01", dataset="heatmap", axis="size")
    warehouse.connect_published().sql("select ...").df()
    warehouse.connect_published(warehouse.Lake.below("data"))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warehouse.frames import frame as frame
    from warehouse.lake import Lake as Lake
    from warehouse.query import connect_published as connect_published

ROOMS = {"connect_published": "warehouse.query", "frame": "warehouse.frames", "Lake": "warehouse.lake"}


def __getattr__(name: str) -> Any:
    """Imported when asked for: most of what imports this package needs neither DuckDB nor pandas."""
    if name in ROOMS:
        return getattr(importlib.import_module(ROOMS[name]), name)
    raise AttributeError(f"module 'warehouse' has no attribute {name!r}")
