"""The location's search index, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from tasks.highlevel.answers import Contact, SearchPage
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.requests import SearchContacts

PAGE = 500
"""The most that ``POST /contacts/search`` gives at once."""


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Where a walk through the index goes on.

    Attributes:
        after: the cursor that the last contact carried, where answers carry one.
        page: number of the next page, where they do not.
        read: contacts read so far.
        first: the first contact of the page before, which an index that goes round in circles shows again.
    """

    after: list[Any] | None = None
    page: int = 1
    read: int = 0
    first: str | None = None


async def page_at(
    api: ContactsApi, field: str, direction: Literal["asc", "desc"], here: Bookmark
) -> tuple[SearchPage | None, Bookmark | None]:
    """Read one page of the index; return it, if there was one, and where the next one is, if there is one."""
    found = await api.search_contacts(
        SearchContacts(
            pageLimit=PAGE,
            sort=[{"field": field, "direction": direction}],
            searchAfter=here.after,
            page=None if here.after else here.page,
        )
    )
    if not found.contacts or found.contacts[0].id == here.first:
        return None, None
    read = here.read + len(found.contacts)
    if read >= found.total if found.total is not None else len(found.contacts) < PAGE:
        return found, None
    return found, Bookmark(found.contacts[-1].search_after, here.page + 1, read, found.contacts[0].id)


async def pages(api: ContactsApi, field: str, direction: Literal["asc", "desc"]) -> AsyncIterator[SearchPage]:
    """Walk the search index, by cursor where the answers carry one, else by page number."""
    there: Bookmark | None = Bookmark()
    while there is not None:
        found, there = await page_at(api, field, direction, there)
        if found is not None:
            yield found


def updated_at(contact: Contact) -> float:
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
