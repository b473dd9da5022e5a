"""Paging that knows when it is done and notices a loop (contract: the answer's `nextCursor` goes back as `nextCursor`)."""

from __future__ import annotations

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
        return CursorPager()
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
        self.finished = False

    def params(self, first: dict[str, str]) -> dict[str, str]:
        return {**first, "offset": str(self._offset)}

    def advance(self, pages: Pages[Any], part: Any) -> None:
        """Count the page's items. A page that is no JSON object ends the paging, and the shape check says what it is."""
        value = _object_of(pages.read(part))
        items, total = value.get("items"), value.get("totalCount")
        count = len(items) if isinstance(items, list) else 0
        self._offset += count
        self.finished = count < self._page_limit or (isinstance(total, int) and self._offset >= total)


class CursorPager:
    """Pages by the answer's `nextCursor`."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._cursor: str | None = None
        self.finished = False

    def params(self, first: dict[str, str]) -> dict[str, str]:
        """The query for the next page: that of the first, plus the cursor."""
        return first if self._cursor is None else {**first, "nextCursor": self._cursor}

    def advance(self, pages: Pages[Any], part: Any) -> None:
        """Take the cursor out of a page. Raises `PagingError` for a cursor seen before and for too many pages."""
        cursor = _cursor_of(pages.read(part))
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
    cursor = _object_of(page).get("nextCursor")
    return cursor if isinstance(cursor, str) else None


def _object_of(page: bytes) -> dict[str, Any]:
    try:
        value = json.loads(page)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
