"""The location's search index, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Literal

from tasks.highlevel.answers import Contact, SearchPage
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.requests import SearchContacts

PAGE = 500
"""The most that ``POST /contacts/search`` gives at once."""


async def pages(api: ContactsApi, field: str, direction: Literal["asc", "desc"]) -> AsyncIterator[SearchPage]:
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
        yield found
        first, read, page = found.contacts[0].id, read + len(found.contacts), page + 1
        if read >= found.total if found.total is not None else len(found.contacts) < PAGE:
            return
        search_after = found.contacts[-1].search_after


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
