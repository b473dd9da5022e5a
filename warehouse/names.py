"""Names that somebody typed, and what may have been meant.

Belongs here: the nearest of the names there are. Does not: which names there are.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_SHOWN = 3
LIKENESS = 0.5
SHORTEST_PART = 3


def nearest(name: str, known: Iterable[str]) -> str:
    """What may have been meant, in brackets; empty where nothing is like it."""
    names, asked = list(known), name.lower()
    close = difflib.get_close_matches(asked, names, MOST_SHOWN, LIKENESS)
    close += [found for found in names if len(asked) >= SHORTEST_PART and asked in found.lower() and found not in close]
    return f" (nearest: {', '.join(close[:MOST_SHOWN])})" if close else ""
