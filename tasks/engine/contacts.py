"""Writes one contact: creates it, adopts one that is there, or writes exactly what changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tasks.engine import outcome
from tasks.engine.merge import BESIDES, Merge, changed, fill, landed, merge, merge_tags
from tasks.engine.run import Run
from tasks.errors import ApiError, DuplicateContact, Effect, NotFound, OutcomeUnknown, RejectedRecord
from tasks.highlevel.requests import CreateContact, SearchContacts, UpdateContact
from tasks.identity.directory import Directory, normal_form
from tasks.identity.location import Location
from tasks.ledger import records
from tasks.ledger.records import Record

SENDINGS = 3
"""How often a create is sent within a run where the location itself keeps duplicates out."""
CREATED_YET_REFUSED = 422
"""A status under which a contact has been created all the same (reported once to HighLevel)."""
CUSTOM = ("id", "other_phones")

Content = Mapping[str, Any]


@dataclass(slots=True)
class ContactWriter:
    """Brings single contacts to the destination."""

    run: Run

    async def update(self, before: Record, ours: dict[str, Any], fingerprint: str) -> Record:
        """Write what the source changed since we last wrote, and only that."""
        base = before.content or {}
        if base.get("withheld") and base["withheld"] == ours.get("phone"):
            ours = withhold(ours)
        contact_id = before.destination_id
        assert contact_id is not None  # noqa: S101 - narrows the type
        same_tags = ours.get("tags", []) == base.get("tags", [])
        if same_tags and not changed(base, ours) and before.intent is None:
            return await self._save(outcome.unchanged(before, fingerprint), "unchanged")
        location = await self.run.location()
        try:
            theirs = normal_form(await self.run.api.get_contact(contact_id), location)
        except NotFound:
            self.run.findings.remark("contacts", "deleted at the destination by someone, and left so")
            return await self._save(outcome.left(before, fingerprint), "skipped")
        base = landed(base, before.intent, theirs)
        before = replace(before, content=base)
        found = self._updatable(merge(base, ours, theirs))
        add, remove = merge_tags(base, ours, theirs)
        if remove:
            remove = await self._only_ours(before, remove)
        self._tell(found)
        wrote = bool(found.write or add or remove)
        sent = outcome.changing(
            before, ours, fingerprint, write=found.write, add_tags=add, remove_tags=remove
        )
        if wrote:
            await self.run.journal.save(sent)
        try:
            dropped = await self._write(contact_id, found.write)
            base |= {name: value for name, value in found.write.items() if name not in dropped}
            before = replace(before, content=base)  # whatever becomes of the tags, this much is ours
            await self._tag(contact_id, add, remove)
        except RejectedRecord as error:
            payload = {**found.write, "add_tags": add, "remove_tags": remove}
            return await self.reject(before, error, payload, fingerprint)
        except OutcomeUnknown as error:
            return await self._save(outcome.unknown(sent, str(error), error.status), None)
        kept = {name: base[name] for name in dropped if name in base}
        content = {**base, **{name: value for name, value in ours.items() if name not in dropped}, **kept}
        return await self._save(
            outcome.synced(before, contact_id, content, fingerprint),
            "updated" if wrote else "unchanged" if before.intent is None else "recovered",
        )

    async def adopt(
        self, before: Record, ours: dict[str, Any], fingerprint: str, contact_id: str, *, with_phone: bool
    ) -> Record | None:
        """Link a contact found at the destination, filling what is empty there; None where it is gone."""
        if not with_phone:
            ours = withhold(ours)
        directory = await self.run.directory()
        theirs = await directory.content(contact_id) or {}
        if not _complete(ours, theirs):
            try:
                contact = await self.run.api.get_contact(contact_id)
            except NotFound:
                await directory.remove(contact_id)
                return None
            theirs = normal_form(contact, directory.location)
        found = self._updatable(fill(ours, theirs))
        add = [tag for tag in ours.get("tags", []) if tag not in theirs.get("tags", [])]
        self._tell(
            replace(
                found, conflicts=tuple(name for name in found.conflicts if name not in (*CUSTOM, "source"))
            )
        )
        content = {**ours, "foreign_tags": [tag for tag in ours.get("tags", []) if tag not in add]}
        linked = replace(
            before,
            destination_id=contact_id,
            origin="adopted",
            listed="",
            content={name: value for name, value in content.items() if name not in found.write}
            | {"tags": content["foreign_tags"]},
        )
        sent = outcome.changing(linked, ours, fingerprint, write=found.write, add_tags=add)
        if found.write or add:
            await self.run.journal.save(sent)
        try:
            dropped = await self._write(contact_id, found.write)
            await self._tag(contact_id, add, [])
        except NotFound:
            await directory.remove(contact_id)
            await self.run.journal.save(before)
            return None
        except RejectedRecord as error:
            return await self.reject(before, error, found.write, fingerprint)
        except OutcomeUnknown as error:
            return await self._save(outcome.unknown(sent, str(error), error.status), None)
        written = {name: value for name, value in found.write.items() if name not in dropped}
        entry = directory.entry(contact_id, {**theirs, **written, "tags": [*theirs.get("tags", []), *add]})
        return await self._save(outcome.synced(linked, contact_id, content, fingerprint), "adopted", entry)

    async def create(
        self, before: Record, ours: dict[str, Any], fingerprint: str, *, with_phone: bool
    ) -> Record | None:
        """Create a contact, exactly once; None where the location knows it and it is to be resolved anew."""
        if not with_phone:
            ours = withhold(ours)
        directory = await self.run.directory()
        location, doubtful = directory.location, False
        if self.run.looks_up and await self._enter_found(directory, ours):
            return None
        record = outcome.sending(before, "create-contact", ours, fingerprint)
        for _ in range(SENDINGS):
            await self.run.journal.save(record)
            try:
                contact_id = (await self.run.api.create_contact(create_body(ours, location))).id
                return await self._created(record, contact_id, ours, "created")
            except DuplicateContact as duplicate:
                found = await self._held_by(directory, duplicate)
                if found and found.get("id") == ours["id"]:
                    how = "recovered" if doubtful else "adopted"
                    return await self._created(record, duplicate.contact_id, ours, how)
                await self.run.journal.save(outcome.not_sent(record))
                return None if found else await self.reject(record, duplicate, ours, fingerprint)
            except RejectedRecord as error:
                if error.status == CREATED_YET_REFUSED and (found_id := await self.probe(ours)):
                    return await self._created(record, found_id, ours, "recovered")
                return await self.reject(record, error, ours, fingerprint)
            except OutcomeUnknown as error:
                doubtful = True
                record = outcome.unknown(record, str(error), error.status)
                if found_id := await self._probe_quietly(ours):
                    return await self._created(record, found_id, ours, "recovered")
                if location.allows_duplicates or error.effect is Effect.DONE:
                    break
        return await self._save(record, None)

    async def probe(self, ours: Content) -> str | None:
        """Ask whether the destination holds our contact, by e-mail, phone and our id; return its id."""
        location = await self.run.location()
        for key in ({"email": ours.get("email")}, {"number": ours.get("phone")}):
            if not any(key.values()):
                continue
            found = await self.run.api.find_duplicate(**key)
            if found is not None:
                contact = await self.run.api.get_contact(found.id)
                if normal_form(contact, location).get("id") == ours["id"]:
                    return contact.id
        if not location.allows_duplicates:
            return None
        filters = [{"field": f"customFields.{location.fields['id']}", "operator": "eq", "value": ours["id"]}]
        page = await self.run.api.search_contacts(SearchContacts(pageLimit=2, page=1, filters=filters))
        return page.contacts[0].id if page.contacts else None

    async def reject(
        self, before: Record, error: ApiError, payload: Content | None, fingerprint: str | None
    ) -> Record:
        """Keep a refused record."""
        return await self._save(outcome.rejected(before, error, payload, fingerprint), None)

    async def _probe_quietly(self, ours: Content) -> str | None:
        try:
            return await self.probe(ours)
        except ApiError:
            return None

    async def _enter_found(self, directory: Directory, ours: Content) -> bool:
        """Look a contact up by its keys; enter one that the directory does not know yet."""
        for key in ({"email": ours.get("email")}, {"number": ours.get("phone")}):
            found = await self.run.api.find_duplicate(**key) if any(key.values()) else None
            if found is not None and await directory.content(found.id) is None:
                await directory.enter([await self.run.api.get_contact(found.id)])
                return True
        return False

    async def _held_by(self, directory: Directory, duplicate: DuplicateContact) -> dict[str, Any] | None:
        """Enter the contact that a refusal names; None where it cannot be read."""
        try:
            contact = await self.run.api.get_contact(duplicate.contact_id)
        except NotFound:
            return None
        await directory.enter([contact])
        return normal_form(contact, directory.location)

    async def _created(self, record: Record, contact_id: str, ours: dict[str, Any], how: str) -> Record:
        directory = await self.run.directory()
        origin = "adopted" if how == "adopted" else "created"
        done = replace(outcome.synced(record, contact_id, ours, record.fingerprint), origin=origin)
        return await self._save(done, how, directory.entry(contact_id, ours))

    async def _write(self, contact_id: str, write: dict[str, Any]) -> list[str]:
        """Send the changes; return the fields that the location refused as another contact's."""
        write, dropped = dict(write), []
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
                self.run.findings.remark(
                    "contacts", f"{name} not written: another contact of the location has it"
                )
                del write[name]
                dropped.append(name)
        return dropped

    async def _tag(self, contact_id: str, add: list[str], remove: list[str]) -> None:
        if add:
            await self.run.api.add_tags(contact_id, add)
        if remove:
            await self.run.api.remove_tags(contact_id, remove)

    async def _only_ours(self, before: Record, tags: list[str]) -> list[str]:
        """Without the tags that another source contact linked to the same contact still has."""
        assert before.destination_id is not None  # noqa: S101 - narrows the type
        contact_id = before.destination_id
        linked = await self.run.database.look(
            lambda connection: records.linked_to(connection, self.run.name, contact_id)
        )
        held = {
            tag
            for other in linked
            if other.source_id != before.source_id
            for tag in (other.content or {}).get("tags", [])
        }
        return [tag for tag in tags if tag not in held]

    def _updatable(self, found: Merge) -> Merge:
        """Without the company's name: it is in no update's schema (HighLevel OpenAPI)."""
        if "companyName" in found.write:
            self.run.findings.remark(
                "contacts", "with a changed company, which the API only sets on creation"
            )
        write = {name: value for name, value in found.write.items() if name != "companyName"}
        return Merge(write, found.conflicts)

    def _tell(self, found: Merge) -> None:
        for name in found.conflicts:
            self.run.findings.remark("contacts", f"{name} left as a person wrote it at the destination")

    async def _save(self, record: Record, count: str | None, entry: Content | None = None) -> Record:
        await self.run.journal.save(record, entry)
        if count:
            self.run.findings.count("contacts", count)
        return record


def withhold(ours: Content) -> dict[str, Any]:
    """The content of a contact whose phone is somebody else's: the number goes to the custom field."""
    phone = ours.get("phone")
    if not phone:
        return dict(ours)
    others = ", ".join(dict.fromkeys([phone, *str(ours.get("other_phones", "")).split(", ")])).strip(", ")
    return {name: value for name, value in ours.items() if name != "phone"} | {
        "other_phones": others,
        "withheld": phone,
    }


def create_body(ours: Content, location: Location) -> CreateContact:
    """The request that creates a contact; tags and custom fields travel in it."""
    tags = {"tags": ours["tags"]} if ours.get("tags") else {}
    return CreateContact(**_fields(ours, location), **tags)


def update_body(write: Content, location: Location) -> UpdateContact:
    """The request that changes these fields."""
    return UpdateContact(**_fields(write, location))


def _fields(content: Content, location: Location) -> dict[str, Any]:
    plain = {name: value for name, value in content.items() if name not in CUSTOM and name not in BESIDES}
    custom = {location.fields[name]: content[name] for name in CUSTOM if name in content}
    return plain | ({"customFields": custom} if custom else {})


def _complete(ours: Content, theirs: Content) -> bool:
    """Whether there is nothing to write for sure."""
    missing = [name for name in ours if name not in BESIDES and not theirs.get(name)]
    return not missing and set(ours.get("tags", [])) <= set(theirs.get("tags", []))
