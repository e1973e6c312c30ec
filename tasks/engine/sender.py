"""Sends changes of contacts without the e-mails and phones that are another contact's, and knows those."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tasks.engine.bodies import update_body
from tasks.engine.run import Run
from tasks.engine.seek import Seeker
from tasks.engine.twins import WITHHELD, joined, withhold
from tasks.errors import DuplicateContact
from tasks.ledger import records
from tasks.ledger.records import Record

Content = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends changes of contacts, and knows what is taken."""

    run: Run
    seek: Seeker

    async def send(
        self, contact_id: str, write: dict[str, Any], ours: dict[str, Any], theirs: Content
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Send the changes; return what was written, and our content without what another contact has.

        A number that the location refuses as another contact's goes to the custom field.
        """
        write = dict(write)
        location = await self.run.location()
        while write:
            try:
                await self.run.api.update_contact(contact_id, update_body(write, location))
                break
            except DuplicateContact as duplicate:
                name = (
                    duplicate.field if duplicate.field in write else "phone" if "phone" in write else "email"
                )
                if name not in write:
                    raise
                await self.seek.held_by(self.seek.book(location), duplicate)
                self.tell_withheld(name)
                ours = withhold(ours, name)
                number = write.pop(name)
                if name == "phone":
                    there = write.get("other_phones", theirs.get("other_phones"))
                    write |= {"other_phones": joined(there, number)}
        self.run.freed |= {theirs[name] for name in WITHHELD if name in write and theirs.get(name)}
        return write, ours

    async def tag(self, contact_id: str, add: list[str], remove: list[str]) -> None:
        """Add some tags, and take others away."""
        if add:
            await self.run.api.add_tags(contact_id, add)
        if remove:
            await self.run.api.remove_tags(contact_id, remove)

    async def without_taken(self, base: Content, ours: dict[str, Any], contact_id: str) -> dict[str, Any]:
        """Our content without an e-mail or phone that another contact has, as far as is known."""
        for name, memory in WITHHELD.items():
            value = ours.get(name)
            if not value or value == base.get(name):
                continue
            waits = base.get(memory) == value
            if await self.seek.is_taken(name, value, contact_id, ask=not waits):
                ours = withhold(ours, name)
                if not waits:
                    self.tell_withheld(name)
            elif waits and name == "phone":
                ours = {"other_phones": None, **ours}  # it need not stand there as well
        return ours

    async def given_up(self, base: Content, ours: Content) -> dict[str, str]:
        """An e-mail or phone of ours that is outdated, and that another source contact waits for.

        Two that swap theirs would wait for each other for ever.
        """
        found: dict[str, str] = {}
        for name, memory in WITHHELD.items():
            if memory in ours and (stale := base.get(name)):
                waiting = partial(records.withholding, account=self.run.name, keys=[stale])
                found |= {name: stale} if await self.run.database.look(waiting) else {}
        return found

    async def outdated(self, waiting: Sequence[Record]) -> list[Record]:
        """The source contacts that have what these wait for only because they wait for something, too."""
        wanted = [(record.content or {}).get(memory) for record in waiting for memory in WITHHELD.values()]
        keys = [{name: value} for value in wanted if value for name in WITHHELD]
        if not keys:
            return []
        holders = await self.seek.book(await self.run.learn()).candidates(keys)
        ids = [one.contact_id for one in holders]
        found = await self.run.database.look(
            lambda connection: records.linked_to(connection, self.run.name, *ids)
        )
        return [record for record in found if {*WITHHELD.values()} & set(record.content or {})]

    async def others(self, before: Record, contact_id: str) -> list[Content]:
        """The contents of the other source contacts that are linked to the same contact.

        One that vanished at the source has no say on tags any more.
        """
        linked = await self.run.database.look(
            lambda connection: records.linked_to(connection, self.run.name, contact_id)
        )
        return [
            {**(other.content or {}), **({"tags": []} if other.state == "gone" else {})}
            for other in linked
            if other.source_id != before.source_id
        ]

    def tell_withheld(self, name: str) -> None:
        """Say that a contact is without what is another's."""
        where = f", it is in {self.run.account.mapping.phones_field!r}" if name == "phone" else ""
        sentence = f"{name} not written: another contact of the location has it{where}"
        self.run.findings.remark("contacts", sentence)
