"""The pipeline: what is polled, when, and how it becomes facts."""
