"""The activity lists of one account, in one run: which streams are read, and how their rows are known.

Whether a row is due is for whoever reads to decide: `due` is the rule, the same for every run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection

from tasks.engine.merge import digest
from tasks.engine.run import Run
from tasks.ledger import facts, records
from tasks.ledger.records import Outline
from tasks.settings import ACTIVITIES
from tasks.voipstudio.activities import Activities, ContactActivities, StreamState
from tasks.voipstudio.client import row_id

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


class Lists(NamedTuple):
    """What was read of some contacts' activities.

    Attributes:
        rows: entries as a batch's activities are made of.
        read: which of the lists came whole.
        streams: those that were on when it was asked.
    """

    rows: list[dict[str, Any]]
    read: list[ContactActivities]
    streams: set[str]


@dataclass(slots=True)
class Streams:
    """Reads the activity lists that a run wants."""

    run: Run
    activities: Activities | None = None
    salt: str = field(init=False)
    """What the mapping's settings add to every fingerprint."""

    def __post_init__(self) -> None:
        self.salt = digest([repr(self.run.rules)])

    def wanted(self) -> tuple[str, ...]:
        """The activity streams this run reads."""
        streams = self.run.account.source.streams
        return tuple(
            entity
            for entity in ACTIVITIES
            if entity in self.run.entities
            and getattr(streams, entity) != "off"
            and not (entity == "appointments" and self._without_calendar())
        )

    def on(self) -> tuple[str, ...]:
        """The streams of those that the account has, as far as is known by now."""
        states = self.activities.states if self.activities else {}
        return tuple(one for one in self.wanted() if states.get(one, StreamState.ON) is StreamState.ON)

    def stand_ins(self) -> frozenset[str]:
        """The streams whose endpoint the account does not have: its contacts' own fields stand in."""
        if self.activities is None:
            return frozenset()
        return frozenset(
            entity for entity in self.wanted() if self.activities.states.get(entity) is StreamState.ABSENT
        )

    async def read(self, people: Mapping[str, Mapping[str, Any]]) -> Lists | None:
        """Read the activity lists of these contacts, given with their rows; None where no stream is on."""
        activities = await self._opened()
        before = set(activities.answered)
        await activities.probe(people)
        if StreamState.ON not in activities.states.values():
            return None
        asked = {stream for stream, state in activities.states.items() if state is StreamState.ON}
        read = await activities.read(list(people))
        if activities.answered - before:
            await self._remember(activities)
        found: list[dict[str, Any]] = []
        for contact in read:
            parent = contact.contact_id
            created = created_of(people[parent])
            for entity, rows in contact.rows.items():
                found.extend(
                    {
                        "entity": entity,
                        "contact_id": parent,
                        "source_id": f"{parent}/{source_id(row, entity)}",
                        "fingerprint": digest([self.salt, created, row]),
                        "row": row,
                        "fallback": created,
                    }
                    for row in sorted(rows, key=lambda row: row_id(row, *ID_NAMES[entity]) or 0)
                )
        return Lists(found, read, asked)

    async def known(self, rows: list[dict[str, Any]]) -> dict[tuple[str, str], Outline]:
        """What the ledger knows of these rows, by entity and source id."""

        def look(connection: Connection) -> dict[tuple[str, str], Outline]:
            found: dict[tuple[str, str], Outline] = {}
            for entity in ACTIVITIES:
                ids = [one["source_id"] for one in rows if one["entity"] == entity]
                for known_id, row in records.outline(connection, self.run.name, entity, ids).items():
                    found[entity, known_id] = row
            return found

        return await self.run.database.look(look)

    def tell(self) -> None:
        """Say what could not be read."""
        if self.activities is None:
            return
        findings = self.run.findings
        for warning in self.activities.warnings:
            findings.warn(warning)
        if StreamState.LOST in self.activities.states.values():
            findings.degraded = True
        for entity, number in self.activities.failed.items():
            findings.warn(f"{entity}: the lists of {number} contacts could not be read", degrades=True)

    def _without_calendar(self) -> bool:
        """Whether appointments are off for want of a calendar to put them in; the report says so."""
        off = "appointments" in self.run.entities and self.run.account.destination.calendar_id is None
        if off and self.run.account.source.streams.appointments != "off":
            where = f"accounts.{self.run.name}.destination.calendar_id"
            self.run.findings.warn(f"appointments are off: {where} says no calendar to put them in")
        return off

    async def _opened(self) -> Activities:
        """The reader of activity lists, made on first need, with what earlier runs knew of the account."""
        if self.activities is None:
            run = self.run
            worked = await run.database.look(lambda connection: facts.get(connection, run.name, WORKED))
            off: dict[str, Any] = {entity: "off" for entity in ACTIVITIES if entity not in self.wanted()}
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


def due(run: Run, before: Outline | None, fingerprint: str, now: float) -> bool:
    """Whether a row is to be mapped and decided on: it changed, or it is not where it should be yet."""
    if before is None or run.full or before.fingerprint != fingerprint:
        return True
    return before.state not in DONE and (before.next_attempt_at or 0.0) <= now


def pass_over(run: Run, entity: str, before: Outline | None) -> None:
    """Count a row that needs nothing; what is refused or waiting is counted when the run ends."""
    if before is not None and before.state in DONE:
        run.findings.count(entity, "unchanged" if before.state == "synced" else "skipped")


def source_id(row: object, entity: str) -> str:
    """A row's id as the ledger spells it; a row without one is known by its digest."""
    number = row_id(row, *ID_NAMES[entity])
    return f"row-{digest(row)[:12]}" if number is None else str(number)


def created_of(row: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as the source sent it
    """When a contact was created, as its row says it."""
    return row.get("created_at") or row.get("createdAt")
