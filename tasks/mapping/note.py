"""Notes: the text and its marker. The marker carries the date, which the destination cannot be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.mapping.dates import made
from tasks.mapping.desired import Desired, Mapped, Skipped
from tasks.mapping.marker import mark
from tasks.mapping.text import block
from tasks.mapping.users import assigned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.mapping.rules import Rules
    from tasks.voipstudio.models import Note
    from tasks.voipstudio.times import RawTime


def notes(items: Sequence[tuple[str, Note, RawTime]], rules: Rules) -> list[Mapped]:
    """What the destination should hold for each (contact id, note, unused): ``body, userId`` (who wrote it).

    A note that says nothing is skipped (``empty``).
    """
    return [_note(contact_id, note, rules) for contact_id, note, _ in items]


def _note(contact_id: str, note: Note, rules: Rules) -> Mapped:
    source_id = f"{contact_id}/{note.id}"
    text = block(note.body)
    if not text:
        return Skipped("notes", source_id, contact_id, "empty")
    created, kept_back = made(note.created_at, rules.zone)
    author, unknown = assigned("userId", note.user_id, rules)
    body = mark(text, "notes", source_id, rules.origin, created)
    return Desired("notes", source_id, contact_id, {"body": body, **author}, (*kept_back, *unknown))
