"""Reason codes: what each means of a record, and what a person can do about it.

The one table: the overview, `voipsync status`, `voipsync explain` and the operating guide say what it says.
"""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    """What a code means, and what to do; an empty remedy: nothing need be done."""

    means: str
    remedy: str = ""


_CORRECT = "correct it in VoIPstudio: the next sync tries again"
_HOLDER = "merge it in HighLevel with the contact that has it, or correct either"
_ITSELF = "nothing: the next runs try again by themselves"
_USERS = "name it in mapping.users, or set mapping.users_by_email"
REASONS = {
    # it is refused by our own checks
    "bad_times": Reason("it ends before it starts", _CORRECT),
    "bad_timestamp": Reason("one of its times is unreadable", _CORRECT),
    "missing_id": Reason("VoIPstudio lists it without an id", "ask VoIPstudio's support"),
    "no_date": Reason("it has no date, and nothing stands in for one", _CORRECT),
    "no_key_left": Reason("other contacts of the location have its e-mail and phone", _HOLDER),
    "not_an_object": Reason("VoIPstudio lists something else in its place", "ask VoIPstudio's support"),
    "unknown_status": Reason(
        "its status is none that HighLevel takes; an appointment is confirmed instead", _CORRECT
    ),
    "wrong_type": Reason("one of its fields has an unexpected form", _CORRECT),
    # the destination refuses it
    "blocked_at_edge": Reason(
        "HighLevel's firewall dislikes its text",
        "shorten or reword it in VoIPstudio: the next sync tries again",
    ),
    "bad_answer": Reason("HighLevel's answer did not say what came of it", _ITSELF),
    "duplicate_contact": Reason("another contact of the location has its e-mail or phone", _HOLDER),
    "duplicate_email": Reason("another contact of the location has its e-mail", _HOLDER),
    "duplicate_phone": Reason("another contact of the location has its phone", _HOLDER),
    "no_answer": Reason(
        "it was sent several times, and HighLevel never answered", "try again with `voipsync retry`"
    ),
    "no_route": Reason(
        "HighLevel does not know the operation", "check destination.base_url and destination.api_version"
    ),
    "not_a_list": Reason("VoIPstudio answered with something other than a list", _ITSELF),
    "not_found": Reason(
        "what it belongs to is not in HighLevel any more",
        "run `voipsync sync ACCOUNT --mode full`: it looks again",
    ),
    "not_in_team": Reason(
        "its user is not in the calendar's team", "add the user to the team, or change mapping.users"
    ),
    "not_succeeded": Reason("HighLevel answered that it did not succeed", "try again with `voipsync retry`"),
    "slot_taken": Reason(
        "the calendar has no free slot then", "move the appointment, or set mapping.check_slots = false"
    ),
    "unknown_user": Reason("its user is not in the location: it is written without", _USERS),
    # by rule, nothing is sent
    "contact_left": Reason(
        "its contact was deleted in HighLevel by someone, and is left so",
        "`voipsync link` says what the contact is to be now",
    ),
    "contact_skipped": Reason("its contact is not synced", "see the contact"),
    "empty": Reason("it says nothing"),
    "internal": Reason("it is a colleague: an internal VoIPstudio user"),
    "no_email_or_phone": Reason(
        "it has neither a valid e-mail nor a valid phone, and HighLevel takes nobody without", _CORRECT
    ),
    "undone": Reason(
        "a run that wrote it was undone",
        "to have it there again: change it in VoIPstudio, or run `voipsync sync ACCOUNT --mode full`",
    ),
    # a part of it is not sent
    "bad_created_at": Reason("when it was made is unreadable: its marker goes without", _CORRECT),
    "invalid_email": Reason("its e-mail is none: it goes without", _CORRECT),
    "invalid_phone": Reason("one of its phone numbers is none: it goes without", _CORRECT),
    "changed_on_both_sides": Reason(
        "a person and VoIPstudio changed the same field, and the person's value stands",
        "where VoIPstudio's is right, enter it in HighLevel",
    ),
    # it is not settled yet
    "ambiguous": Reason(
        "more than one contact of the location may be it",
        "say which: `voipsync review` lists them, `voipsync link` settles them",
    ),
    "not_sent": Reason("it was certainly not sent", _ITSELF),
    "released": Reason("it lost its place in HighLevel, and is brought there anew", _ITSELF),
    "unknown_outcome": Reason("it was sent, and no answer said what came of it", _ITSELF),
    "waiting_for_contact": Reason("its contact is not in HighLevel yet", "see the contact"),
    # it vanished at the source, or somebody acted at the destination
    "deleted": Reason("it vanished at the source, and was deleted for it"),
    "deleted_at_destination": Reason(
        "somebody deleted it in HighLevel", "`voipsync link` says what it is to be now"
    ),
    "edited": Reason("it vanished at the source, and was left, as a person edited it"),
    "not_ours": Reason("it vanished at the source, and was left, as it carries another's id"),
    "restored": Reason("it vanished at the source, was deleted for it, and an undo created it again"),
    "tagged": Reason("it vanished at the source, and was tagged for it"),
    # routes
    "redirected": Reason("the webhook's address answers with a redirection", "correct the route's webhook"),
    "unknown_workflow": Reason("the location has no such workflow", "correct the route's workflow"),
}
_DUPLICATE = Reason("another contact of the location has one of its values", _HOLDER)
_HTTP = Reason("HighLevel refused it", "correct what its message names: the next sync tries again")
_OTHERWISE = Reason("", "`voipsync explain` tells what the service answered")


def reason_of(code: str) -> Reason:
    """Return what a code means; the services' own (``http_422``) by their kind."""
    if code.startswith("duplicate_"):
        return REASONS.get(code, _DUPLICATE)
    if code.startswith("http_"):
        status = code.removeprefix("http_")
        return Reason(f"{_HTTP.means} (HTTP {status})" if status != "0" else "no answer came", _HTTP.remedy)
    return REASONS.get(code, _OTHERWISE)


def in_words(code: str) -> str:
    """Return a code with what it means and what to do, as reports say it."""
    return f"({code}): " + "; ".join(filter(None, reason_of(code)))


def remedy(reason: str) -> str:
    """Return what to do about records with this reason code."""
    return reason_of(reason).remedy
