"""What a person can do about a record that was not delivered, one sentence for each reason code."""

from __future__ import annotations

_CORRECT = "correct it in VoIPstudio: the next sync tries again"
_HOLDER = "merge it in HighLevel with the contact that has it, or correct either"
REMEDIES = {
    "ambiguous": "say which contact it is: `voipsync review` lists them, `voipsync link` settles them",
    "bad_times": f"it ends before it starts: {_CORRECT}",
    "bad_timestamp": f"one of its times is unreadable: {_CORRECT}",
    "blocked_at_edge": "HighLevel's firewall dislikes its text: shorten or reword it in VoIPstudio",
    "changed_on_both_sides": "the person's value stands: where VoIPstudio's is right, enter it there",
    "deleted_at_destination": "somebody deleted it in HighLevel: `voipsync link` says what it is to be now",
    "duplicate_email": f"another contact has its e-mail: {_HOLDER}",
    "duplicate_phone": f"another contact has its phone: {_HOLDER}",
    "missing_id": "VoIPstudio lists it without an id: ask their support",
    "no_date": f"it has no date: {_CORRECT}",
    "no_key_left": f"other contacts have its e-mail and phone: {_HOLDER}",
    "no_route": "HighLevel does not know the operation: check destination.base_url and .api_version",
    "not_an_object": "VoIPstudio lists something else in its place: ask their support",
    "not_found": "what it belongs to is not in HighLevel any more: the next full sync looks again",
    "not_in_team": "its user is not in the calendar's team: add them there, or change mapping.users",
    "slot_taken": "the calendar has no free slot then: move it, or set mapping.check_slots = false",
    "unknown_status": f"its status is none that HighLevel has: {_CORRECT}",
    "unknown_user": "its user is not in the location: change mapping.users",
    "wrong_type": f"one of its fields has an unexpected form: {_CORRECT}",
}
_OTHERWISE = "`voipsync explain` tells what the service answered; it is tried again when its source changes"


def remedy(reason: str) -> str:
    """Return what to do about records with this reason code."""
    return REMEDIES.get(reason, _OTHERWISE)
