"""Looks for a source contact at the destination by asking the API, where the directory does not suffice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.engine.run import Run
from tasks.errors import ApiError, DuplicateContact, NotFound
from tasks.highlevel.answers import Contact
from tasks.highlevel.requests import SearchContacts
from tasks.identity.directory import Directory, key_filters, normal_form
from tasks.identity.location import Location
from tasks.identity.resolve import Adopt, Candidate, resolve
from tasks.ledger.records import Record
from tasks.mapping import marker
from tasks.together import together

Content = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Seeker:
    """Asks who holds an id, an e-mail or a phone; none of it lags but the search, which has the id."""

    run: Run

    def book(self, location: Location) -> Directory:
        """The directory as it stands in the ledger, without reading what is new in the location."""
        return Directory(self.run.database, self.run.name, location, freed=self.run.freed)

    async def fresh(self, contact_id: str) -> Contact | None:
        """A contact as it is now; None where it is not there, or only as a deleted one."""
        try:
            contact = await self.run.api.get_contact(contact_id)
        except NotFound:
            return None
        return None if contact.deleted else contact

    async def probe(self, ours: Content) -> str | None:
        """Ask whether the destination holds our contact, by e-mail, phone and our id; return its id."""
        location = await self.run.location()
        async for contact in self._holders(ours):
            if normal_form(contact, location).get("id") == ours["id"]:
                return contact.id
        if not location.allows_duplicates:
            return None
        filters = [{"field": f"customFields.{location.fields['id']}", "operator": "eq", "value": ours["id"]}]
        page = await self.run.api.search_contacts(SearchContacts(pageLimit=20, page=1, filters=filters))
        for shown in page.contacts:  # the index may still show what was deleted
            found = await self.fresh(shown.id)
            if found is not None and normal_form(found, location).get("id") == ours["id"]:
                return found.id
        return None

    async def probe_quietly(self, ours: Content) -> str | None:
        """As `probe`; what cannot be asked is not known."""
        try:
            return await self.probe(ours)
        except ApiError:
            return None

    async def enter_found(self, directory: Directory, ours: Content) -> bool:
        """Look a contact up by its keys; enter one that the directory does not know yet."""
        for key in _keys(ours):
            found = await self.run.api.find_duplicate(**key)
            if found is not None and await directory.content(found.id) is None:
                await directory.enter([await self.run.api.get_contact(found.id)])
                return True
        return False

    async def held_by(self, directory: Directory, duplicate: DuplicateContact) -> Contact | None:
        """Enter the contact that a refusal names, and return it; None where it cannot be read."""
        contact = await self.fresh(duplicate.contact_id)
        if contact is not None:
            await directory.enter([contact])
        return contact

    async def is_taken(self, name: str, value: str, contact_id: str, *, ask: bool) -> bool:
        """Whether another contact than this one holds an e-mail or phone.

        Args:
            name: ``email`` or ``phone``.
            value: of it.
            contact_id: the contact that is to have it.
            ask: whether what the directory says is confirmed by the API.
        """
        directory = await self.run.directory() if self.run.full else self.book(await self.run.learn())
        for one in await directory.candidates([{name: value}]):
            if one.contact_id == contact_id or not one.holds(name, value):
                continue
            if not ask:
                return True
            contact = await self.fresh(one.contact_id)
            if contact is None:
                await directory.remove(one.contact_id)
                continue
            await directory.enter([contact])
            if directory.candidate(contact).holds(name, value):
                return True
        return False

    async def are_there(self, contact_ids: Collection[str]) -> bool:
        """Whether all of these contacts are at the destination; the directory loses those that are not.

        The search index shows what was updated, not what was deleted.
        """
        directory = await self.run.directory()
        found = await together(map(self.fresh, contact_ids))
        for contact_id, contact in zip(contact_ids, found, strict=True):
            if contact is None:
                await directory.remove(contact_id)
        return None not in found

    async def survivor(self, before: Record, ours: Content) -> str | None:
        """The contact into which ours was merged, where exactly one shows it.

        It holds our id or e-mail, or our phone and nobody else's name, or the activities that we wrote.
        """
        location = await self.run.location()
        directory = self.book(location)
        found = {contact.id: contact async for contact in self._holders(ours)}
        filters = [{"group": "OR", "filters": key_filters(ours, location)}]
        page = await self.run.api.search_contacts(SearchContacts(pageLimit=20, page=1, filters=filters))
        for contact in page.contacts:
            if contact.id in found or contact.id == before.destination_id:
                continue
            if (fresh := await self.fresh(contact.id)) is not None:
                found[contact.id] = fresh
        found.pop(before.destination_id or "", None)
        await directory.enter(list(found.values()))
        candidates = [directory.candidate(contact) for contact in found.values()]
        match resolve(ours, candidates):
            case Adopt(contact_id=contact_id):
                return contact_id
        marked = [one.contact_id for one in candidates if await self._has_ours(one, before.source_id)]
        return marked[0] if len(marked) == 1 else None

    async def _holders(self, ours: Content) -> AsyncIterator[Contact]:
        """The contacts that hold our e-mail and our phone, as they are now."""
        for key in _keys(ours):
            holder = await self.run.api.find_duplicate(**key)
            if holder is not None and (contact := await self.fresh(holder.id)) is not None:
                yield contact

    async def _has_ours(self, one: Candidate, source_id: str) -> bool:
        """Whether an activity that we wrote for this source contact is found under another contact."""
        notes = [note.body for note in await self.run.api.list_notes(one.contact_id)]
        tasks = [task.body for task in await self.run.api.list_crm_tasks(one.contact_id)]
        marks = [mark for text in [*notes, *tasks] if (mark := marker.find(text)) is not None]
        ours = (mark.source_id for mark in marks if mark.origin == self.run.rules.origin)
        return any(known.split("/")[0] == source_id for known in ours)


def _keys(ours: Content) -> list[dict[str, str]]:
    named = {"email": ours.get("email"), "number": ours.get("phone") or ours.get("withheld")}
    return [{name: value} for name, value in named.items() if value]
