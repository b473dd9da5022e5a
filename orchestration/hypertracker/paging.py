"""Cursor paging that knows when it is done and notices a loop (contract: the answer's `nextCursor` goes back as `nextCursor`)."""

from __future__ import annotations

import json

from orchestration.hypertracker.errors import PagingError

MOST_PAGES = 2000


class CursorPager:
    """Feed it each page's bytes; it says what to ask next."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._cursor: str | None = None
        self.finished = False

    def params(self, first: dict[str, str]) -> dict[str, str]:
        """The query for the next page: that of the first, plus the cursor."""
        return first if self._cursor is None else {**first, "nextCursor": self._cursor}

    def advance(self, page: bytes) -> None:
        """Take the cursor out of a page. Raises `PagingError` for a cursor seen before and for too many pages."""
        cursor = _cursor_of(page)
        if not cursor:
            self.finished = True
            return
        if cursor in self._seen:
            raise PagingError(f"page {len(self._seen) + 1} leads back to a page already read")
        if len(self._seen) >= MOST_PAGES:
            raise PagingError(f"more than {MOST_PAGES} pages")
        self._seen.add(cursor)
        self._cursor = cursor


def _cursor_of(page: bytes) -> str | None:
    """None for a last page; a page that is no JSON object ends the paging, and the shape check says what it is."""
    try:
        value = json.loads(page)
    except ValueError:
        return None
    cursor = value.get("nextCursor") if isinstance(value, dict) else None
    return cursor if isinstance(cursor, str) else None
