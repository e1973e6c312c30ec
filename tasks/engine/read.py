"""Reads the source in batches of what changed: pages of contacts, and the activities of those due.

A row whose fingerprint the ledger knows is done with here: it is counted and let go. What is left is
handed on as pandas frames, so that memory does not grow with the account.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from sqlalchemy import Connection

from tasks.engine.merge import digest
from tasks.engine.missing import STAND_INS, Missing
from tasks.engine.run import Run
from tasks.ledger import facts, records
from tasks.ledger.records import Outline
from tasks.settings import ACTIVITIES
from tasks.together import together
from tasks.voipstudio.activities import Activities, ContactActivities, StreamState
from tasks.voipstudio.client import row_id
from tasks.voipstudio.walk import Walk

FIRST_BATCH = 50
"""Contacts in the first batch, so that writing begins soon; each next one is four times as large."""
LARGEST_BATCH = 1_000
MOST_ROWS = 20_000
"""Rows passed over in one batch where nothing changed."""
ALL_UP_TO = 2_000
"""``activity_scan = "auto"`` reads everybody's activities in accounts up to this size."""
SWEEP_SECONDS = 24 * 3600.0
"""In ``recent`` scans, how long a contact's activities may go unread."""
WORKED = "streams_worked"
ID_NAMES = {
    "contacts": ("id", "contactId", "contact_id"),
    "notes": ("id", "noteId", "note_id"),
    "tasks": ("id", "taskId", "task_id"),
    "appointments": ("id", "appointmentId", "appointment_id"),
}
"""Under which names a row may carry its id; ids are given in order of creation."""
DONE = frozenset({"synced", "skipped", "left"})
"""States in which an unchanged row needs nothing."""


class Batch:
    """Changed rows of the source.

    Attributes:
        contacts: columns ``source_id``, ``fingerprint``, ``row``.
        activities: columns ``entity``, ``contact_id``, ``source_id``, ``fingerprint``, ``row``, ``fallback``.
        stand_ins: the activity streams for which the contact's own fields stand in.
        read: contacts whose activities are all in here, so that they count as read once written.
    """

    def __init__(
        self,
        contacts: pd.DataFrame,
        activities: pd.DataFrame,
        stand_ins: frozenset[str],
        read: frozenset[str] = frozenset(),
    ) -> None:
        self.contacts = contacts
        self.activities = activities
        self.stand_ins = stand_ins
        self.read = read

    def __len__(self) -> int:
        return len(self.contacts) + len(self.activities)


@dataclass(slots=True)
class Reader:
    """Walks one account once."""

    run: Run
    walk: Walk = field(init=False)
    missing: Missing = field(init=False)
    activities: Activities | None = None
    _pages: AsyncIterator[list[Any]] = field(init=False)
    _ahead: list[list[Any] | None] = field(default_factory=list)
    _size: int = FIRST_BATCH
    _finished: bool = False
    _scan_all: bool = True
    _salt: str = field(init=False)
    _whole: frozenset[str] = frozenset()
    _met: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.walk = Walk(self.run.source, limit=self.run.account.source.page_size)
        self.missing = Missing(self.run)
        self._pages = aiter(self.walk)
        self._salt = digest([repr(self.run.rules)])

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
        activities = await self._read_activities(scan) if scan else []
        await self.missing.stand_ins(scan, self._stand_ins())
        if self._finished:
            await self._end()
        return Batch(pd.DataFrame(changed), pd.DataFrame(activities), self._stand_ins(), self._whole)

    async def _look_ahead(self) -> None:
        """Where nothing changes: ask for the next page while this one is compared."""
        self._ahead.append(await anext(self._pages, None))

    async def written(self, read: frozenset[str]) -> None:
        """Note that what was read of these contacts' activities is written, or kept for a later run."""
        name, now = self.run.name, time.time()
        await self.run.database.do(
            lambda connection: records.mark_activities_read(connection, name, read, now)
        )

    async def _sift(
        self, page: list[Any], changed: list[dict[str, Any]], scan: dict[str, Mapping[str, Any]]
    ) -> None:
        """Sort one page's rows into changed ones and those whose activities are to be read."""
        run = self.run
        rows = {_source_id(row, "contacts"): row for row in page}
        now, wanted = time.time(), self._wanted()

        def look(connection: Connection) -> tuple[dict[str, Outline], set[str]]:
            known = records.outline(connection, run.name, "contacts", rows)
            return known, records.with_open_children(connection, run.name, rows if wanted else (), now)

        known, open_children = await run.database.look(look)
        self._met += known
        self._scan_all = run.full or self._scans_all()
        count, writes = run.findings.count, "contacts" in run.entities
        for source_id, row in rows.items():
            before = known.get(source_id)
            fingerprint = digest([self._salt, row])
            same = before is not None and before.fingerprint == fingerprint
            if writes:
                count("contacts", "read")
                if self._is_due(before, fingerprint, now):
                    changed.append({"source_id": source_id, "fingerprint": fingerprint, "row": row})
                else:
                    self._pass_over("contacts", before)
            if wanted and self._scans(
                row, before, changed=not same, open_child=source_id in open_children, now=now
            ):
                scan[source_id] = row
            if before is not None and same and not run.full:
                self._count_stand_ins(row)

    async def _mark_met(self) -> None:
        """Note which known contacts this walk met: once a batch, for each transaction waits for the disk."""
        met, self._met, run = self._met, [], self.run
        await run.database.do(
            lambda connection: records.mark_seen(connection, run.name, "contacts", met, run.walk)
        )

    def _is_due(self, before: Outline | None, fingerprint: str, now: float) -> bool:
        """Whether a row is to be mapped and decided on: it changed, or it is not where it should be yet."""
        if before is None or self.run.full or before.fingerprint != fingerprint:
            return True
        return before.state not in DONE and (before.next_attempt_at or 0.0) <= now

    def _pass_over(self, entity: str, before: Outline | None) -> None:
        """Count a row that needs nothing; what is refused or waiting is counted when the run ends."""
        if before is not None and before.state in DONE:
            self.run.findings.count(entity, "unchanged" if before.state == "synced" else "skipped")

    def _scans_all(self) -> bool:
        setting = self.run.account.source.activity_scan
        return setting == "all" or (setting == "auto" and (self.walk.total or 0) <= ALL_UP_TO)

    def _without_calendar(self) -> bool:
        """Whether appointments are off for want of a calendar to put them in; the report says so."""
        off = "appointments" in self.run.entities and self.run.account.destination.calendar_id is None
        if off and self.run.account.source.streams.appointments != "off":
            where = f"accounts.{self.run.name}.destination.calendar_id"
            self.run.findings.warn(f"appointments are off: {where} says no calendar to put them in")
        return off

    def _wanted(self) -> tuple[str, ...]:
        """The activity streams this run reads."""
        streams = self.run.account.source.streams
        return tuple(
            entity
            for entity in ACTIVITIES
            if entity in self.run.entities
            and getattr(streams, entity) != "off"
            and not (entity == "appointments" and self._without_calendar())
        )

    def _scans(
        self, row: object, before: Outline | None, *, changed: bool, open_child: bool, now: float
    ) -> bool:
        if (
            not isinstance(row, dict)
            or row.get("internal") is True
            or row_id(row, *ID_NAMES["contacts"]) is None
        ):
            return False
        if before is not None and not changed and before.state in ("skipped", "left"):
            return False
        if self._scan_all or changed or open_child or before is None or before.activities_at is None:
            return True
        return bool(now - before.activities_at > SWEEP_SECONDS)

    async def _read_activities(self, scan: dict[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Read the activity lists of these contacts; return the rows that changed."""
        activities = await self._activities()
        before = set(activities.answered)
        await activities.probe(scan)
        if StreamState.ON not in activities.states.values():
            return []
        asked = {stream for stream, state in activities.states.items() if state is StreamState.ON}
        read = await activities.read(list(scan))
        if activities.answered - before:
            await self._remember(activities)
        found: list[dict[str, Any]] = []
        for contact in read:
            parent = contact.contact_id
            created = scan[parent].get("created_at") or scan[parent].get("createdAt")
            for entity, rows in contact.rows.items():
                found.extend(
                    {
                        "entity": entity,
                        "contact_id": parent,
                        "source_id": f"{parent}/{_source_id(row, entity)}",
                        "fingerprint": digest([self._salt, created, row]),
                        "row": row,
                        "fallback": created,
                    }
                    for row in sorted(rows, key=lambda row: row_id(row, *ID_NAMES[entity]) or 0)
                )
        return await self._sift_activities(found, read, asked, frozenset(scan))

    async def _activities(self) -> Activities:
        """The reader of activity lists, made on first need, with what earlier runs knew of the account."""
        if self.activities is None:
            run = self.run
            worked = await run.database.look(lambda connection: facts.get(connection, run.name, WORKED))
            off: dict[str, Any] = {entity: "off" for entity in ACTIVITIES if entity not in self._wanted()}
            self.activities = Activities(
                run.source,
                run.account.source.streams.model_copy(update=off),
                worked=worked[0] if worked else (),
                concurrency=run.account.source.concurrency,
                page_size=run.account.source.page_size,
            )
        return self.activities

    async def _remember(self, activities: Activities) -> None:
        """Keep which streams ever worked: one that is gone later is missed, not replaced."""
        name = self.run.name

        def add(connection: Connection) -> None:
            known = facts.get(connection, name, WORKED)
            every = sorted(activities.answered | set(known[0] if known else ()))
            if known is None or every != known[0]:
                facts.put(connection, name, WORKED, every)

        await self.run.database.do(add)

    async def _sift_activities(
        self,
        found: list[dict[str, Any]],
        read: list[ContactActivities],
        streams: set[str],
        asked: frozenset[str],
    ) -> list[dict[str, Any]]:
        run, now = self.run, time.time()
        whole = frozenset(contact.contact_id for contact in read if contact.whole >= streams)
        lists = {
            stream: [contact.contact_id for contact in read if stream in contact.whole]
            for stream in streams
            if self.activities and self.activities.states[stream] is StreamState.ON
        }
        shown = {(one["entity"], one["source_id"]) for one in found}

        def look(connection: Connection) -> dict[tuple[str, str], Outline]:
            known: dict[tuple[str, str], Outline] = {}
            for entity in ACTIVITIES:
                ids = [one["source_id"] for one in found if one["entity"] == entity]
                for source_id, row in records.outline(connection, run.name, entity, ids).items():
                    known[entity, source_id] = row
            return known

        known = await run.database.look(look)
        changed = []
        for one in found:
            before = known.get((one["entity"], one["source_id"]))
            run.findings.count(one["entity"], "read")
            if self._is_due(before, one["fingerprint"], now):
                changed.append(one)
            else:
                self._pass_over(one["entity"], before)
        self._whole = whole & {one["contact_id"] for one in changed}
        done = whole - self._whole

        def mark(connection: Connection) -> None:
            records.mark_activities_read(connection, run.name, done, now)
            # until what changed is written, a run that dies must not leave them as read
            records.mark_activities_read(connection, run.name, asked - done, None)
            self.missing.lists(connection, lists, shown)

        await run.database.do(mark)
        return changed

    def _stand_ins(self) -> frozenset[str]:
        """The streams whose endpoint the account does not have: its contacts' own fields stand in."""
        if self.activities is None:
            return frozenset()
        return frozenset(
            entity for entity in self._wanted() if self.activities.states.get(entity) is StreamState.ABSENT
        )

    def _count_stand_ins(self, row: Any) -> None:  # noqa: ANN401 - a raw row
        for entity, (_, names) in STAND_INS.items():
            if entity in self._stand_ins() and any(row.get(name) for name in names):
                self.run.findings.count(entity, "read")
                self.run.findings.count(entity, "unchanged")

    async def _end(self) -> None:
        """After the last page: say what was not read, and let go of what is no longer there."""
        run = self.run
        if self.activities is not None:
            for warning in self.activities.warnings:
                run.findings.warn(warning)
            if StreamState.LOST in self.activities.states.values():
                run.findings.degraded = True
            for entity, number in self.activities.failed.items():
                run.findings.warn(
                    f"{entity}: the lists of {number} contacts could not be read", degrades=True
                )
        if self.walk.complete:
            await run.database.do(
                lambda connection: records.forget_vanished(connection, run.name, "contacts", run.walk)
            )
        else:
            run.findings.warn(
                "the list of contacts changed while it was read (" + "; ".join(self.walk.disturbed) + "): "
                "what was missed is found by the next run"
            )


def _source_id(row: object, entity: str) -> str:
    """A row's id as the ledger spells it; a row without one is known by its digest."""
    number = row_id(row, *ID_NAMES[entity])
    return f"row-{digest(row)[:12]}" if number is None else str(number)
