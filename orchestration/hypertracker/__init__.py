"""The HyperTracker API: its datasets, its client, its payloads. httpx only; no Dagster and no DuckDB here."""
