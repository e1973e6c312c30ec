"""The location's contacts as last read, kept in the ledger: what new source contacts are compared with.

Reading the search index (500 contacts a request) mostly costs less than asking for contacts one by one; in
a location that is large beside the account it costs more, and then they are looked up. The first reading is
whole; later ones read what was updated since, newest first. The index lags behind writes by up to a minute
(measured by integrators), so what we write ourselves is entered here at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, select

from tasks.errors import ApiError
from tasks.highlevel.answers import Contact
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.custom_values import as_text
from tasks.highlevel.requests import SearchContacts
from tasks.identity.index import PAGE, pages, updated_at
from tasks.identity.location import Location
from tasks.identity.resolve import Candidate, name_of
from tasks.ledger import facts
from tasks.ledger.columns import matching
from tasks.ledger.database import Database
from tasks.ledger.records import blocks, upsert
from tasks.ledger.tables import directory
from tasks.together import together

FACT = "directory"
MEMORY = frozenset({"withheld", "withheld_email", "foreign_tags", "labels"})
"""Entries of a contact's content that stand in our ledger only: what we remember about it."""
LOOK_UPS = 3
"""Requests that looking one contact up costs where duplicates are allowed: a search, and by key for what it
does not show yet. Elsewhere the search suffices: the location itself refuses a duplicate."""
SEARCHES = 8
"""Searches under way at once."""
VALUE = 75
"""The longest value of a search filter (HighLevel's page on searching)."""


def normal_form(contact: Contact, location: Location) -> dict[str, Any]:
    """A contact of the API in the form in which mapped contents are written."""
    form = {
        "firstName": contact.first_name,
        "lastName": contact.last_name,
        "email": contact.email.casefold() if contact.email else None,
        "phone": dialled(contact.phone),
        "companyName": contact.company_name,
        "source": contact.source,
        "address1": contact.address1,
        "city": contact.city,
        "state": contact.state,
        "postalCode": contact.postal_code,
        "country": contact.country,
        "website": contact.website,
        "timezone": contact.timezone,
        "dateOfBirth": contact.date_of_birth,
        "assignedTo": contact.assigned_to,
    }
    for field_id, value in contact.custom.items():
        if name := location.named(field_id):
            form[name] = as_text(location.kinds.get(name), value)
    return {name: str(value) for name, value in form.items() if value} | {"tags": list(contact.tags)}


def dialled(phone: str | None) -> str | None:
    """A phone number without its punctuation."""
    kept = "".join(character for character in phone or "" if character.isdigit() or character == "+")
    return kept or None


def further(contact: Contact) -> list[str]:
    """The e-mail addresses and phone numbers of a contact besides its first, as after a merge."""
    found = []
    for name, items in (("email", contact.additional_emails), ("phone", contact.additional_phones)):
        for item in items:
            value = item.get(name) if isinstance(item, Mapping) else item
            if isinstance(value, str) and value:
                found.append(value.casefold() if name == "email" else dialled(value) or value)
    return found


def key_filters(content: Mapping[str, Any], location: Location) -> list[dict[str, Any]]:
    """What to search for to see all contacts that may be this one; what is too long to search for is not."""
    keys = {"email": content.get("email"), "phone": content.get("phone") or content.get("withheld")}
    if "id" in location.fields:
        keys[f"customFields.{location.fields['id']}"] = content.get("id")
    return [
        {"field": field, "operator": "eq", "value": value}
        for field, value in keys.items()
        if value and len(value) <= VALUE
    ]


@dataclass(slots=True)
class Directory:
    """One account's directory.

    Attributes:
        whole: whether every contact of the location is in it; otherwise each new one is looked up.
        pages: of the search index that were read.
        freed: e-mail addresses and phone numbers that contacts turned out not to have any more.
    """

    database: Database
    account: str
    location: Location
    whole: bool = True
    pages: int = 0
    freed: set[str] = field(default_factory=set)
    _asked: set[str] = field(default_factory=set)

    async def refresh(self, api: ContactsApi, *, lag: float, again: bool, newcomers: int) -> bool:
        """Bring the directory up to date with the search index; tell whether it was there before.

        Args:
            api: where to read.
            lag: how old the index may be, seconds: that much is read again.
            again: read everything, as the first time.
            newcomers: how many contacts are to be resolved: where looking them up costs fewer requests
                than reading on, that is left to `look_up`.
        """
        known = await self.database.look(lambda connection: facts.get(connection, self.account, FACT))
        since = known[0]["newest"] if known else None
        most = newcomers * (LOOK_UPS if self.location.allows_duplicates else 1)
        newest = await self._read_since(api, since - lag, most) if since and not again else None
        if newest is None:
            newest = await self._read_all(api, float("inf") if since else most)
        await self.database.do(
            lambda connection: facts.put(connection, self.account, FACT, {"newest": newest})
        )
        return known is not None

    async def look_up(self, api: ContactsApi, contents: Collection[Mapping[str, Any]]) -> dict[str, ApiError]:
        """Search for each of these contacts by its keys, once, where the directory is not whole.

        One search with all keys, for the look-up by key names a single contact where several hold one. Those
        whose search is refused are returned by their ids at the source: who they are is not known.
        """
        refused: dict[str, ApiError] = {}
        places = asyncio.Semaphore(SEARCHES)

        async def search(content: Mapping[str, Any]) -> None:
            if filters := key_filters(content, self.location):
                group = {"group": "OR", "filters": filters}
                try:
                    async with places:
                        found = await api.search_contacts(
                            SearchContacts(pageLimit=PAGE, page=1, filters=[group])
                        )
                except ApiError as error:
                    refused[content["id"]] = error
                    return
                if found.contacts:
                    await self.enter(found.contacts)
            self._asked.add(content["id"])

        await together(search(content) for content in contents if content["id"] not in self._asked)
        return refused

    async def _read_all(self, api: ContactsApi, most: float) -> float | None:
        """Read the whole index; None where that takes more than ``most`` requests after the first."""
        newest = 0.0
        async for page in pages(api, "dateAdded", "asc"):
            self.pages += 1
            if not newest and (page.total or 0) > PAGE * (most + 1):
                self.whole = False
                await self.enter(page.contacts)
                return None
            if not newest:
                await self.database.do(self._clear)
            await self.enter(page.contacts)
            newest = max(newest, 1.0, *(updated_at(contact) for contact in page.contacts))
        return newest

    async def _read_since(self, api: ContactsApi, since: float, most: float) -> float | None:
        """Read newest first until ``since``; None where the index does not answer in that order."""
        newest, last = since, float("inf")
        async for page in pages(api, "dateUpdated", "desc"):
            self.pages += 1
            instants = [updated_at(contact) for contact in page.contacts]
            if any(later > earlier for earlier, later in zip([last, *instants], instants, strict=False)):
                return None
            await self.enter(page.contacts)
            newest, last = max(newest, *instants), instants[-1]
            if last < since:
                break
            if self.pages > most:
                self.whole = False
                return since
        return newest

    async def enter(self, contacts: Collection[Contact]) -> None:
        """Enter contacts as the API showed them."""
        rows = []
        for contact in contacts:
            content, also = normal_form(contact, self.location), further(contact)
            rows.append(self._row(contact.id, content | ({"also": also} if also else {})))
        self.freed |= await self.database.do(lambda connection: self._enter(connection, rows))

    def candidate(self, contact: Contact) -> Candidate:
        """A contact of the API as a candidate."""
        content = normal_form(contact, self.location)
        return Candidate(
            contact.id,
            content.get("email"),
            content.get("phone"),
            content.get("id"),
            name_of(content),
            frozenset(further(contact)),
        )

    def entry(self, contact_id: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """The row of a contact as we wrote it, to be saved with its record."""
        shown = {name: value for name, value in content.items() if name not in MEMORY}
        return self._row(contact_id, shown)

    async def remove(self, contact_id: str) -> None:
        """Take out a contact that is no longer there."""
        gone = delete(directory).where(
            directory.c.account == self.account, directory.c.contact_id == contact_id
        )

        def take_out(connection: Connection) -> set[str]:
            freed = self._keys_of(connection, [contact_id])
            connection.execute(gone)
            return {key for keys in freed.values() for key in keys}

        self.freed |= await self.database.do(take_out)

    async def candidates(
        self, contents: Collection[Mapping[str, Any]], contact_ids: Collection[str] = ()
    ) -> list[Candidate]:
        """Return the contacts that share an id, e-mail or phone with any of these contents, and these."""
        return await self.database.look(
            lambda connection: self._candidates(connection, contents, contact_ids)
        )

    async def content(self, contact_id: str) -> dict[str, Any] | None:
        """Return one contact's content as last read."""
        query = select(directory.c.content).where(
            directory.c.account == self.account, directory.c.contact_id == contact_id
        )
        return await self.database.look(lambda connection: connection.execute(query).scalar())

    def _candidates(
        self, connection: Connection, contents: Collection[Mapping[str, Any]], contact_ids: Collection[str]
    ) -> list[Candidate]:
        found: dict[str, Candidate] = {}
        wanted = [
            (column, {content[name] for content in contents if content.get(name)})
            for column, name in (
                (directory.c.source_id, "id"),
                (directory.c.email, "email"),
                (directory.c.phone, "phone"),
            )
        ]
        conditions = [
            matching(connection, column, block) for column, values in wanted for block in blocks(values)
        ]
        conditions += [directory.c.contact_id.in_(block) for block in blocks(set(contact_ids))]
        for condition in conditions:
            for row in connection.execute(
                select(directory).where(directory.c.account == self.account, condition)
            ):
                also = frozenset((row.content or {}).get("also", ()))
                found[row.contact_id] = Candidate(
                    row.contact_id, row.email, row.phone, row.source_id, row.name, also
                )
        return list(found.values())

    def _enter(self, connection: Connection, rows: list[dict[str, Any]]) -> set[str]:
        """Enter rows; return the keys that these contacts had until now and have no more."""
        before = self._keys_of(connection, [row["contact_id"] for row in rows])
        upsert(connection, directory, rows)
        now = {row["contact_id"]: {row["email"], row["phone"]} for row in rows}
        return {key for contact_id, keys in before.items() for key in keys - now[contact_id]}

    def _keys_of(self, connection: Connection, contact_ids: Collection[str]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for block in blocks(contact_ids):
            rows = connection.execute(
                select(directory.c.contact_id, directory.c.email, directory.c.phone).where(
                    directory.c.account == self.account, directory.c.contact_id.in_(block)
                )
            )
            found |= {row.contact_id: {row.email, row.phone} - {None} for row in rows}
        return found

    def _clear(self, connection: Connection) -> None:
        # who is not read to the end is read again, rather than taken for whole
        facts.put(connection, self.account, FACT, {"newest": None})
        connection.execute(delete(directory).where(directory.c.account == self.account))

    def _row(self, contact_id: str, content: dict[str, Any]) -> dict[str, Any]:
        return {
            "account": self.account,
            "contact_id": contact_id,
            "email": content.get("email"),
            "phone": content.get("phone"),
            "source_id": content.get("id"),
            "name": name_of(content),
            "content": content,
        }
