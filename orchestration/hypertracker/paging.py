"""Paging that knows when it is done and notices a loop (contract: the answer's `nextCursor` goes back as `nextCursor`)."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Protocol, TypeVar

from orchestration.hypertracker.endpoint import Dataset, Paging
from orchestration.hypertracker.errors import PagingError

MOST_PAGES = 2000

PartT = TypeVar("PartT", contravariant=True)


class Pages(Protocol[PartT]):
    """Where pages can be read again."""

    def read(self, part: PartT) -> bytes: ...


class Pager(Protocol):
    """Feed it each page; it says what to ask next."""

    finished: bool

    def params(self, first: dict[str, str]) -> dict[str, str]: ...
    def advance(self, pages: Pages[Any], part: Any) -> None: ...


def pager_for(dataset: Dataset) -> Pager:
    """A pager for one fetch of a dataset."""
    if dataset.paging is Paging.CURSOR:
        return CursorPager(dataset.time_column)
    return OffsetPager(dataset.page_limit) if dataset.paging is Paging.OFFSET else SinglePage()


class SinglePage:
    """The whole payload is one answer."""

    def __init__(self) -> None:
        self.finished = False

    def params(self, first: dict[str, str]) -> dict[str, str]:
        return first

    def advance(self, pages: Pages[Any], part: Any) -> None:  # noqa: ARG002  # the protocol's signature
        self.finished = True


class OffsetPager:
    """Pages by `offset` until `totalCount` is reached, or a page is not full (contract 24)."""

    def __init__(self, page_limit: int) -> None:
        self._page_limit, self._offset = page_limit, 0
        self._guard = LoopGuard()
        self.finished = False

    def params(self, first: dict[str, str]) -> dict[str, str]:
        return {**first, "offset": str(self._offset)}

    def advance(self, pages: Pages[Any], part: Any) -> None:
        """Count the page's items. A page that is no JSON object ends the paging, and the shape check says what it is.

        Raises `PagingError` for items seen before and for too many pages.
        """
        value = _object_of(pages.read(part))
        items, total = value.get("items"), value.get("totalCount")
        count = len(items) if isinstance(items, list) else 0
        self._guard.note(items)
        self._offset += count
        self.finished = count < self._page_limit or (isinstance(total, int) and self._offset >= total)


class CursorPager:
    """Pages by the answer's `nextCursor` (contract 1, cursor); `time_column` names the time that all rows must share."""

    def __init__(self, time_column: str | None = None) -> None:
        self._time_column, self._times = time_column, set[str]()
        self._guard, self._cursors = LoopGuard(), set[str]()
        self._cursor: str | None = None
        self.finished = False

    def params(self, first: dict[str, str]) -> dict[str, str]:
        """The query for the next page: that of the first, plus the cursor."""
        return first if self._cursor is None else {**first, "nextCursor": self._cursor}

    def advance(self, pages: Pages[Any], part: Any) -> None:
        """Take the cursor out of a page.

        Raises `PagingError` for a cursor or rows seen before, for a snapshot that moved, for an end that is none and for too
        many pages. A page that is no JSON object ends the paging, and the shape check says what it is.
        """
        page = _object_of(pages.read(part))
        cursor = _cursor_of(page)
        rows = [row for value in page.values() if isinstance(value, list) for row in value]
        self._check_time(rows)
        if cursor in self._cursors:
            raise PagingError(f"page {len(self._cursors) + 1} leads back to a page already read")
        self._guard.note(rows)
        self._cursors.add(cursor)
        self._cursor, self.finished = cursor, not cursor

    def _check_time(self, rows: list[Any]) -> None:
        if self._time_column is None:
            return
        self._times |= {str(row.get(self._time_column))[:40] for row in rows if isinstance(row, dict)}
        if len(self._times) > 1:
            raise PagingError(f"the snapshot moved between pages: {' and '.join(sorted(self._times)[:2])}")


class LoopGuard:
    """Notices pages without end. A provider that ignores the cursor or the offset serves the same rows for ever, and may put
    a new cursor under each."""

    def __init__(self) -> None:
        self._digests, self._count = set[bytes](), 0

    def note(self, rows: Any) -> None:
        """Remember a page. Raises `PagingError` for rows seen before and for too many pages."""
        digest = hashlib.sha256(json.dumps(rows).encode()).digest()
        self._count += 1
        if rows and digest in self._digests:
            raise PagingError(f"page {self._count} has the rows of a page already read")
        if self._count > MOST_PAGES:
            raise PagingError(f"more than {MOST_PAGES} pages")
        self._digests.add(digest)


def _cursor_of(page: dict[str, Any]) -> str:
    """Empty for a last page: null, absent or empty."""
    cursor = page.get("nextCursor") or ""
    if not isinstance(cursor, str):
        raise PagingError(f"the cursor is no text but {type(cursor).__name__}")
    if not cursor and page.get("hasMore") is True:
        raise PagingError("the answer says that there is more and gives no cursor")
    return cursor


def _object_of(page: bytes) -> dict[str, Any]:
    try:
        value = json.loads(page)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
