"""Writes one contact's notes, CRM tasks and appointments, each entity in the order it arose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tasks.engine import outcome
from tasks.engine.deeds import ARRIVED, TAKEN_BACK, arrived, deed, difference, of_change
from tasks.engine.entities.child import USER_REFUSED, Child, Place, userless
from tasks.engine.merge import BESIDES, Merge, changed, fill, landed, merge
from tasks.engine.run import Run
from tasks.engine.seek import Seeker
from tasks.engine.subject import about
from tasks.errors import ApiError, NotFound, NotPlanned, OutcomeUnknown, RejectedRecord
from tasks.ledger.history import Deed
from tasks.ledger.records import Record
from tasks.mapping import marker
from tasks.mapping.desired import Desired, Mapped, Refused, Skipped

Content = Mapping[str, Any]
IN = frozenset({"synced", "rejected", "unresolved"})
"""States in which a contact with an id is at the destination: a refused or lost change leaves it there."""


@dataclass(slots=True)
class ChildWriter:
    """Brings the activities of one contact to the destination."""

    run: Run
    kind: Child
    parent: Record | None
    known: Mapping[str, Record]
    contact_gone: bool = False
    """The contact turned out not to be there: nothing more is written, and what was not is still due."""
    _found: dict[str, tuple[str, dict[str, Any]]] | None = None

    async def write(self, mapped: Mapped, fingerprint: str) -> None:
        """Bring one activity to where it should be, and record how that went."""
        try:
            with about(self.kind.entity, mapped.source_id) as subject:
                await self._decide(mapped, fingerprint)
        except NotPlanned as error:
            known = self.known.get(mapped.source_id)
            await self.run.leave_out(subject, [known] if known else [], error)

    async def _decide(self, mapped: Mapped, fingerprint: str) -> None:
        before = self.known.get(mapped.source_id) or outcome.blank(
            self.run.name, self.kind.entity, mapped.source_id, mapped.parent_id, self.run.walk, self.run.now()
        )
        if before.intent is not None and (before.destination_id is None or outcome.is_parting(before)):
            return  # whether it was created, or deleted, is not known yet: nothing is sent before that is
        match mapped:
            case Skipped(reason=reason):
                await self._skip(before, reason, fingerprint)
            case Refused(reason=reason, message=message):
                await self._reject(before, RejectedRecord(message, reason=reason), None, fingerprint)
            case Desired(content=ours, kept_back=kept_back):
                for reason in kept_back:
                    self._tell_without(reason)
                try:
                    await self._bring_or_notice(before, ours, fingerprint)
                except ApiError as error:  # a question about this one record that is never answered
                    if before.intent is None:  # else it stays open: what was sent may be there
                        await self._reject(before, error, ours, fingerprint)

    async def find(self, source_id: str, ours: Content) -> tuple[str, dict[str, Any]] | None:
        """Look for an activity at the destination by its marker."""
        listing = await self.kind.listing(self.run.api, self._place(), ours)
        for child_id, theirs in listing:
            if self._source_of(theirs) == source_id:
                return child_id, theirs
        return None

    async def _bring_or_notice(self, before: Record, ours: dict[str, Any], fingerprint: str) -> None:
        """Bring it there, or notice that its contact is not there."""
        try:
            await self._bring(before, ours, fingerprint)
        except NotFound as error:
            if not await self._contact_is_gone():
                await self._reject(before, error, ours, fingerprint)

    async def _bring(self, before: Record, ours: dict[str, Any], fingerprint: str) -> None:
        parent = self.parent
        if parent is not None and parent.state in ("skipped", "left"):
            # without a fingerprint: it is looked at again when its contact has changed
            await self._skip(before, "contact_" + parent.state, None)
        elif parent is None or not _is_in(parent):
            await self._save(outcome.waiting(before, fingerprint), None)
        elif before.state == "left":
            await self._save(outcome.left(before, fingerprint), "skipped")
        elif before.destination_id:
            await self._update(before, ours, fingerprint)
        elif (found := await self._listed(before.source_id, ours)) is not None:
            await self._adopt(before, ours, fingerprint, *found)
        else:
            await self._create(before, ours, fingerprint)

    async def _create(self, before: Record, ours: dict[str, Any], fingerprint: str) -> None:
        record = outcome.sending(before, f"create-{self.kind.entity}", ours, fingerprint, self.run.now())
        await self._save(record, None)
        fields = {name: value for name, value in ours.items() if name not in BESIDES}
        try:
            child_id = await self.kind.create(self.run.api, self._place(), fields)
        except NotFound as error:
            if not await self._contact_is_gone():
                await self._reject(record, error, ours, fingerprint)
                return
            await self._save(outcome.not_sent(record), None)
            return
        except RejectedRecord as error:
            if error.reason in USER_REFUSED and self.kind.user in ours:
                self._tell_without(error.reason)
                await self._create(before, userless(self.kind, ours), fingerprint)
                return
            await self._reject(record, error, ours, fingerprint)
            return
        except OutcomeUnknown as error:
            record = outcome.unknown(record, str(error), error.status, self.run.now())
            found = await self._find_quietly(before.source_id, ours)
            if found is None:
                await self._save(record, None, deed(record, "unknown", None, ours))
                return
            done, how = outcome.synced(record, found[0], ours, fingerprint, self.run.now()), "recovered"
        else:
            done, how = outcome.synced(record, child_id, ours, fingerprint, self.run.now()), "created"
        why = ARRIVED if how == "recovered" else TAKEN_BACK if self.run.undoing else None
        await self._save(done, how, deed(done, how, None, ours, why=why))

    async def _update(self, before: Record, ours: dict[str, Any], fingerprint: str) -> None:
        base = before.content or {}
        if "withheld" in base and base["withheld"] == ours.get(self.kind.user):
            ours = userless(self.kind, ours)
        if before.intent is None and not changed(base, ours):
            await self._save(outcome.unchanged(before, fingerprint), "unchanged")
            return
        assert before.destination_id is not None  # noqa: S101 - narrows the type
        try:
            theirs = await self.kind.read(self.run.api, self._place(), before.destination_id)
        except NotFound:
            if await self._contact_is_gone():
                return
            self.run.findings.remark(self.kind.entity, "deleted at the destination by someone, and left so")
            gone = outcome.left(before, fingerprint)
            await self._save(gone, "skipped", deed(gone, "left"))
            return
        came = arrived(before, theirs)
        base = landed(base, before.intent, theirs)
        found = merge(base, ours, theirs)
        before = replace(before, content=base)
        await self._write(before, ours, fingerprint, found, theirs, "updated", came)

    async def _adopt(
        self, before: Record, ours: dict[str, Any], fingerprint: str, child_id: str, theirs: dict[str, Any]
    ) -> None:
        """Link an activity of an earlier ledger; its marker tells whether a person edited its text."""
        found, text = fill(ours, theirs), self.kind.text
        if text in found.conflicts and marker.untouched(theirs.get(text)):
            kept = tuple(name for name in found.conflicts if name != text)
            found = Merge({**found.write, text: ours[text]}, kept)
        content = {name: theirs.get(name) if name in found.write else ours[name] for name in ours}
        linked = replace(before, destination_id=child_id, content=content)
        await self._write(linked, ours, fingerprint, found, theirs, "adopted")

    async def _write(
        self,
        before: Record,
        ours: dict[str, Any],
        fingerprint: str,
        found: Merge,
        theirs: dict[str, Any],
        count: str,
        came: Sequence[Deed] = (),
    ) -> None:
        """Write what is to be written; ``came``: what an earlier sending turned out to have written."""
        for name in found.conflicts:
            self.run.findings.dispute(self.kind.entity, name, before.source_id, self._place().contact_id)
        assert before.destination_id is not None  # noqa: S101 - narrows the type
        sent = outcome.changing(
            before, ours, fingerprint, theirs=theirs, write=found.write, at=self.run.now()
        )
        try:
            if found.write:
                await self._save(sent, None, *came)
                await self.kind.update(
                    self.run.api, self._place(), before.destination_id, found.write, {**ours, **theirs}
                )
        except RejectedRecord as error:
            if error.reason in USER_REFUSED and self.kind.user in found.write:
                self._tell_without(error.reason)
                write = {name: value for name, value in found.write.items() if name != self.kind.user}
                less = Merge(write)  # its conflicts are told already
                await self._write(before, userless(self.kind, ours), fingerprint, less, theirs, count)
                return
            await self._reject(before, error, found.write, fingerprint)
            return
        except OutcomeUnknown as error:
            lost = outcome.unknown(sent, str(error), error.status, self.run.now())
            await self._save(lost, None, deed(lost, "unknown", *difference(theirs, found.write)))
            return
        kept = {name: value for name, value in (before.content or {}).items() if name != "withheld"}
        content = {**kept, **ours}
        wrote = found.write or count == "adopted"
        without = "unchanged" if before.intent is None else "recovered"
        done = outcome.synced(before, before.destination_id, content, fingerprint, self.run.now())
        why = "matched by the marker in its text" if count == "adopted" else None
        why = TAKEN_BACK if self.run.undoing else why
        deeds = of_change(done, theirs, found, action=count, why=why)
        await self._save(done, count if wrote else without, *(() if found.write else came), *deeds)

    async def _listed(self, source_id: str, ours: Content) -> tuple[str, dict[str, Any]] | None:
        """Under an adopted contact, what an earlier ledger wrote: its list is read once, and remembered."""
        parent = self.parent
        assert parent is not None  # noqa: S101 - checked by the caller
        if self._found is None:
            self._found = {}
            if parent.origin == "adopted" and self.kind.entity not in parent.listed.split():
                for child_id, theirs in await self.kind.listing(self.run.api, self._place(), ours):
                    if known := self._source_of(theirs):
                        self._found.setdefault(known, (child_id, theirs))
        return self._found.pop(source_id, None)

    @property
    def listed_now(self) -> bool:
        """Whether the list at the destination was read, so that it need not be again."""
        return self._found is not None

    async def _contact_is_gone(self) -> bool:
        """After an answer that something is not there: ask whether its contact is.

        Raises:
            ApiError: that cannot be told.
        """
        if not self.contact_gone:
            self.contact_gone = await Seeker(self.run).fresh(self._place().contact_id) is None
        return self.contact_gone

    async def _find_quietly(self, source_id: str, ours: Content) -> tuple[str, dict[str, Any]] | None:
        try:
            return await self.find(source_id, ours)
        except ApiError:
            return None

    def _source_of(self, theirs: Content) -> str | None:
        """The source id that an activity's marker names, if we wrote it for this account."""
        return source_of(self.kind, theirs, self.run.rules.origin)

    def _place(self) -> Place:
        assert self.parent is not None  # noqa: S101 - checked by the callers
        assert self.parent.destination_id is not None  # noqa: S101
        account = self.run.account
        return Place(
            self.parent.destination_id,
            account.destination.calendar_id,
            check_slots=account.mapping.check_slots,
            notify=account.mapping.notify,
            now=self.run.now(),
        )

    def _tell_without(self, reason: str) -> None:
        self.run.findings.remark(self.kind.entity, f"without a part ({reason})")

    async def _skip(self, before: Record, reason: str, fingerprint: str | None) -> None:
        self.run.findings.remark(self.kind.entity, f"skipped ({reason})")
        await self._save(outcome.skipped(before, reason, fingerprint), "skipped")

    async def _reject(
        self, before: Record, error: ApiError, payload: Content | None, fingerprint: str
    ) -> None:
        self.run.findings.refuse(before.entity, before.source_id, error.reason)
        kept = outcome.rejected(before, error, payload, fingerprint, self.run.now())
        await self._save(kept, None, deed(kept, "rejected", None, payload))

    async def _save(self, record: Record, count: str | None, *deeds: Deed) -> None:
        await self.run.journal.save(record, deeds=deeds)
        if count:
            self.run.findings.count(self.kind.entity, count)


def source_of(kind: Child, theirs: Content, origin: str) -> str | None:
    """The source id that an activity's marker names, if ``origin`` wrote it."""
    found = marker.find(theirs.get(kind.text))
    if found and found.entity == kind.entity and found.origin == origin:
        return found.source_id
    return None


def _is_in(parent: Record) -> bool:
    """Whether a contact is at the destination, and stays there for all that is known."""
    return parent.destination_id is not None and parent.state in IN and not outcome.is_parting(parent)


def remember_listing(parent: Record, entities: list[str]) -> Record:
    """An adopted contact whose lists of these entities were matched by marker."""
    return replace(parent, listed=" ".join(dict.fromkeys([*parent.listed.split(), *entities])))
