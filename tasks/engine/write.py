"""Executes what a batch asks for: contacts before their children, different contacts at the same time.

New contacts are resolved against the location's directory first. Those that share an e-mail or phone
among themselves are taken one after the other, so that the second sees what the first became.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tasks.engine import outcome
from tasks.engine.children import ChildWriter, remember_listing
from tasks.engine.contacts import ContactWriter
from tasks.engine.entities.appointments import Appointments
from tasks.engine.entities.child import Child
from tasks.engine.entities.crm_tasks import CrmTasks
from tasks.engine.entities.notes import Notes
from tasks.engine.run import Run
from tasks.engine.shape import Bundle
from tasks.errors import ApiError, RejectedRecord
from tasks.identity.resolve import Adopt, Ambiguous, Create, Verdict, resolve
from tasks.ledger import records
from tasks.ledger.records import Record
from tasks.mapping.desired import Desired, Refused, Skipped
from tasks.together import together

CHILDREN: dict[str, Child] = {"notes": Notes(), "tasks": CrmTasks(), "appointments": Appointments()}
"""A new entity under a contact is one file and one line here."""
ROUNDS = 4
"""How often one contact is resolved anew before it is called ambiguous."""


@dataclass(slots=True)
class Writer:
    """Writes the batches of one run."""

    run: Run
    contacts: ContactWriter = field(init=False)
    _known: dict[str, dict[str, Record]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.contacts = ContactWriter(self.run)

    async def load(
        self, bundles: Sequence[Bundle], *, advance: Callable[[int], None] = lambda _: None
    ) -> None:
        """Bring these bundles to the destination and record how each went; ``advance`` is told of each done.

        Raises:
            Fatal: the run cannot go on; what was done is recorded, what was under way is known as unknown.
        """
        await self._look_up(bundles)
        waiting, rounds = list(bundles), dict.fromkeys((bundle.contact_id for bundle in bundles), 0)
        while waiting:
            now, later = await self._resolve(waiting, rounds)
            again = await self._all(now, advance)
            waiting = [*again, *later]

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

    async def _resolve(
        self, bundles: list[Bundle], rounds: dict[str, int]
    ) -> tuple[list[tuple[Bundle, Verdict | None]], list[Bundle]]:
        """Say which contact each new one is at the destination; put off those that depend on another."""
        new = [bundle for bundle in bundles if self._is_new(bundle)]
        ready: list[tuple[Bundle, Verdict | None]] = [(one, None) for one in bundles if not self._is_new(one)]
        if not new:
            return ready, []
        directory = await self.run.directory()
        candidates = await directory.candidates([_content(bundle) for bundle in new])
        later, claimed = [], set[tuple[str, str]]()
        for bundle in new:
            content = _content(bundle)
            keys = {(name, content[name]) for name in ("email", "phone") if content.get(name)}
            if keys & claimed:
                later.append(bundle)
                continue
            claimed |= keys
            verdict = resolve(content, candidates)
            rounds[bundle.contact_id] += 1
            if rounds[bundle.contact_id] > ROUNDS and not isinstance(verdict, Ambiguous):
                verdict = Ambiguous(
                    (), "the location refuses it as a duplicate of a contact that it does not show"
                )
            ready.append((bundle, verdict))
        return ready, later

    def _is_new(self, bundle: Bundle) -> bool:
        before = self._known["contacts"].get(bundle.contact_id)
        return (
            isinstance(bundle.contact, Desired)
            and "contacts" in self.run.entities
            and (before is None or (before.destination_id is None and before.intent is None))
        )

    async def _all(
        self, work: list[tuple[Bundle, Verdict | None]], advance: Callable[[int], None]
    ) -> list[Bundle]:
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

    async def _bundle(self, bundle: Bundle, verdict: Verdict | None) -> bool:
        """Write one contact and then its children; False where the contact is to be resolved anew."""
        parent = self._known["contacts"].get(bundle.contact_id)
        if bundle.contact is not None and "contacts" in self.run.entities:
            try:
                parent = await self._contact(bundle, verdict, parent)
            except ApiError as error:
                before = parent or self._blank(bundle)
                refused = RejectedRecord(str(error), status=error.status, reason=error.reason)
                parent = await self.contacts.reject(
                    before, refused, None, bundle.fingerprints["contacts", bundle.contact_id]
                )
            if parent is None:
                return False
            self._known["contacts"][bundle.contact_id] = parent
        chains = [
            ChildWriter(self.run, CHILDREN[entity], parent, self._known[entity])
            for entity in bundle.children
            if entity in self.run.entities
        ]
        await together(self._chain(chain, bundle) for chain in chains)
        await self._remember_listings(chains)
        return True

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

    async def _contact(self, bundle: Bundle, verdict: Verdict | None, before: Record | None) -> Record | None:
        fingerprint = bundle.fingerprints["contacts", bundle.contact_id]
        record = before or self._blank(bundle)
        record = replace(record, seen=self.run.walk)
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
        self, record: Record, ours: dict[str, Any], fingerprint: str, verdict: Verdict | None
    ) -> Record | None:
        if record.state == "left":
            return await self._save(outcome.left(record, fingerprint), "skipped")
        match verdict:
            case Create(with_phone=with_phone):
                return await self.contacts.create(record, ours, fingerprint, with_phone=with_phone)
            case Adopt(contact_id=contact_id, with_phone=with_phone):
                return await self.contacts.adopt(record, ours, fingerprint, contact_id, with_phone=with_phone)
            case Ambiguous(candidates=candidates, reason=reason):
                return await self._save(outcome.ambiguous(record, reason, candidates, fingerprint), None)
        if record.destination_id:
            return await self.contacts.update(record, ours, fingerprint)
        return record  # its create is still unresolved: nothing is sent before that is known

    def _blank(self, bundle: Bundle) -> Record:
        return outcome.blank(self.run.name, "contacts", bundle.contact_id, None, self.run.walk)

    async def _save(self, record: Record, count: str | None) -> Record:
        await self.run.journal.save(record)
        if count:
            self.run.findings.count("contacts", count)
        return record


def _content(bundle: Bundle) -> dict[str, Any]:
    assert isinstance(bundle.contact, Desired)  # noqa: S101 - narrows the type
    return bundle.contact.content
