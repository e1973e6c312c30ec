"""Walking a list that changes underfoot, and knowing at the end whether it was seen whole.

VoIPstudio pages by number. A row deleted behind the walk moves the following rows forward, so that
one is missed; a row inserted behind it moves them back, so that one is seen twice. Its ``total``
may drift, its page size need not be the one asked for, and that it sorts is not promised.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import httpx

from tasks.errors import ApiError
from tasks.voipstudio.client import Filter, Page, VoipStudio, row_id

_NOTHING_NEW = 3
"""Pages in a row that hold only rows seen before: taken for a circle."""
_ID = ("id", "contactId", "contact_id")


@dataclass(frozen=True, slots=True)
class _Seen:
    """A page and the ids of its rows."""

    rows: list[Any]
    ids: list[int | None]

    def same(self, other: _Seen | None) -> bool:
        """Whether another page holds the same rows, by their ids where they have any."""
        if other is None or self.ids != other.ids:
            return False
        return any(number is not None for number in self.ids) or self.rows == other.rows


class Walk:
    """All contacts, page by page, each row once; iterate over it once.

    Pages are raw rows. Rows that are no objects or have no usable id are handed on, for the parser
    to reject. A page that fails for good raises, and the walk stays incomplete.

    Memory does not grow with the account while ids ascend: the last id and the ids of two pages
    are remembered. Only where the service ignores the sort is every id.

    Attributes:
        complete: the end was reached and nothing disturbed the walk. Even then one deletion and one
            creation between two pages can hide a row, so that a missing row must be asked for with
            `VoipStudio.contact` before it is taken for deleted.
        disturbed: why the walk may have missed rows; empty where nothing says so.
        rows: rows handed out.
        total: what the service last said that there are.
    """

    def __init__(self, client: VoipStudio, *, limit: int, filters: Iterable[Filter] = ()) -> None:
        self._client = client
        self._limit = limit
        self._filters = tuple(filters)
        self._sorted = True
        self._reasons: dict[str, None] = {}
        self._ended = False
        self._started = False
        self._last: int | None = None
        self._previous: set[int] = set()
        self._every: set[int] | None = None
        self._distinct = 0
        self.rows = 0
        self.total: int | None = None

    @property
    def complete(self) -> bool:
        """Whether every contact was seen, as far as can be told."""
        return self._ended and not self._reasons

    @property
    def disturbed(self) -> tuple[str, ...]:
        """What disturbed the walk."""
        return tuple(self._reasons)

    async def __aiter__(self) -> AsyncIterator[list[Any]]:
        if self._started:
            raise RuntimeError("a walk is walked once")
        self._started = True
        number, stale = 0, 0
        first: _Seen | None = None
        before: _Seen | None = None
        while True:
            number += 1
            page = await self._ask(number)
            self._note_total(page)
            if not page.rows:
                break
            seen = _Seen(page.rows, [row_id(row, *_ID) for row in page.rows])
            if seen.same(before) or seen.same(first):
                self._disturbed("the service sends the same page again and again")
                return
            fresh = self._fresh(seen)
            stale = 0 if fresh else stale + 1
            if stale == _NOTHING_NEW:
                self._disturbed("the service sends the same rows again and again")
                return
            first, before = first or seen, seen
            self.rows += len(fresh)
            if fresh:
                yield fresh
        self._ended = True
        if self.total is not None and self._distinct < self.total:
            self._disturbed("fewer contacts were seen than the service says there are")

    async def _ask(self, number: int) -> Page:
        """One page; sorted by id where the service allows that.

        Neither is it known how the service answers a page beyond the last: an empty list, as its
        own client expects, or an error, which is the end where all rows it promised were seen.
        """
        try:
            return await self._page(number)
        except ApiError as error:
            if number == 1 and error.status == httpx.codes.BAD_REQUEST:
                self._sorted = False
                return await self._page(number)
            beyond = error.status in (httpx.codes.BAD_REQUEST, httpx.codes.NOT_FOUND)
            if number > 1 and beyond and self.total is not None and self._distinct >= self.total:
                return Page([], self.total)
            raise

    async def _page(self, number: int) -> Page:
        return await self._client.contacts_page(
            number,
            self._limit,
            sort="id" if self._sorted else None,
            direction="ASC" if self._sorted else None,
            filters=self._filters,
        )

    def _note_total(self, page: Page) -> None:
        if page.total is None or (page.total == 0 and not page.rows and self.rows):
            return  # an empty page that counts nothing says only that it is empty
        if self.total is not None and page.total != self.total:
            self._disturbed("the number of contacts changed during the walk")
        self.total = page.total

    def _fresh(self, page: _Seen) -> list[Any]:
        """The rows not handed out yet, and those that cannot be told apart."""
        known = [number for number in page.ids if number is not None]
        if self._last is None and known:
            ascending = all(a <= b for a, b in pairwise(known))
            self._every = None if ascending else set()  # unsorted from the start: remember every id
        fresh: list[Any] = []
        current: set[int] = set()
        for row, number in zip(page.rows, page.ids, strict=True):
            if number is None:
                self._disturbed("a row without a usable id")
                fresh.append(row)
            elif number in current or self._seen(number, current):
                self._disturbed("a contact was seen twice")
            else:
                current.add(number)
                self._distinct += 1
                fresh.append(row)
                if self._every is not None:
                    self._every.add(number)
                self._last = number if self._last is None else max(self._last, number)
        if current:
            self._previous = current
        return fresh

    def _seen(self, number: int, current: set[int]) -> bool:
        if self._every is not None:
            return number in self._every
        if self._last is None or number > self._last:
            return False
        if number in self._previous or number == self._last:
            return True
        # Between the ids of the page before it is new: all seen there are known. Below them it may
        # be either; a row handed out twice does less harm than one that is never handed out.
        self._disturbed("the order of the contacts changed during the walk")
        if number < min(self._previous):
            self._every = self._previous | current
        return False

    def _disturbed(self, reason: str) -> None:
        self._reasons[reason] = None
