"""A local HyperTracker: the same contract over real sockets, with a generated market, for tests and for users without a token.

Only names others may use are gathered here; `python -m sandbox` runs it in the foreground.
"""
