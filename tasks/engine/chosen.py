"""Reads single source contacts, chosen by their ids, with their activities: what is no walk over everything.

What such a reading does not show says nothing: nothing is taken for vanished, deleted or forgotten, and a
contact that the source does not find is told of and left as it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from tasks.engine.batch import Batch
from tasks.engine.lists import DONE, Streams, due, pass_over, source_id
from tasks.engine.merge import digest
from tasks.engine.run import Run
from tasks.errors import ApiError
from tasks.ledger import records
from tasks.ledger.records import Outline
from tasks.together import together
from tasks.voipstudio import times

OLDEST = 0.0
"""The date of what the source gives no date: older than everything."""
_DATES = {
    "contacts": ("created_at", "createdAt"),
    "notes": ("created_at", "createdAt", "date"),
    "tasks": ("created_at", "createdAt"),
    "appointments": ("starts_at", "startsAt", "date"),
}
"""Where a row of each entity carries its own date."""

Take = Callable[[], Awaitable[Sequence[str]]]
"""Gives the ids of the next contacts to be read; none at the end."""


async def nobody() -> Sequence[str]:
    """No contacts: whoever chooses reads them himself."""
    return ()


@dataclass(frozen=True, slots=True)
class Span:
    """A range of time, its end not in it; without a beginning it holds what has no date, too."""

    since: float | None = None
    until: float | None = None

    def holds(self, at: float) -> bool:
        """Whether a moment lies in it."""
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


ALWAYS = Span()


@dataclass(slots=True)
class Tally:
    """How many of the chosen contacts were read."""

    rows: int = 0
    total: int | None = None
    complete: bool = False
    """Never: there are others."""


@dataclass(slots=True)
class Chosen:
    """Reads chosen contacts, and what of theirs lies in a span of time.

    Attributes:
        span: a contact, or an activity, is brought by its own date.
        again: whether what was refused or waits is tried whenever it would be due.
        unread: those of the contacts last asked for that the source did not give.
    """

    run: Run
    take: Take = nobody
    span: Span = ALWAYS
    again: bool = False
    walk: Tally = field(default_factory=Tally)
    unread: frozenset[str] = frozenset()
    streams: Streams = field(init=False)

    def __post_init__(self) -> None:
        self.streams = Streams(self.run)

    async def next(self) -> Batch | None:
        """After those in more of a hurry: return what the next contacts ask for; None after the last."""
        await self.run.step_aside()
        self.run.check()
        ids = await self.take()
        if not ids:
            self.streams.tell()
            return None
        batch = await self.read(ids)
        self.walk.rows += len(ids)
        return batch

    async def written(self, read: frozenset[str]) -> None:
        """Note that all of these contacts' activities are written, or kept for a later run."""
        mark = partial(records.mark_activities_read, account=self.run.name, ids=read, at=self.run.now())
        await self.run.database.do(mark)

    async def mirror(self) -> None:
        """Nothing is known to have vanished."""

    async def read(self, ids: Sequence[str]) -> Batch:
        """Read these contacts afresh, and their activities."""
        rows = await self._contacts(ids)
        prints = {one: digest([self.streams.salt, row]) for one, row in rows.items()}
        known, open_children = await self._known(rows)
        scan = {
            one: row
            for one, row in rows.items()
            if row.get("internal") is not True
            and (one in open_children or not (self.again or _rests(known.get(one), prints[one])))
        }
        activities, whole = await self._activities(scan)
        wanting = {one["contact_id"] for one in activities}
        people = [
            {"source_id": one, "fingerprint": prints[one], "row": row}
            for one, row in rows.items()
            if self._brings(row, prints[one], known.get(one), wanted=one in wanting)
        ]
        return Batch(people, activities, self.streams.stand_ins(), frozenset(whole))

    async def _contacts(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The contacts' rows as the source shows them now, in the order asked for."""
        found: dict[str, dict[str, Any]] = {}
        queue, findings = iter(ids), self.run.findings

        async def work() -> None:
            for one in queue:
                try:
                    row = await self.run.source.contact(one) if one.isdecimal() else None
                except ApiError:
                    findings.remark("contacts", "could not be read at the source: left as they are")
                    findings.degraded = True
                    continue
                if row is None or source_id(row, "contacts") != one:
                    findings.remark("contacts", "not found at the source by their ids: left as they are")
                else:
                    found[one] = row

        await together(work() for _ in range(min(len(ids), self.run.account.source.concurrency)))
        self.unread = frozenset(ids) - found.keys()
        return {one: found[one] for one in ids if one in found}

    async def _known(self, rows: Collection[str]) -> tuple[dict[str, Outline], set[str]]:
        """The ledger's outlines of contacts, and which of them have activities that are refused or wait."""
        name = self.run.name
        return await self.run.database.look(
            lambda connection: (
                records.outline(connection, name, "contacts", rows),
                records.with_open_children(connection, name, rows, inf),
            )
        )

    async def _activities(
        self, scan: Mapping[str, Mapping[str, Any]]
    ) -> tuple[list[dict[str, Any]], set[str]]:
        """What of these contacts' activities is due, and whose are all in once that is written."""
        run, now = self.run, self.run.now()
        if not scan or not self.streams.wanted() or (lists := await self.streams.read(scan)) is None:
            return [], set()
        whole = {contact.contact_id for contact in lists.read if contact.whole >= lists.streams}
        known = await self.streams.known(lists.rows)
        chosen = []
        for one in lists.rows:
            entity, before = one["entity"], known.get((one["entity"], one["source_id"]))
            is_due = self._is_due(before, one["fingerprint"], now)
            if self.span.holds(date_of_activity(one, run.rules.zone)):
                run.findings.count(entity, "read")
                if is_due:
                    chosen.append(one)
                else:
                    pass_over(run, entity, before)
            elif is_due:
                whole.discard(one["contact_id"])
        done = whole - {one["contact_id"] for one in chosen}

        def mark(connection: Connection) -> None:
            records.mark_activities_read(connection, run.name, done, now)
            # until what is due is written, a run that dies must not leave them as read
            records.mark_activities_read(connection, run.name, set(scan) - done, None)

        await run.database.do(mark)
        return chosen, whole - done

    def _brings(self, row: Mapping[str, Any], mark: str, before: Outline | None, *, wanted: bool) -> bool:
        """Whether a contact is brought: for its own sake, or as an activity wants it to be there."""
        needed = wanted and (before is None or before.state not in DONE)
        if not needed and not self.span.holds(date_of("contacts", row, self.run.rules.zone)):
            return False
        brings = self.again or self._is_due(before, mark, self.run.now())
        if "contacts" in self.run.entities:
            self.run.findings.count("contacts", "read")
            if not brings:
                pass_over(self.run, "contacts", before)
        return brings

    def _is_due(self, before: Outline | None, fingerprint: str, now: float) -> bool:
        return due(self.run, before, fingerprint, inf if self.again else now)


def date_of(entity: str, row: Mapping[str, Any], zone: ZoneInfo) -> float:
    """A row's own date, UTC seconds: of an appointment its start, of anything else when it was created."""
    for name in _DATES[entity]:
        try:
            at = times.instant(row.get(name), zone)
        except ValueError:
            continue
        if at is not None:
            return at.timestamp()
    return OLDEST


def date_of_activity(entry: Mapping[str, Any], zone: ZoneInfo) -> float:
    """The date of an activity as it was read; of one without any, its contact's."""
    row = entry["row"] if isinstance(entry["row"], dict) else {}
    at = date_of(entry["entity"], row, zone)
    return date_of("contacts", {"created_at": entry["fallback"]}, zone) if at == OLDEST else at


def _rests(before: Outline | None, fingerprint: str) -> bool:
    """Whether nothing is sent of a contact, by rule, as long as it does not change: nor of its activities."""
    return before is not None and before.fingerprint == fingerprint and before.state in ("skipped", "left")
