"""Reads the source in batches of what changed: pages of contacts, and the activities of those due.

A row whose fingerprint the ledger knows is done with here: it is counted and let go. What is left is
handed on a batch at a time, so that memory does not grow with the account.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from sqlalchemy import Connection

from tasks.engine.batch import Batch
from tasks.engine.deletes import Deletes
from tasks.engine.lists import ID_NAMES, Lists, Streams, due, pass_over, source_id
from tasks.engine.merge import digest
from tasks.engine.missing import STAND_INS, Missing
from tasks.engine.run import Key, Run
from tasks.engine.shape import get_ready
from tasks.ledger import records
from tasks.ledger.records import Outline
from tasks.together import both, together
from tasks.voipstudio.client import row_id
from tasks.voipstudio.walk import Walk

FIRST_BATCH = 50
"""Contacts in the first batch, so that writing begins soon; each next one is four times as large."""
LARGEST_BATCH = 1_000
MOST_ROWS = 20_000
"""Rows passed over in one batch where nothing changed."""
TOGETHER = 500
"""Rows that are compared at once where nothing changes: a look at the ledger costs as much as many rows."""
ALL_UP_TO = 2_000
"""``activity_scan = "auto"`` reads everybody's activities in accounts up to this size."""
HOUR = 3600.0


@dataclass(slots=True)
class Reader:
    """Walks one account once."""

    run: Run
    walk: Walk = field(init=False)
    missing: Missing = field(init=False)
    streams: Streams = field(init=False)
    _pages: AsyncIterator[list[Any]] = field(init=False)
    _ahead: list[list[Any] | None] = field(default_factory=list)
    _size: int = FIRST_BATCH
    _finished: bool = False
    _scan_all: bool = True
    _whole: frozenset[str] = frozenset()
    _met: list[str] = field(default_factory=list)
    _unknown: set[str] = field(default_factory=set)
    _compared: dict[Key, str | None] = field(default_factory=dict)
    """Fingerprints that the ledger had of what is handed on next."""

    def __post_init__(self) -> None:
        self.walk = Walk(self.run.source, limit=self.run.account.source.page_size)
        self.missing = Missing(self.run)
        self._pages = aiter(self.walk)
        self.streams = Streams(self.run)

    async def next(self) -> Batch | None:
        """Return the next batch, possibly empty of changes; None after the last."""
        if self._finished:
            return None
        changed: list[dict[str, Any]] = []
        scan: dict[str, Mapping[str, Any]] = {}
        passed = 0
        while max(len(changed), len(scan)) < self._size and passed < MOST_ROWS:
            self.run.check()
            page = self._ahead.pop() if self._ahead else await anext(self._pages, None)
            if page is None:
                self._finished = True
                break
            quiet = passed > 0 and not changed and not scan
            passed += len(page)
            sifting = self._sift(page, changed, scan)
            await (together([sifting, self._look_ahead()]) if quiet else sifting)
        self._size = min(self._size * 4, LARGEST_BATCH)
        self._whole = frozenset()
        await self._mark_met()
        reading = self._read_activities(scan)
        activities = (await both(reading, asyncio.to_thread(get_ready)))[0] if changed else await reading
        self._unknown.clear()
        await self.missing.stand_ins(scan, self.streams.stand_ins())
        if self._finished:
            await self._end()
        compared, self._compared = self._compared, {}
        return Batch(changed, activities, self.streams.stand_ins(), self._whole, compared)

    async def _look_ahead(self) -> None:
        """Where nothing changes: ask for the next pages, to be compared at once, while these are compared."""
        rows: list[Any] = []
        while len(rows) < TOGETHER and (page := await anext(self._pages, None)) is not None:
            rows += page
            self.run.check()
        self._ahead.append(rows or None)

    async def mirror(self) -> None:
        """Delete what vanished, as far as the walk can tell."""
        await Deletes(self.run).mirror(self.walk, self.missing.found)

    async def written(self, read: frozenset[str]) -> None:
        """Note that what was read of these contacts' activities is written, or kept for a later run."""
        name, now = self.run.name, self.run.now()
        await self.run.database.do(
            lambda connection: records.mark_activities_read(connection, name, read, now)
        )

    async def _sift(
        self, page: list[Any], changed: list[dict[str, Any]], scan: dict[str, Mapping[str, Any]]
    ) -> None:
        """Sort one page's rows into changed ones and those whose activities are to be read."""
        run = self.run
        rows = {source_id(row, "contacts"): row for row in page}
        now, wanted = run.now(), self.streams.wanted()

        def look(connection: Connection) -> tuple[dict[str, Outline], set[str]]:
            known = records.outline(connection, run.name, "contacts", rows)
            return known, records.with_open_children(connection, run.name, rows if wanted else (), now)

        known, open_children = await run.database.look(look)
        self._met += known
        self._scan_all = run.full or self._scans_all()
        stand_ins, writes = self.streams.stand_ins(), "contacts" in run.entities
        if writes:
            run.findings.count("contacts", "read", len(rows))
        for known_id, row in rows.items():
            before = known.get(known_id)
            fingerprint = digest([self.streams.salt, row])
            same = before is not None and before.fingerprint == fingerprint
            if writes:
                if due(run, before, fingerprint, now):
                    changed.append({"source_id": known_id, "fingerprint": fingerprint, "row": row})
                    self._compared["contacts", known_id] = before and before.fingerprint
                else:
                    pass_over(run, "contacts", before)
            if wanted and self._scans(
                row, before, changed=not same, open_child=known_id in open_children, now=now
            ):
                scan[known_id] = row
                if before is None:
                    self._unknown.add(known_id)
            if stand_ins and before is not None and same and not run.full:
                self._count_stand_ins(row, stand_ins)

    async def _mark_met(self) -> None:
        """Note which known contacts this walk met: once a batch, for each transaction waits for the disk."""
        met, self._met, run = self._met, [], self.run
        await run.database.do(
            lambda connection: records.mark_seen(connection, run.name, "contacts", met, run.walk)
        )

    def _scans_all(self) -> bool:
        setting = self.run.account.source.activity_scan
        return setting == "all" or (setting == "auto" and (self.walk.total or 0) <= ALL_UP_TO)

    def _scans(
        self, row: object, before: Outline | None, *, changed: bool, open_child: bool, now: float
    ) -> bool:
        if (
            not isinstance(row, dict)
            or row.get("internal") is True
            or row_id(row, *ID_NAMES["contacts"]) is None
        ):
            return False
        if before is not None and not changed and not open_child and before.state in ("skipped", "left"):
            return False
        if self._scan_all or changed or open_child or before is None or before.activities_at is None:
            return True
        sweep = self.run.account.source.activity_sweep_hours * HOUR
        return swept(before.source_id, before.activities_at, now, sweep)

    async def _read_activities(self, scan: dict[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Read the activity lists of these contacts; return the rows that changed."""
        lists = await self.streams.read(scan) if scan else None
        return [] if lists is None else await self._sift_activities(lists, frozenset(scan))

    async def _sift_activities(self, lists: Lists, asked: frozenset[str]) -> list[dict[str, Any]]:
        run, now = self.run, self.run.now()
        whole = frozenset(contact.contact_id for contact in lists.read if contact.whole >= lists.streams)
        complete = {
            stream: [contact.contact_id for contact in lists.read if stream in contact.whole]
            for stream in lists.streams & {*self.streams.on()}
        }
        shown = {(one["entity"], one["source_id"]) for one in lists.rows}
        known = await self.streams.known(lists.rows)
        changed = []
        for one in lists.rows:
            key = (one["entity"], one["source_id"])
            before = known.get(key)
            run.findings.count(one["entity"], "read")
            if due(run, before, one["fingerprint"], now):
                changed.append(one)
                self._compared[key] = before and before.fingerprint
            else:
                pass_over(run, one["entity"], before)
        # who is not in the ledger yet is noted once written there
        self._whole = whole & ({one["contact_id"] for one in changed} | self._unknown)
        done = whole - self._whole

        def mark(connection: Connection) -> None:
            records.mark_activities_read(connection, run.name, done, now)
            # until what changed is written, a run that dies must not leave them as read
            records.mark_activities_read(connection, run.name, asked - done, None)
            self.missing.lists(connection, complete, shown)

        await run.database.do(mark)
        return changed

    def _count_stand_ins(self, row: Any, stand_ins: frozenset[str]) -> None:  # noqa: ANN401 - a raw row
        for entity, (_, names) in STAND_INS.items():
            if entity in stand_ins and any(row.get(name) for name in names):
                self.run.findings.count(entity, "read")
                self.run.findings.count(entity, "unchanged")

    async def _end(self) -> None:
        """After the last page: say what was not read, and let go of what is no longer there."""
        run = self.run
        self.streams.tell()
        if self.walk.complete:
            await run.database.do(
                lambda connection: records.forget_vanished(connection, run.name, "contacts", run.walk)
            )
        else:
            run.findings.warn(
                "the list of contacts changed while it was read (" + "; ".join(self.walk.disturbed) + "): "
                "what was missed is found by the next run"
            )


def swept(source_id: str, read_at: float, now: float, sweep: float) -> bool:
    """Whether a contact's turn in the rolling sweep has come since its activities were read.

    Everybody has an instant of their own in each period of ``sweep`` seconds, drawn from the id: so each run
    reads the share whose instant has come, however many contacts were once read together.
    """
    own = crc32(source_id.encode()) / 2**32 * sweep
    return (now - own) // sweep > (read_at - own) // sweep
