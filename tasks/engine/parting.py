"""Deletes, or tags, what vanished at the source, one by one: intent, request, outcome.

What is deleted here was decided in `tasks.engine.deletes`. A deletion whose outcome was lost is never simply
repeated: the destination is asked, and what still stands there is as it was before, for the next walk to
decide on anew, since it may have come back at the source meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection

from tasks.engine import outcome
from tasks.engine.deeds import ARRIVED, TAKEN_BACK, WITH_CONTACT, deed, whole
from tasks.engine.entities.child import Place
from tasks.engine.intents import opened
from tasks.engine.run import Run
from tasks.engine.standing import in_the_way, untouched
from tasks.engine.subject import about
from tasks.engine.write import CHILDREN
from tasks.errors import ApiError, NotFound, NotPlanned, OutcomeUnknown
from tasks.identity.directory import normal_form
from tasks.ledger import records, vanished
from tasks.ledger.history import Deed
from tasks.ledger.records import Record
from tasks.mapping.text import line
from tasks.together import together

EDITED = "vanished at the source and left, as a person edited it"
VANISHED = "it vanished at the source"


@dataclass(frozen=True, slots=True)
class Parting:
    """Takes leave of records of one run."""

    run: Run
    deletes: bool = False
    """Whether contacts are deleted, whatever the configuration says of those that vanished at the source."""

    async def contact(self, linked: list[Record]) -> None:
        """Delete or tag the contact to which these records are linked, all of them gone at the source."""
        try:
            with about("contacts", linked[0].source_id) as subject:
                await self._contact(linked)
        except NotPlanned as error:
            await self.run.leave_out(subject, linked, error)

    async def activity(self, record: Record, parent: Record) -> None:
        """Delete an activity where it still is as we wrote it."""
        try:
            with about(record.entity, record.source_id) as subject:
                await self._activity(record, parent)
        except NotPlanned as error:
            await self.run.leave_out(subject, [record], error)

    async def _contact(self, linked: list[Record]) -> None:
        run, contact_id = self.run, linked[0].destination_id or ""
        try:
            contact = await run.api.get_contact(contact_id)
        except NotFound:
            await self._found_deleted(linked)
            return
        except ApiError as error:
            self._failed("contacts", error)
            return
        if contact.deleted:
            await self._found_deleted(linked)
            return
        theirs = normal_form(contact, await run.location())
        if theirs.get("id") not in (None, *(record.source_id for record in linked)):
            run.findings.remark("contacts", "vanished at the source and left, as it carries another's id")
            await self._leave(linked, "not_ours")
        elif run.account.mapping.deletes == "tag" and not self.deletes:
            await self._tag(linked, theirs.get("tags", []))
        elif run.undoing and not run.rehearsal and (why := await in_the_way(run, linked, theirs)):
            run.findings.remark("contacts", f"not undone: {why}")
        elif sent := await self._send(linked, "delete-contacts", partial(run.api.delete_contact, contact_id)):
            await self._buried(sent, theirs, self._why)
            run.freed |= {theirs[name] for name in ("email", "phone") if theirs.get(name)}
            run.findings.count("contacts", "deleted")

    async def _activity(self, record: Record, parent: Record) -> None:
        kind, place = CHILDREN[record.entity], self._place(parent)
        child_id = record.destination_id or ""
        try:
            theirs = await kind.read(self.run.api, place, child_id)
        except NotFound:
            await self._found_deleted([record])
            return
        except ApiError as error:
            self._failed(record.entity, error)
            return
        if not untouched(record.content or {}, theirs):
            if self.run.undoing:
                self.run.findings.remark(record.entity, "not undone, as a person edited it")
                return
            self.run.findings.remark(record.entity, EDITED)
            await self._leave([record], "edited")
            return
        delete = partial(kind.delete, self.run.api, place, child_id)
        if sent := await self._send([record], f"delete-{record.entity}", delete):
            await self._removed(sent, theirs, self._why)
            self.run.findings.count(record.entity, "deleted")

    async def settle(self) -> int:
        """Ask the destination what became of those without an answer; return how many did not happen."""
        run = self.run
        groups: dict[tuple[str, str], list[Record]] = {}
        for record in filter(outcome.is_parting, await opened(run)):
            groups.setdefault((record.entity, record.destination_id or ""), []).append(record)
        stays = await together(self._settle(group) for group in groups.values())
        run.check()
        return sum(stays)

    async def _settle(self, group: list[Record]) -> bool:
        """Record what became of it; tell whether it certainly did not happen."""
        run, sent = self.run, max(float((record.intent or {})["at"]) for record in group)
        until = sent + run.account.destination.settle_seconds
        try:
            while not (happened := await self._happened(group)) and (pause := until - run.now()) > 0:
                if run.stop_reason or run.rehearsal:
                    return False
                await run.destination_wire.sleep(min(pause, 1.0))
        except ApiError:
            return False  # nobody knows: it stays unresolved
        if not happened:
            await self._stay(group)
            return True
        intent = group[0].intent or {}
        if intent["operation"] == "delete-contacts":
            await self._buried(group, intent["content"], ARRIVED)
        elif intent["operation"] == "tag-contacts":
            await self._tagged(group, ARRIVED)
        else:
            await self._removed(group, intent["content"], ARRIVED)
        run.findings.count(group[0].entity, "recovered")
        return False

    async def _happened(self, group: list[Record]) -> bool:
        record, api = group[0], self.run.api
        destination_id = record.destination_id or ""
        try:
            if record.entity == "contacts":
                contact = await api.get_contact(destination_id)
                tagging = (record.intent or {})["operation"] == "tag-contacts"
                return bool(contact.deleted) or (tagging and self._tag_name in contact.tags)
            parents = await self.run.database.look(
                lambda connection: records.load(
                    connection, record.account, "contacts", [record.parent_id or ""]
                )
            )
            parent = parents[record.parent_id or ""]
            await CHILDREN[record.entity].read(api, self._place(parent), destination_id)
        except NotFound:
            return True
        return False

    async def _tag(self, linked: list[Record], theirs: list[str]) -> None:
        """Add the tag; one that is there already is somebody's, and stays should the contact return."""
        run, tag = self.run, self._tag_name
        if tag in theirs:
            await self._leave(linked, "tagged")
        elif await self._send(
            linked, "tag-contacts", partial(run.api.add_tags, linked[0].destination_id or "", [tag])
        ):
            await self._tagged(linked)
        else:
            return
        run.findings.count("contacts", "deleted")
        run.findings.remark("contacts", "vanished at the source and tagged so")

    async def _tagged(self, linked: list[Record], why: str = VANISHED) -> None:
        """As one of our own tags it goes again when the source contact returns."""

        def change(record: Record) -> Record:
            content = record.content or {}
            tags = list(dict.fromkeys([*content.get("tags", []), self._tag_name]))
            return outcome.gone(record, "tagged", {**content, "tags": tags})

        tagged = list(map(change, linked))
        told = {"tags": [self._tag_name]}
        await self._save(tagged, [deed(record, "tagged", {"tags": []}, told, why=why) for record in tagged])

    async def _send(
        self, leaving: list[Record], operation: str, request: Callable[[], Awaitable[Any]]
    ) -> list[Record]:
        """Send, with the intent first; return the records where it is done, or nothing was left to do."""
        sent = [
            outcome.parting(record, operation, self.run.now(), undoing=self.run.undoing) for record in leaving
        ]
        if self.run.rehearsal:
            await self.run.rehearsal.parting(leaving)
        await self._save(sent)
        try:
            await request()
        except NotFound:
            return sent
        except OutcomeUnknown as error:
            lost = [outcome.unknown(record, str(error), error.status, self.run.now()) for record in sent]
            await self._save(lost, [deed(record, "unknown", why=f"{operation}: {error}") for record in lost])
            return []
        except ApiError as error:
            await self._stay(sent, f"{operation} was refused: {error}")
            self._failed(leaving[0].entity, error)
            return []
        return sent

    async def _buried(self, linked: list[Record], theirs: Mapping[str, Any], why: str = VANISHED) -> None:
        run, contact_id = self.run, linked[0].destination_id or ""
        parents = [record.source_id for record in linked]
        removed = [outcome.removed(record) for record in linked]

        def bury(connection: Connection) -> None:
            below = [
                child for parent in parents for child in records.children_of(connection, run.name, parent)
            ]
            vanished.bury(connection, run.name, contact_id, parents)
            records.save(connection, removed)
            told = [_deleted(record, theirs, why) for record in linked]
            told += [
                _deleted(child, child.content or {}, WITH_CONTACT)
                for child in below
                if child.destination_id and child.state not in vanished.SETTLED
            ]
            run.journal.history.write(connection, told)

        await run.database.do(bury)

    async def _removed(self, leaving: list[Record], theirs: Mapping[str, Any], why: str = VANISHED) -> None:
        told = [_deleted(record, theirs, why) for record in leaving]
        await self._save(map(outcome.removed, leaving), told)

    async def _found_deleted(self, leaving: list[Record]) -> None:
        """Somebody deleted, or merged, it before: should it return, it is treated as any such record."""
        if self.run.undoing:
            return  # there is nothing left to take back, and the next sync sees it by itself
        await self._leave(leaving, outcome.DELETED)

    async def _leave(self, leaving: list[Record], reason: str) -> None:
        """Leave what stands, or no longer stands, at the destination as it is."""
        gone = [outcome.gone(record, reason) for record in leaving]
        await self._save(gone, [deed(record, "gone", why=VANISHED) for record in gone])

    async def _stay(self, sent: list[Record], why: str = "the deletion had no effect") -> None:
        """Everything is as before the deletion."""
        told = [deed(record, "stays", why=why) for record in sent]
        await self._save(map(outcome.stays, sent), told)

    async def _save(self, changed: Iterable[Record], deeds: Sequence[Deed] = ()) -> None:
        rows = list(changed)

        def save(connection: Connection) -> None:
            records.save(connection, rows)
            self.run.journal.history.write(connection, deeds)

        await self.run.database.do(save)

    def _failed(self, entity: str, error: ApiError) -> None:
        self.run.findings.warn(
            f"{entity}: what vanished at the source could not be deleted ({error.reason}): {error}; "
            "the next run tries again",
            degrades=True,
        )

    @property
    def _why(self) -> str:
        return TAKEN_BACK if self.run.undoing else VANISHED

    @property
    def _tag_name(self) -> str:
        """The tag as the destination stores it: in lower case (measured by integrators)."""
        return line(self.run.account.mapping.delete_tag).lower()

    def _place(self, parent: Record) -> Place:
        return Place(parent.destination_id or "", self.run.account.destination.calendar_id)


def _deleted(record: Record, theirs: Mapping[str, Any], why: str) -> Deed:
    """What is lost with a record that was deleted."""
    return deed(outcome.removed(record), "deleted", whole(theirs), why=why, place=record.destination_id)
