"""Assets: raw datasets by cadence, dbt models, the published copy. Bodies only call the pipeline."""
