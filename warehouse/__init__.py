"""DuckDB and files: the vault of payloads, raw tables, the ledger and the published copy. No Dagster and no HTTP here."""
