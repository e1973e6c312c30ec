"""Reading notes, tasks and appointments of many contacts at once.

Not every account has these endpoints. Which it has is settled once, before the concurrent reading.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tasks.errors import ApiError
from tasks.settings import ACTIVITIES, Streams
from tasks.together import together
from tasks.voipstudio.client import Page, VoipStudio, row_id

GIVE_UP_AFTER = 20
"""Lists of one stream that fail in a row, after which it is not asked any more in this run."""


class StreamState(StrEnum):
    """What a run does with one activity stream."""

    ON = "on"
    """It is read."""
    OFF = "off"
    """The configuration says not to read it."""
    ABSENT = "absent"
    """The account never had it: the contact's published fields stand in for it."""
    LOST = "lost"
    """It worked before and does not now: nothing stands in for it, and the run is degraded."""


@dataclass(frozen=True, slots=True)
class ContactActivities:
    """What one contact has in each stream that was read.

    Attributes:
        contact_id: whose.
        rows: raw rows of each stream; a stream that was not asked is not in it.
        whole: streams whose list was read to its end and nothing disturbed the reading: only there
            does a row that is missing say anything.
    """

    contact_id: str
    rows: dict[str, list[Any]] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()


class Activities:
    """Reads the activity streams of one account, for one run.

    Args:
        client: of the account.
        streams: which streams to read, as configured.
        worked: streams that answered in an earlier run.
        concurrency: lists read at the same time, over all calls of `read`.
        page_size: rows asked for at a time.

    Attributes:
        states: what is done with each stream; ``auto`` streams count as on until `probe` settles them.
        answered: streams that gave a list in this run: the next run's ``worked``.
        failed: lists of each stream that could not be read.
        vanished: lists of each stream that were not found, most likely as the contact is gone.
        warnings: what a person should know, one line each.
    """

    def __init__(
        self,
        client: VoipStudio,
        streams: Streams,
        *,
        worked: Collection[str] = (),
        concurrency: int = 8,
        page_size: int = 100,
    ) -> None:
        self._client = client
        self._worked = frozenset(worked)
        self._page_size = page_size
        self._concurrency = concurrency
        self._slots = asyncio.Semaphore(concurrency)
        self._configured: dict[str, str] = {stream: getattr(streams, stream) for stream in ACTIVITIES}
        self._unsettled = [stream for stream, setting in self._configured.items() if setting != "off"]
        self._misses: Counter[str] = Counter()
        self.states = {
            stream: StreamState.OFF if setting == "off" else StreamState.ON
            for stream, setting in self._configured.items()
        }
        self.answered: set[str] = set()
        self.failed: Counter[str] = Counter()
        self.vanished: Counter[str] = Counter()
        self.warnings: list[str] = []

    async def probe(self, contact_ids: Iterable[str]) -> None:
        """Settle which streams the account has, with the first of these contacts that exists.

        A 404 says that a stream is missing only where the contact itself is still answered; else
        the next contact is tried. Call it before each `read`: once settled, it costs nothing.
        """
        for contact_id in contact_ids:
            if not self._unsettled:
                return
            asked = self._unsettled
            there = await together(self._is_there(contact_id, stream) for stream in asked)
            self._unsettled = [stream for stream, found in zip(asked, there, strict=True) if not found]
            if self._unsettled and await self._exists(contact_id):
                for stream in self._unsettled:
                    self._not_there(stream)
                self._unsettled = []

    async def read(self, contact_ids: Sequence[str]) -> list[ContactActivities]:
        """Return what each contact has, in the order asked for.

        A list that fails does not stop the others: it is not whole, and is counted in `failed`.

        Raises:
            Fatal: the service cannot be read at all.
        """
        rows: list[dict[str, list[Any]]] = [{} for _ in contact_ids]
        whole: list[set[str]] = [set() for _ in contact_ids]
        jobs = ((index, stream) for index in range(len(contact_ids)) for stream in ACTIVITIES)

        async def work(jobs: Iterator[tuple[int, str]]) -> None:
            for index, stream in jobs:
                async with self._slots:
                    if self.states[stream] is StreamState.ON:
                        rows[index][stream], complete = await self._list(contact_ids[index], stream)
                        if complete:
                            whole[index].add(stream)

        workers = min(self._concurrency, len(contact_ids) * len(ACTIVITIES))
        await together(work(jobs) for _ in range(workers))
        return [
            ContactActivities(contact_id, found, frozenset(read))
            for contact_id, found, read in zip(contact_ids, rows, whole, strict=True)
        ]

    async def _exists(self, contact_id: str) -> bool:
        try:
            return await self._client.contact(contact_id) is not None
        except ApiError:
            return False

    async def _is_there(self, contact_id: str, stream: str) -> bool:
        """Whether the stream is there; an error of another kind than 404 does not say that it is not."""
        try:
            found = await self._client.activity_page(contact_id, stream, 1, self._page_size)
        except ApiError:
            return True
        if found is not None:
            self.answered.add(stream)
        return found is not None

    def _not_there(self, stream: str) -> None:
        setting = self._client.setting(f"streams.{stream}")
        if self._configured[stream] == "on":
            self.warnings.append(
                f'VoIPstudio has no {stream} for a contact that exists, although {setting} is "on"'
            )
        elif stream in self._worked:
            self.states[stream] = StreamState.LOST
            self.warnings.append(
                f"VoIPstudio answered {stream} in earlier runs and does not now: they are left as they are; "
                f'set {setting} = "off" if that is meant to be'
            )
        else:
            self.states[stream] = StreamState.ABSENT
            self.warnings.append(
                f"VoIPstudio has no {stream} for this account: that stream is off, "
                "published fields of the contacts stand in where there are any"
            )

    async def _list(self, contact_id: str, stream: str) -> tuple[list[Any], bool]:
        """One contact's rows of one stream, and whether they are all there is."""
        reading = _Reading(stream)
        try:
            while not reading.over:
                page = await self._client.activity_page(
                    contact_id, stream, reading.pages + 1, self._page_size
                )
                if page is None:
                    self.vanished[stream] += 1
                    if self._configured[stream] == "auto":
                        await self._missed(stream, unless_gone=contact_id)
                    return [], False
                self.answered.add(stream)
                reading.add(page)
        except ApiError:
            self.failed[stream] += 1
            await self._missed(stream)
            return reading.rows, False
        self._misses[stream] = 0
        return reading.rows, reading.whole

    async def _missed(self, stream: str, *, unless_gone: str | None = None) -> None:
        """Stop asking for a stream that only fails; contacts that are gone are no failure of it."""
        self._misses[stream] += 1
        if self._misses[stream] < GIVE_UP_AFTER or self.states[stream] is not StreamState.ON:
            return
        self._misses[stream] = 0
        if unless_gone is not None and not await self._exists(unless_gone):
            return
        self.states[stream] = StreamState.LOST
        self.warnings.append(
            f"VoIPstudio gave no useful answer to {GIVE_UP_AFTER} lists of {stream} in a row: "
            "the others are left for the next run"
        )


class _Reading:
    """The pages of one contact's list, put together.

    It ends on an empty page, or as soon as as many rows are there as the service says there are.
    Unlike the walk over all contacts it trusts that number: such a list mostly fits one page, which
    comes in one answer with the number, so that nothing can have changed between the two; asking
    for the empty page as well would double the requests of a run.
    """

    def __init__(self, stream: str) -> None:
        entity = stream.removesuffix("s")
        self._names = ("id", f"{entity}Id", f"{entity}_id")
        self._ids: set[int] = set()
        self._total: int | None = None
        self._previous: list[Any] = []
        self.rows: list[Any] = []
        self.pages = 0
        self.over = False
        self.whole = True

    def add(self, page: Page) -> None:
        """Take in the next page."""
        self.pages += 1
        if page.rows and page.rows == self._previous:
            self.over, self.whole = True, False  # the service ignores the page: nothing new will come
            return
        self._previous = page.rows
        before = len(self.rows)
        for row in page.rows:
            number = row_id(row, *self._names)
            if number is None or number in self._ids:
                self.whole = False
            if number is None or number not in self._ids:
                self.rows.append(row)
            if number is not None:
                self._ids.add(number)
        if page.total is not None and (page.rows or page.total):
            self.whole = self.whole and self._total in (None, page.total)
            self._total = page.total
        if not page.rows:
            self.over = True
            self.whole = self.whole and len(self.rows) >= (self._total or 0)
        elif len(self.rows) == before:
            self.over = True  # all seen before, so not whole: it goes in a circle
        elif self._total is not None and len(self.rows) == self._total:
            self.over = True
