"""Executes what a batch asks for: contacts before their children, different contacts at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from tasks.engine import outcome
from tasks.engine.children import ChildWriter, remember_listing
from tasks.engine.contacts import ContactWriter
from tasks.engine.deeds import deed
from tasks.engine.entities.appointments import Appointments
from tasks.engine.entities.child import Child
from tasks.engine.entities.crm_tasks import CrmTasks
from tasks.engine.entities.notes import Notes
from tasks.engine.gone import ContactGone, vanished
from tasks.engine.run import Run
from tasks.engine.shape import Bundle
from tasks.engine.subject import about
from tasks.engine.twins import restored, withhold
from tasks.engine.who import Resolver, Said, Turn
from tasks.errors import ApiError, NotPlanned, RejectedRecord
from tasks.identity.resolve import Adopt, Ambiguous, Create
from tasks.ledger import records
from tasks.ledger.records import Record
from tasks.mapping.desired import Desired, Refused, Skipped
from tasks.together import together

CHILDREN: dict[str, Child] = {"notes": Notes(), "tasks": CrmTasks(), "appointments": Appointments()}
"""A new entity under a contact is one file and one line here."""


@dataclass(slots=True)
class Writer:
    """Writes the batches of one run."""

    run: Run
    contacts: ContactWriter = field(init=False)
    resolver: Resolver = field(init=False)
    _known: dict[str, dict[str, Record]] = field(
        default_factory=lambda: {entity: {} for entity in ("contacts", *CHILDREN)}
    )

    def __post_init__(self) -> None:
        self.contacts = ContactWriter(self.run)
        self.resolver = Resolver(self.run, self.contacts.refused_by)

    async def load(
        self, bundles: Sequence[Bundle], *, advance: Callable[[int], None] = lambda _: None
    ) -> None:
        """Bring these bundles to the destination and record how each went; ``advance`` is told of each done.

        Raises:
            Fatal: the run cannot go on; what was done is recorded, what was under way is known as unknown.
        """
        if not bundles:
            return
        await self.run.learn()
        await self._look_up(bundles)
        waiting = [self._current(bundle) for bundle in bundles]
        rounds = dict.fromkeys((bundle.contact_id for bundle in bundles), 0)
        while waiting:
            now, later = await self.resolver.turns(waiting, self._known["contacts"], rounds)
            again = await self._all(now, advance)
            waiting = [*again, *later]
        await self.give_back()

    async def finish(self, *, advance: Callable[[int], None] = lambda _: None) -> None:
        """At the end of the source: bring those there who depended on somebody who could still have come."""
        self.resolver.at_end = True
        put_off, self.resolver.put_off = self.resolver.put_off, []
        await self.load(put_off, advance=advance)

    async def _look_up_activities(self, bundle: Bundle, more: Sequence[Desired]) -> None:
        """Read the records of a contact's activities again, after they lost their place."""
        for entity in CHILDREN:
            ids = [one.source_id for one in [*bundle.children.get(entity, ()), *more] if one.entity == entity]
            load = partial(records.load, account=self.run.name, entity=entity, ids=ids)
            self._known[entity] |= await self.run.database.look(load)

    async def give_back(self) -> None:
        """Write e-mails and phones that were another's until now, and need not be withheld any more."""
        name = self.run.name
        while (self.run.freed or self.contacts.waiting) and "contacts" in self.run.entities:
            freed, waiting = set(self.run.freed), set(self.contacts.waiting)
            self.run.freed.clear()
            self.contacts.waiting.clear()
            due = await self.run.database.look(partial(records.withholding, account=name, keys=freed))
            look = partial(records.load, account=name, entity="contacts", ids=waiting)
            due += (anew := list((await self.run.database.look(look)).values()))
            due += await self.contacts.sender.outdated(anew)
            bundles = []
            for record in {record.source_id: record for record in due}.values():
                self._known["contacts"][record.source_id] = record
                desired = Desired("contacts", record.source_id, None, restored(record.content or {}))
                fingerprints = {record.key: record.fingerprint or ""}
                bundles.append(Bundle(record.source_id, desired, fingerprints=fingerprints))
            self.contacts.again = True
            await self._all([(bundle, None) for bundle in bundles], lambda _: None)
            self.contacts.again = False

    async def _look_up(self, bundles: Sequence[Bundle]) -> None:
        name = self.run.name
        wanted: dict[str, list[str]] = {"contacts": [bundle.contact_id for bundle in bundles]}
        for entity in CHILDREN:
            wanted[entity] = [
                child.source_id for bundle in bundles for child in bundle.children.get(entity, [])
            ]
        self._known = await self.run.database.look(
            lambda connection: {
                entity: records.load(connection, name, entity, ids) for entity, ids in wanted.items()
            }
        )

    def _current(self, bundle: Bundle) -> Bundle:
        """Without what another run, for which this one stepped aside, has read later and dealt with."""

        def is_current(entity: str, source_id: str) -> bool:
            key = (entity, source_id)
            if key not in bundle.compared:
                key = ("contacts", bundle.contact_id)  # with which a stand-in came
            record = self._known[key[0]].get(key[1])
            if key not in bundle.compared or bundle.compared[key] == (record and record.fingerprint):
                return True
            self.run.findings.count(entity, "unchanged")
            return False

        contact = bundle.contact if is_current("contacts", bundle.contact_id) else None
        children = {
            entity: [one for one in several if is_current(entity, one.source_id)]
            for entity, several in bundle.children.items()
        }
        return replace(bundle, contact=contact, children=children, compared={})

    async def _all(self, work: list[Turn], advance: Callable[[int], None]) -> list[Bundle]:
        """Work through bundles concurrently; return those whose contact is to be resolved anew."""
        queue, again = deque(work), list[Bundle]()

        async def worker() -> None:
            while queue and not self.run.stop_reason:
                bundle, verdict = queue.popleft()
                if await self._bundle(bundle, verdict):
                    advance(1)
                else:
                    again.append(bundle)

        await together(worker() for _ in range(min(len(work), self.run.account.destination.concurrency)))
        self.run.check()
        return again

    async def _bundle(self, bundle: Bundle, verdict: Said | None) -> bool:
        """Write one contact and then its children; False where the contact is to be resolved anew."""
        parent = self._known["contacts"].get(bundle.contact_id)
        if bundle.contact is not None and "contacts" in self.run.entities:
            try:
                with about("contacts", bundle.contact_id) as subject:
                    parent = await self._contact(bundle, verdict, parent)
            except NotPlanned as error:
                await self.run.leave_out(subject, [parent] if parent else [], error)
                if parent is None:
                    return True  # its activities are left out with it
            except ApiError as error:
                if parent is None or parent.intent is None:  # else it stays open: what was sent may be there
                    before = parent or self._blank(bundle)
                    refused = RejectedRecord(str(error), status=error.status, reason=error.reason)
                    parent = await self.contacts.reject(
                        before, refused, None, bundle.fingerprints["contacts", bundle.contact_id]
                    )
            except ContactGone:
                return await self._vanished(bundle, counted=False)
            if parent is None:
                return False
            self._known["contacts"][bundle.contact_id] = parent
        chains = self._chains(bundle, parent)
        await together(self._chain(chain, bundle) for chain in chains)
        await self._remember_listings(chains)
        return not any(chain.contact_gone for chain in chains) or await self._vanished(bundle, counted=True)

    async def _vanished(self, bundle: Bundle, *, counted: bool) -> bool:
        """A linked contact is not there any more: record what comes of it; False where it is placed anew.

        It is ``counted`` already where an activity brought that to light.
        """
        before = self._known["contacts"][bundle.contact_id]
        said = bundle.contact.content if isinstance(bundle.contact, Desired) else None
        fingerprint = bundle.fingerprints.setdefault(before.key, before.fingerprint or "")
        try:
            after = await vanished(self.run, before, said, fingerprint)
        except ApiError as error:
            return await self._keep(bundle, before, error)
        self._known["contacts"][bundle.contact_id] = after.contact
        if not counted and after.contact.state == "left":
            self.run.findings.count("contacts", "skipped")
        await self._look_up_activities(bundle, [one for one, _ in after.activities])
        if after.contact.state != "waiting":
            return await self._bundle(replace(bundle, contact=None), None)
        bundle.contact = Desired("contacts", bundle.contact_id, None, after.content)
        for one, mark in after.activities:
            if (one.entity, one.source_id) not in bundle.fingerprints:
                bundle.children.setdefault(one.entity, []).append(one)
                bundle.fingerprints[one.entity, one.source_id] = mark
        return False

    async def _keep(self, bundle: Bundle, before: Record, error: ApiError) -> bool:
        """What became of a contact is not told: it is refused and asked for again, its activities wait."""
        if before.intent is None:  # else it stays open: what was sent may be there
            refused = RejectedRecord(str(error), status=error.status, reason=error.reason)
            await self.contacts.reject(before, refused, None, bundle.fingerprints[before.key])
        await self._look_up_activities(bundle, [])
        await together(self._chain(chain, bundle) for chain in self._chains(bundle, None))
        return True

    def _chains(self, bundle: Bundle, parent: Record | None) -> list[ChildWriter]:
        return [
            ChildWriter(self.run, CHILDREN[entity], parent, self._known[entity])
            for entity in bundle.children
            if entity in self.run.entities
        ]

    async def _chain(self, chain: ChildWriter, bundle: Bundle) -> None:
        for child in bundle.children[chain.kind.entity]:
            if self.run.stop_reason:  # what is under way is finished, nothing new is begun
                return
            await chain.write(child, bundle.fingerprints[chain.kind.entity, child.source_id])

    async def _remember_listings(self, chains: list[ChildWriter]) -> None:
        parents = [chain.parent for chain in chains if chain.parent is not None]
        listed = [chain.kind.entity for chain in chains if chain.listed_now]
        if not listed or not parents or parents[0].origin != "adopted":
            return
        parent = next((one for one in parents if one.state == "left"), parents[0])
        remembered = remember_listing(parent, listed)
        if remembered != parent:
            await self.run.journal.save(remembered)

    async def _contact(self, bundle: Bundle, verdict: Said | None, before: Record | None) -> Record | None:
        fingerprint = bundle.fingerprints["contacts", bundle.contact_id]
        record = before or self._blank(bundle)
        if outcome.is_parting(record):
            return record  # whether it was deleted is not known: nothing is sent before that is settled
        record = replace(record, seen=max(record.seen, self.run.walk))
        match bundle.contact:
            case Skipped(reason="no_email_or_phone") if record.destination_id:
                return await self._save(outcome.unchanged(record, fingerprint), "unchanged")
            case Skipped(reason=reason):
                self.run.findings.remark("contacts", f"skipped ({reason})")
                return await self._save(outcome.skipped(record, reason, fingerprint), "skipped")
            case Refused(reason=reason, message=message):
                return await self.contacts.reject(
                    record, RejectedRecord(message, reason=reason), None, fingerprint
                )
            case Desired(content=ours, kept_back=kept_back):
                for reason in kept_back:
                    self.run.findings.remark("contacts", f"without a part ({reason})")
                return await self._place(record, ours, fingerprint, verdict)
        return record

    async def _place(
        self, record: Record, ours: dict[str, Any], fingerprint: str, verdict: Said | None
    ) -> Record | None:
        leaves = outcome.is_asked(record) and self.run.account.mapping.deleted_contacts == "leave"
        if record.state == "left" or leaves:
            return await self._save(outcome.left(record, fingerprint), "skipped")
        match verdict:
            case ApiError():
                raise verdict
            case Create():
                allowed = self._allowed(ours, verdict)
                if not allowed.get("email") and not allowed.get("phone"):
                    return await self._keyless(record, ours, allowed, fingerprint)
                return await self.contacts.create(record, allowed, fingerprint)
            case Adopt(contact_id=contact_id):
                ours = self._allowed(ours, verdict)
                linked = await self.contacts.adopt(record, ours, fingerprint, contact_id)
                if linked is None and record.decision:
                    verdict = Ambiguous((), "the contact that it was linked to is not there any more")
                    return await self._ask(record, verdict, fingerprint)
                return linked
            case Ambiguous(candidates=candidates):
                told = (record.payload or {}).get("candidates") if record.state == "ambiguous" else None
                if list(candidates) != told and not await self.contacts.seek.are_there(candidates):
                    self.contacts.refused_by.pop(record.source_id, None)  # or it would be named again
                    return None
                return await self._ask(record, verdict, fingerprint)
        if record.destination_id:
            return await self.contacts.update(record, ours, fingerprint)
        return record  # its create is still unresolved: nothing is sent before that is known

    async def _keyless(
        self, record: Record, ours: dict[str, Any], allowed: dict[str, Any], fingerprint: str
    ) -> Record | None:
        """Whoever is to be created, although both keys are others': look whether they still are."""
        for name in ("email", "phone"):
            value = ours.get(name)
            if value and not await self.contacts.seek.is_taken(name, value, "", ask=True):
                return None
        why = "its e-mail and phone are other contacts', and the API takes nobody without either"
        error = RejectedRecord(why, reason="no_key_left")
        return await self.contacts.reject(record, error, allowed, fingerprint)

    def _allowed(self, ours: dict[str, Any], verdict: Create | Adopt) -> dict[str, Any]:
        """Without the keys that are another contact's."""
        for name, allowed in (("phone", verdict.with_phone), ("email", verdict.with_email)):
            if not allowed and ours.get(name):
                ours = withhold(ours, name)
                self.contacts.sender.tell_withheld(name)
        return ours

    def _blank(self, bundle: Bundle) -> Record:
        return outcome.blank(
            self.run.name, "contacts", bundle.contact_id, None, self.run.walk, self.run.met_at
        )

    async def _ask(self, before: Record, verdict: Ambiguous, fingerprint: str) -> Record:
        """Leave it to a person; the history tells it once."""
        asked = outcome.ambiguous(before, verdict, fingerprint)
        news = before.state != asked.state or before.payload != asked.payload
        await self.run.journal.save(
            asked,
            deeds=[deed(asked, "ambiguous", None, {"candidates": list(verdict.candidates)})] if news else (),
        )
        return asked

    async def _save(self, record: Record, count: str | None) -> Record:
        await self.run.journal.save(record)
        if count:
            self.run.findings.count("contacts", count)
        return record
