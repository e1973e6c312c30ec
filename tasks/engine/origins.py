"""Where each field of a record comes from, in words: the rule that maps it, and who has the last word."""

from __future__ import annotations

from tasks.mapping.rules import Rules
from tasks.mapping_settings import FieldRule

_MERGE = "merge: a person's edit in HighLevel stands"
_ACTIVITIES = {
    "notes": {"body": "body, with its marker", "userId": "user_id, by mapping.users"},
    "tasks": {
        "title": "title, else the body's first line",
        "body": "body, with its marker",
        "dueDate": "due_at, else when it was made",
        "completed": "completed",
        "assignedTo": "user_id, by mapping.users",
    },
    "appointments": {
        "title": "title",
        "startTime": "starts_at",
        "endTime": "ends_at, else mapping.appointment_minutes after its start",
        "appointmentStatus": "status",
        "description": "notes, with its marker",
        "address": "location",
        "assignedUserId": "user_id, by mapping.users",
    },
}
_OWN = {
    "id": ("id, into the field mapping.id_field", "kept equal, it is what the contact is known by"),
    "other_phones": ("the phones besides the first, into the field mapping.phones_field", _MERGE),
    "tags": ("labels and group, by mapping.tag_*", "a tag that a person set stays"),
}


def origin_of(entity: str, field: str, rules: Rules) -> dict[str, str]:
    """Say what a field is made ``from``, and which ``policy`` decides where both sides changed it."""
    if entity != "contacts":
        return {"from": _ACTIVITIES[entity].get(field, ""), "policy": _MERGE}
    rule = rules.policies.get(field)
    if rule is not None:
        return {"from": _source(rule), "policy": _policy(rule)}
    made, policy = _OWN.get(field, ("", ""))
    return {"from": made, "policy": policy}


def _source(rule: FieldRule) -> str:
    return f'template "{rule.template}"' if rule.template is not None else str(rule.source)


def _policy(rule: FieldRule) -> str:
    match rule.policy:
        case "source":
            said = "source: kept equal"
        case "fill":
            said = "fill: written where empty"
        case _ if rule.winner == "source":
            said = "merge: VoIPstudio wins where both changed it"
        case _:
            said = _MERGE
    return said + ("; an empty value empties it" if rule.clear else "")
