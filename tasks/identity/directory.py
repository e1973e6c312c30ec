"""The location's contacts as last read, kept in the ledger: what new source contacts are compared with.

Reading the search index (500 contacts a request) costs less than asking for contacts one by one. The
first reading is whole; later ones read what was updated since, newest first. The index lags behind
writes by up to a minute (measured by integrators), so what we write ourselves is entered here at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, delete, select

from tasks.highlevel.answers import Contact
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.requests import SearchContacts
from tasks.identity.location import Location
from tasks.identity.resolve import Candidate, name_of
from tasks.ledger import facts
from tasks.ledger.database import Database
from tasks.ledger.records import blocks, upsert
from tasks.ledger.tables import directory

FACT = "directory"
MEMORY = frozenset({"withheld", "foreign_tags"})
"""Entries of a contact's content that stand in our ledger only: what we remember about it."""
PAGE = 500
"""The most that ``POST /contacts/search`` gives at once."""


def normal_form(contact: Contact, location: Location) -> dict[str, Any]:
    """A contact of the API in the form in which mapped contents are written."""
    custom = {location.named(field_id): value for field_id, value in contact.custom.items()}
    form = {
        "firstName": contact.first_name,
        "lastName": contact.last_name,
        "email": contact.email.casefold() if contact.email else None,
        "phone": dialled(contact.phone),
        "companyName": contact.company_name,
        "source": contact.source,
        "id": custom.get("id"),
        "other_phones": custom.get("other_phones"),
    }
    return {name: str(value) for name, value in form.items() if value} | {"tags": list(contact.tags)}


def dialled(phone: str | None) -> str | None:
    """A phone number without its punctuation."""
    kept = "".join(character for character in phone or "" if character.isdigit() or character == "+")
    return kept or None


@dataclass(frozen=True, slots=True)
class Directory:
    """One account's directory."""

    database: Database
    account: str
    location: Location

    async def refresh(self, api: ContactsApi, *, lag: float, whole: bool = False) -> bool:
        """Bring the directory up to date with the search index; tell whether it was there before.

        Args:
            api: where to read.
            lag: how old the index may be, seconds: that much is read again.
            whole: read everything, as the first time.
        """
        known = await self.database.look(lambda connection: facts.get(connection, self.account, FACT))
        since = None if whole or not known else known[0]["newest"]
        newest = await self._read_since(api, since - lag) if since else None
        if newest is None:
            await self.database.do(self._clear)
            newest = await self._read_all(api)
        await self.database.do(
            lambda connection: facts.put(connection, self.account, FACT, {"newest": newest})
        )
        return known is not None

    async def _read_all(self, api: ContactsApi) -> float:
        newest = 0.0
        async for contacts in _pages(api, "dateAdded", "asc"):
            await self.enter(contacts)
            newest = max(newest, *(_instant(contact) for contact in contacts))
        return newest

    async def _read_since(self, api: ContactsApi, since: float) -> float | None:
        """Read newest first until ``since``; None where the index does not answer in that order."""
        newest, last = since, float("inf")
        async for contacts in _pages(api, "dateUpdated", "desc"):
            instants = [_instant(contact) for contact in contacts]
            if any(later > earlier for earlier, later in zip([last, *instants], instants, strict=False)):
                return None
            await self.enter(contacts)
            newest, last = max(newest, *instants), instants[-1]
            if last < since:
                break
        return newest

    async def enter(self, contacts: Collection[Contact]) -> None:
        """Enter contacts as the API showed them."""
        rows = [self._row(contact.id, normal_form(contact, self.location)) for contact in contacts]
        await self.database.do(lambda connection: upsert(connection, directory, rows))

    def entry(self, contact_id: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """The row of a contact as we wrote it, to be saved with its record."""
        shown = {name: value for name, value in content.items() if name not in MEMORY}
        return self._row(contact_id, shown)

    async def remove(self, contact_id: str) -> None:
        """Take out a contact that is no longer there."""
        gone = delete(directory).where(
            directory.c.account == self.account, directory.c.contact_id == contact_id
        )
        await self.database.do(lambda connection: connection.execute(gone))

    async def candidates(self, contents: Collection[Mapping[str, Any]]) -> list[Candidate]:
        """Return the contacts that share an id, e-mail or phone with any of these contents."""
        return await self.database.look(lambda connection: self._candidates(connection, contents))

    async def content(self, contact_id: str) -> dict[str, Any] | None:
        """Return one contact's content as last read."""
        query = select(directory.c.content).where(
            directory.c.account == self.account, directory.c.contact_id == contact_id
        )
        return await self.database.look(lambda connection: connection.execute(query).scalar())

    def _candidates(self, connection: Connection, contents: Collection[Mapping[str, Any]]) -> list[Candidate]:
        found: dict[str, Candidate] = {}
        for column, name in (
            (directory.c.source_id, "id"),
            (directory.c.email, "email"),
            (directory.c.phone, "phone"),
        ):
            for block in blocks({content[name] for content in contents if content.get(name)}):
                rows = connection.execute(
                    select(directory).where(directory.c.account == self.account, column.in_(block))
                )
                for row in rows:
                    found[row.contact_id] = Candidate(
                        row.contact_id, row.email, row.phone, row.source_id, row.name
                    )
        return list(found.values())

    def _clear(self, connection: Connection) -> None:
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


async def _pages(
    api: ContactsApi, field: str, direction: Literal["asc", "desc"]
) -> AsyncIterator[Sequence[Contact]]:
    """Walk the search index, by cursor where the answers carry one, else by page number."""
    search_after, page, read, first = None, 1, 0, None
    while True:
        found = await api.search_contacts(
            SearchContacts(
                pageLimit=PAGE,
                sort=[{"field": field, "direction": direction}],
                searchAfter=search_after,
                page=None if search_after else page,
            )
        )
        if not found.contacts or found.contacts[0].id == first:
            return
        yield found.contacts
        first, read, page = found.contacts[0].id, read + len(found.contacts), page + 1
        if read >= found.total if found.total is not None else len(found.contacts) < PAGE:
            return
        search_after = found.contacts[-1].search_after


def _instant(contact: Contact) -> float:
    """When a contact was last updated, or added, in UTC seconds; 0 where it does not say."""
    raw = contact.date_updated or contact.date_added
    if raw is None:
        return 0.0
    if isinstance(raw, int | float):
        return raw / 1000 if raw > 1e11 else float(raw)  # noqa: PLR2004 - milliseconds from here up
    try:
        moment = datetime.fromisoformat(raw)
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
