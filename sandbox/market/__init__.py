"""The generated market: what exists and what it is worth at any moment, and the plain truth to compare answers with.

Nothing here knows of HTTP; how the figures are served belongs to `sandbox.api`.
"""
