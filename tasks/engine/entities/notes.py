"""Notes at the destination."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.engine.entities.child import Content, Place
from tasks.highlevel.answers import Note
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.requests import CreateNote, UpdateNote


class Notes:
    """Notes: one text each. HighLevel sets their date itself, so the text carries the source's."""

    entity = "notes"
    text = "body"
    user = "userId"

    async def create(self, api: ContactsApi, place: Place, ours: Content) -> str:
        """Create a note."""
        return (await api.create_note(place.contact_id, CreateNote(**ours))).id

    async def read(self, api: ContactsApi, place: Place, child_id: str) -> Content:
        """Read a note."""
        return normal_form(await api.get_note(place.contact_id, child_id))

    async def update(
        self, api: ContactsApi, place: Place, child_id: str, write: Content, there: Content
    ) -> None:
        """Change a note's text or author."""
        await api.update_note(place.contact_id, child_id, UpdateNote(**write))

    async def delete(self, api: ContactsApi, place: Place, child_id: str) -> None:
        """Delete a note."""
        await api.delete_note(place.contact_id, child_id)

    async def listing(
        self, api: ContactsApi, place: Place, around: Mapping[str, Any]
    ) -> list[tuple[str, Content]]:
        """All notes of a contact: the API has no paging here."""
        return [(note.id, normal_form(note)) for note in await api.list_notes(place.contact_id)]


def normal_form(note: Note) -> Content:
    """A note of the API in the form in which mapped contents are written."""
    return {"body": note.body or "", "userId": note.user_id or ""}
