"""What an answer of status 400 to 499 means: the exception that says what to do about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tasks.errors import DuplicateContact, Fatal, NotFound, RejectedRecord, Unauthorized, VoipsyncError
from tasks.redaction import redact_text

if TYPE_CHECKING:
    from tasks.highlevel.operations import Operation
    from tasks.transport import Answer

MESSAGE_LENGTH = 300
_READ_LENGTH = 4000

_GONE = re.compile(
    r"\b(?:contact|note|task|appointment|event)\b[^.;]*\b(?:not found|deleted|not exist)\b",
    re.IGNORECASE,
)
_REASONS = (
    (re.compile(r"slot\b.*\bno longer available", re.IGNORECASE), "slot_taken"),
    (re.compile(r"user id (?:is )?not part of (?:the )?calendar team", re.IGNORECASE), "not_in_team"),
    (
        re.compile(
            r"\b(?:assignedTo|assignedUserId|userId|user)\b[^.;]*\b(?:valid|exists?|found|belongs?)\b",
            re.IGNORECASE,
        ),
        "unknown_user",
    ),
)
_INVALID = re.compile(
    r"\bmust be (?:an? |one of|valid|longer|shorter)|\bshould not (?:be empty|exist)\b", re.IGNORECASE
)
"""What a validation says of a value; it was seen with status 403 as well as 422."""
_EXPIRED = (
    "the token is wrong, expired or was rotated: put the current one where destination.token points, or run "
    "`voipsync auth highlevel connect`"
)
_REMEDIES = (
    (re.compile(r"invalid jwt|access token is invalid", re.IGNORECASE), _EXPIRED),
    (
        re.compile(r"not authorized for this scope", re.IGNORECASE),
        "the token lacks the scope {scope}: add it to the private integration, or connect the app again",
    ),
    (
        re.compile(r"user type mismatch", re.IGNORECASE),
        "this is an agency's token: use one of the sub-account",
    ),
    (
        re.compile(r"authclass type is not allowed", re.IGNORECASE),
        "this is a company's token: use one of the location, or name its app in destination.oauth",
    ),
    (
        re.compile(r"version header", re.IGNORECASE),
        "the API version is not accepted: check destination.api_version",
    ),
    (
        re.compile(r"does not have access to this location", re.IGNORECASE),
        "the token belongs to another location: check destination.location_id",
    ),
)


def refusal(operation: Operation, answer: Answer) -> VoipsyncError:
    """Return the exception for an answer of status 400 to 499.

    A 422 is a refusal like the others, although it was once reported of a contact that was created all
    the same: whoever must be sure looks the contact up.
    """
    status, data = answer.status, answer.data
    text = server_message(data)
    if status == 403 and operation.writes and not isinstance(data, dict):  # noqa: PLR2004 - an HTTP status
        # a firewall dislikes what this record says; one that dislikes the client refuses the reads, too
        return RejectedRecord(
            f"{operation.name}: blocked at the edge before the API saw it (HTTP 403)",
            status=status,
            reason="blocked_at_edge",
        )
    of_the_record = status == 403 and operation.writes and _INVALID.search(text)  # noqa: PLR2004 - HTTP
    if status in (401, 403) and not of_the_record:
        return Unauthorized(
            f"HighLevel refuses {operation.name} (HTTP {status}): {_remedy(operation, answer)}"
        )
    if status == 400 and "invalid api version" in text.casefold():  # noqa: PLR2004 - an HTTP status
        return Fatal(f"HighLevel: {text}: check destination.api_version")
    message = f"{operation.name}: {text or 'no reason given'} (HTTP {status})"
    holder = _holder(data)
    if holder is not None:
        contact_id, field = holder
        return DuplicateContact(message, status=status, contact_id=contact_id, field=field)
    if status == 404:  # noqa: PLR2004 - an HTTP status
        if re.match(r"cannot (?:get|post|put|delete) ", text, re.IGNORECASE):
            return RejectedRecord(message, status=status, reason="no_route")
        # Only the API itself can say that a record is gone; a proxy's page says nothing about it.
        known = isinstance(data, dict) and ("message" in data or "statusCode" in data)
        return (
            NotFound(message, status=status, reason="not_found")
            if known
            else RejectedRecord(message, status=status)
        )
    if status == 400 and _GONE.search(text):  # noqa: PLR2004 - an HTTP status
        return NotFound(message, status=status, reason="not_found")
    reason = next((code for pattern, code in _REASONS if pattern.search(text)), "")
    return RejectedRecord(message, status=status, reason=reason)


def may_be_expired(answer: Answer) -> bool:
    """Whether a 401 may pass with a renewed token: not where it is about scope, kind, version or location."""
    remedies = (remedy for pattern, remedy in _REMEDIES if pattern.search(server_message(answer.data)))
    return next(remedies, _EXPIRED) == _EXPIRED


def server_message(data: object) -> str:
    """Return the service's message on one line, without personal data, at most 300 characters long."""
    text = redact_text(" ".join(_words(data)[:_READ_LENGTH].split()))
    return text if len(text) <= MESSAGE_LENGTH else text[: MESSAGE_LENGTH - 1] + "…"


def _words(data: object) -> str:
    """The message in any of the shapes in which the service gives it."""
    match data:
        case str() if data.lstrip().startswith("<"):
            return re.sub(
                r"<style.*?</style>|<script.*?</script>|<[^>]*>", " ", data, flags=re.DOTALL | re.IGNORECASE
            )
        case str():
            return data
        case list():
            return "; ".join(filter(None, map(_words, data)))
        case dict():
            for key in ("message", "error_description", "error", "msg", "detail", "constraints"):
                if words := _words(data.get(key)):
                    return words
            return ""
    return ""


def _holder(data: object) -> tuple[str, str] | None:
    """The contact that holds an e-mail or phone already, and which of them it is."""
    meta = data.get("meta") if isinstance(data, dict) else None
    contact_id = meta.get("contactId") if isinstance(meta, dict) else None
    if not isinstance(meta, dict) or not isinstance(contact_id, str) or not contact_id:
        return None
    field = meta.get("matchingField")
    return contact_id, field if isinstance(field, str) and re.fullmatch(r"\w{1,40}", field) else "contact"


def _remedy(operation: Operation, answer: Answer) -> str:
    text = server_message(answer.data)
    if answer.status == 403 and not isinstance(answer.data, dict):  # noqa: PLR2004 - an HTTP status
        code = re.search(r"(?:error(?: code)?:?\s*)(1\d{3})\b", text, re.IGNORECASE)
        what = f"Cloudflare error {code[1]}" if code else "a page instead of the API's answer"
        return f"blocked at the edge: {what}; the network or client is refused, not the token"
    for pattern, remedy in _REMEDIES:
        if pattern.search(text):
            return remedy.format(scope=operation.scope)
    return text or "no reason given; check the token and its scopes"
