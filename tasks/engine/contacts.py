"""Writes one contact: creates it, adopts one that is there, or writes exactly what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tasks.engine import outcome
from tasks.engine.bodies import create_body
from tasks.engine.deeds import ARRIVED, TAKEN_BACK, arrived, deed, difference, matched, of_change, whole
from tasks.engine.gone import ContactGone
from tasks.engine.merge import BESIDES, NO_POLICIES, Merge, Policies, changed, fill, landed, merge, merge_tags
from tasks.engine.routes import crossed, remembered
from tasks.engine.run import Run
from tasks.engine.seek import Seeker
from tasks.engine.sender import Sender
from tasks.engine.twins import (
    beside,
    foreign_tags,
    give_up,
    keep_numbers,
    own_tags,
    waiting_for,
    waits_anew,
)
from tasks.errors import ApiError, DuplicateContact, Effect, NotFound, OutcomeUnknown, RejectedRecord
from tasks.identity.directory import normal_form
from tasks.ledger import effects
from tasks.ledger.history import Deed
from tasks.ledger.records import Record

SENDINGS = 3
"""How often a create is sent within a run where the location itself keeps duplicates out."""
CREATED_YET_REFUSED = 422
"""A status under which a contact has been created all the same (reported once to HighLevel)."""

_HOW = {
    "adopted": "the location refused a second one, and the contact that it named carries our id",
    "recovered": ARRIVED,
}
"""Why a contact that was to be created is known to be there."""

Content = Mapping[str, Any]


@dataclass(slots=True)
class ContactWriter:
    """Brings single contacts to the destination."""

    run: Run
    seek: Seeker = field(init=False)
    sender: Sender = field(init=False)
    refused_by: dict[str, str] = field(default_factory=dict)
    """Source contacts that the location refused to create, and the contact that it named."""
    waiting: set[str] = field(default_factory=set)
    """Source contacts whose new e-mail or phone turned out to be another contact's."""
    again: bool = False
    """Whether those are written who are counted already."""

    def __post_init__(self) -> None:
        self.seek = Seeker(self.run)
        self.sender = Sender(self.run, self.seek)

    async def update(self, before: Record, ours: dict[str, Any], fingerprint: str) -> Record:
        """Write what the source changed since we last wrote, and only that."""
        base = before.content or {}
        contact_id = before.destination_id
        assert contact_id is not None  # noqa: S101 - narrows the type
        ours = await self.sender.without_taken(base, ours, contact_id)
        policies = self._policies
        stale = await self.sender.given_up(base, ours)
        if before.intent is None and not stale and not self._may_differ(base, ours):
            kept = waiting_for(remembered(before, ours), ours)
            self.waiting |= {before.source_id} if waits_anew(base, ours) else set()
            same = replace(outcome.unchanged(before, fingerprint), content=kept)
            started = crossed(self.run, before, same, base.get("tags", []))
            return await self._save(same, "unchanged", started=started)
        location = await self.run.location()
        contact = await self.seek.fresh(contact_id)
        if contact is None:
            raise ContactGone
        theirs = normal_form(contact, location)
        stored, base = before, landed(base, before.intent, theirs)
        before = replace(before, content=base)
        others = await self.sender.others(before, contact_id)
        known, wanted = beside(others, base, ours, theirs, policies)
        found = self._updatable(merge(known, wanted, theirs, policies))
        found = keep_numbers(found, base, ours, theirs, linking=False)
        found = give_up(found, stale, theirs)
        add, remove = merge_tags(base, ours, theirs)
        remove = [tag for tag in remove if not any(tag in other.get("tags", ()) for other in others)]
        self._tell(before, contact_id, found)
        wrote = bool(found.write or add or remove)
        sent = outcome.changing(
            before,
            ours,
            fingerprint,
            theirs=theirs,
            write=found.write,
            add_tags=add,
            remove_tags=remove,
            at=self.run.now(),
        )
        came = arrived(stored, theirs)
        if wrote:
            await self.run.journal.save(sent, deeds=came)
        written: dict[str, Any] = {}
        try:
            written, ours = await self.sender.send(contact_id, found.write, ours, theirs)
            base |= written
            before = replace(before, content=base)  # whatever becomes of the tags, this much is ours
            await self.sender.tag(contact_id, add, remove)
        except OutcomeUnknown as error:
            return await self._lost(sent, error, difference(theirs, found.write, add, remove))
        except ApiError as error:
            payload = {**found.write, "add_tags": add, "remove_tags": remove}
            deeds = of_change(before, theirs, Merge(written))
            return await self.reject(before, error, payload, fingerprint, deeds)
        self.waiting |= {before.source_id} if waits_anew(base, ours) else set()
        content = _written(base, ours, policies)
        content["foreign_tags"] = foreign_tags(base, ours, theirs, others)
        done = outcome.synced(before, contact_id, content, fingerprint, self.run.now())
        put = {*base.get("tags", []), *add} - {*remove}
        news = Merge(written, found.conflicts)
        deeds = of_change(
            done,
            theirs,
            news,
            add=add,
            remove=remove,
            why=TAKEN_BACK if self.run.undoing else None,
            policies=policies,
        )
        return await self._save(
            done,
            "updated" if wrote else "unchanged" if before.intent is None else "recovered",
            self.seek.book(location).entry(contact_id, {**theirs, **written}),
            started=crossed(self.run, stored, done, put),
            deeds=deeds if wrote else [*came, *deeds],
        )

    async def adopt(
        self, before: Record, ours: dict[str, Any], fingerprint: str, contact_id: str
    ) -> Record | None:
        """Link a contact found at the destination, filling what is empty there; None where it is gone."""
        directory = await self.run.directory()
        theirs = await directory.content(contact_id) or {}
        # the index may still show what was deleted: whoever had a place before is asked for
        if before.reason is not None or not _complete(ours, theirs):
            contact = await self.seek.fresh(contact_id)
            if contact is None:
                await directory.remove(contact_id)
                return None
            theirs = normal_form(contact, directory.location)
        found = self._updatable(fill(ours, theirs, self.run.rules.policies))
        found = keep_numbers(found, {}, ours, theirs, linking=True)
        add = [tag for tag in ours.get("tags", []) if tag not in theirs.get("tags", [])]
        others = await self.sender.others(before, contact_id)
        by_others = {name for other in others for name in other if theirs.get(name) == other[name]}
        conflicts = (name for name in found.conflicts if name not in {"id", "source", *by_others})
        found = replace(found, conflicts=tuple(conflicts))
        self._tell(before, contact_id, found)
        brought = {tag for other in others for tag in own_tags(other)}
        foreign = [tag for tag in ours.get("tags", []) if tag not in add and tag not in brought]
        content = {**ours, "foreign_tags": foreign}
        linked = replace(
            before,
            destination_id=contact_id,
            origin="adopted",
            listed="",
            content={name: value for name, value in content.items() if name not in (*found.write, "labels")}
            | {"tags": [tag for tag in ours.get("tags", []) if tag not in add]},
        )
        at = self.run.now()
        sent = outcome.changing(
            linked, ours, fingerprint, theirs=theirs, write=found.write, add_tags=add, at=at
        )
        if found.write or add:
            await self.run.journal.save(sent)
        written: dict[str, Any] = {}
        try:
            written, kept = await self.sender.send(contact_id, found.write, ours, theirs)
            await self.sender.tag(contact_id, add, [])
        except NotFound:
            await directory.remove(contact_id)
            await self.run.journal.save(before)
            return None
        except OutcomeUnknown as error:
            return await self._lost(sent, error, difference(theirs, found.write, add))
        except ApiError as error:
            # what was filled is ours by now; where nothing was, its activities wait for it to be accepted
            ended = replace(linked, content={**(linked.content or {}), **written}) if written else before
            return await self.reject(ended, error, found.write, fingerprint)
        entry = directory.entry(contact_id, {**theirs, **written, "tags": [*theirs.get("tags", []), *add]})
        kept = {**kept, "foreign_tags": foreign}
        done = outcome.synced(linked, contact_id, kept, fingerprint, self.run.now())
        deeds = of_change(
            done,
            theirs,
            Merge(written, found.conflicts),
            action="adopted",
            add=add,
            why=matched(ours, theirs, before.decision),
        )
        return await self._save(done, "adopted", entry, crossed(self.run, before, done, add), deeds)

    async def create(self, before: Record, ours: dict[str, Any], fingerprint: str) -> Record | None:
        """Create a contact, exactly once; None where the location knows it and it is to be resolved anew."""
        directory = await self.run.directory()
        location, doubtful = directory.location, False
        if self.run.looks_up and await self.seek.enter_found(directory, ours):
            return None
        record = outcome.sending(before, "create-contact", ours, fingerprint, self.run.now())
        for _ in range(SENDINGS):
            await self.run.journal.save(record)
            try:
                contact_id = (await self.run.api.create_contact(create_body(ours, location))).id
                return await self._created(record, contact_id, ours, "created")
            except DuplicateContact as duplicate:
                self.refused_by[before.source_id] = duplicate.contact_id
                found = await self.seek.held_by(directory, duplicate)
                if found and normal_form(found, location).get("id") == ours["id"]:
                    how = "recovered" if doubtful else "adopted"
                    return await self._created(record, duplicate.contact_id, ours, how)
                await self.run.journal.save(outcome.not_sent(record))
                return None if found else await self.reject(record, duplicate, ours, fingerprint)
            except RejectedRecord as error:
                if error.status == CREATED_YET_REFUSED and (found_id := await self.seek.probe(ours)):
                    return await self._created(record, found_id, ours, "recovered")
                return await self.reject(record, error, ours, fingerprint)
            except OutcomeUnknown as error:
                doubtful = True
                record = outcome.unknown(record, str(error), error.status, self.run.now())
                if found_id := await self.seek.probe_quietly(ours):
                    return await self._created(record, found_id, ours, "recovered")
                if location.allows_duplicates or error.effect is Effect.DONE:
                    break
        return await self._save(record, None, deeds=[deed(record, "unknown", None, whole(ours))])

    async def reject(
        self,
        before: Record,
        error: ApiError,
        payload: Content | None,
        fingerprint: str | None,
        deeds: Sequence[Deed] = (),
    ) -> Record:
        """Keep a refused record; ``deeds``: what of it was done all the same."""
        self.run.findings.refuse("contacts", before.source_id, error.reason)
        kept = outcome.rejected(before, error, payload, fingerprint, self.run.now())
        return await self._save(kept, None, deeds=[*deeds, deed(kept, "rejected", None, payload)])

    async def _lost(
        self, sent: Record, error: OutcomeUnknown, what: tuple[dict[str, Any], dict[str, Any]]
    ) -> Record:
        """Keep a change without an answer."""
        lost = outcome.unknown(sent, str(error), error.status, self.run.now())
        return await self._save(lost, None, deeds=[deed(lost, "unknown", *what)])

    async def _created(self, record: Record, contact_id: str, ours: dict[str, Any], how: str) -> Record:
        directory = await self.run.directory()
        origin = "adopted" if how == "adopted" else "created"
        done = outcome.synced(record, contact_id, ours, record.fingerprint, self.run.now())
        done = replace(done, origin=origin)
        put = ours.get("tags", []) if origin == "created" else []
        started = crossed(self.run, record, done, put)
        deeds = [deed(done, how, None, whole(ours) if origin == "created" else None, why=_HOW.get(how))]
        return await self._save(done, how, directory.entry(contact_id, ours), started, deeds)

    def _may_differ(self, base: Content, ours: Content) -> bool:
        """Whether the destination may hold something else than it should: only then is it read."""
        policies = self._policies
        keeps_equal = self.run.full and any(rule.policy == "source" for rule in policies.values())
        return (
            keeps_equal or ours.get("tags", []) != base.get("tags", []) or bool(changed(base, ours, policies))
        )

    @property
    def _policies(self) -> Policies:
        """The rules of the fields; what is taken back is merged, and a person's edit stands."""
        return NO_POLICIES if self.run.undoing else self.run.rules.policies

    def _updatable(self, found: Merge) -> Merge:
        """Without the company's name: it is in no update's schema (HighLevel OpenAPI)."""
        if "companyName" in found.write:
            self.run.findings.remark(
                "contacts", "with a changed company, which the API only sets on creation"
            )
        write = {name: value for name, value in found.write.items() if name != "companyName"}
        return Merge(write, found.conflicts)

    def _tell(self, record: Record, contact_id: str, found: Merge) -> None:
        for name in found.conflicts:
            self.run.findings.dispute("contacts", name, record.source_id, contact_id)

    async def _save(
        self,
        record: Record,
        count: str | None,
        entry: Content | None = None,
        started: Sequence[effects.Effect] = (),
        deeds: Sequence[Deed] = (),
    ) -> Record:
        await self.run.journal.save(record, entry, started, deeds)
        if count and not self.again:
            self.run.findings.count("contacts", count)
        elif count == "updated":
            self.run.findings.remark(
                "contacts", "given an e-mail or phone that was another contact's until now"
            )
        return record


def _written(base: Content, ours: Content, policies: Policies) -> dict[str, Any]:
    """What the destination was made to hold: what was there of ours, with what the source says now."""
    emptied = {name for name, rule in policies.items() if rule.clear and name not in ours}
    kept = waiting_for({**base, **ours}, ours)
    content = {name: value for name, value in kept.items() if name not in emptied and value is not None}
    return content | {"tags": ours.get("tags", [])}  # none is something else than unknown


def _complete(ours: Content, theirs: Content) -> bool:
    """Whether there is nothing to write for sure."""
    missing = [name for name in ours if name not in BESIDES and not theirs.get(name)]
    return not missing and set(ours.get("tags", [])) <= set(theirs.get("tags", []))
