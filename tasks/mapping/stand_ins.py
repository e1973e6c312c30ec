"""What stands in for activities where an account has none to read.

The published API has no activity endpoints, but two fields of the contact say what they would (VoIPstudio
docs): its ``notes`` text, and ``next_call_at``, when the dialler calls again. The text is one note, updated
in place, without an author, for several may have written it; the call is the contact's owner's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.mapping.crm_task import crm_task_content
from tasks.mapping.desired import Desired, Mapped, Refused
from tasks.mapping.marker import mark
from tasks.mapping.text import block, line
from tasks.mapping.users import assigned
from tasks.voipstudio.times import instant

if TYPE_CHECKING:
    from tasks.mapping.rules import Rules
    from tasks.voipstudio.models import Contact


def stand_ins(contact: Contact, rules: Rules) -> list[Mapped]:
    """The note ``7/notes`` and the call-back task ``7/next_call_at`` of contact 7, where its fields say so.

    Both are made without a date of origin: the contact's is not theirs.
    """
    return [*_note(contact, rules), *_call_back(contact, rules)]


def _note(contact: Contact, rules: Rules) -> list[Mapped]:
    text = block(contact.notes)
    if not text:
        return []
    contact_id = str(contact.id)
    source_id = f"{contact_id}/notes"
    body = mark(text, "notes", source_id, rules.origin, None)
    return [Desired("notes", source_id, contact_id, {"body": body})]


def _call_back(contact: Contact, rules: Rules) -> list[Mapped]:
    contact_id = str(contact.id)
    source_id = f"{contact_id}/next_call_at"
    try:
        due = instant(contact.next_call_at, rules.zone)
    except ValueError as error:
        return [Refused("tasks", source_id, contact_id, "bad_timestamp", f"next_call_at: {error}")]
    if due is None:
        return []
    name = line(f"{contact.first_name or ''} {contact.last_name or ''}") or line(contact.company)
    content = crm_task_content(
        source_id,
        title=f"Call back {name}".rstrip(),
        body="",
        due=due,
        completed=False,
        made=None,
        rules=rules,
    )
    user, unknown = assigned("assignedTo", contact.user_id, rules)
    return [Desired("tasks", source_id, contact_id, {**content, **user}, unknown)]
