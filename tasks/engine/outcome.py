"""How a record's state changes with what happened to it: the one place that makes ledger rows.

Where a time is kept with it, ``at`` is when that happened: UTC seconds by the ledger's clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tasks.engine.merge import digest
from tasks.errors import ApiError
from tasks.identity.resolve import Ambiguous
from tasks.ledger.records import Record

FREE_ATTEMPTS = 5
"""Refusals after which a record is no longer tried by every run."""
FIRST_PAUSE_SECONDS = 600.0
"""The pause after that many refusals; it doubles with each further one."""
LAST_ATTEMPT = 15
"""Refusals after which a record is kept until its source changes or someone acts."""
NEVER = 32_503_680_000.0
"""The year 3000."""
DELETED = "deleted_at_destination"


def blank(account: str, entity: str, source_id: str, parent_id: str | None, seen: int, at: float) -> Record:
    """A record met for the first time."""
    return Record(
        account=account,
        entity=entity,
        source_id=source_id,
        parent_id=parent_id,
        state="waiting",
        first_seen_at=at,
        seen=seen,
    )


def synced(
    before: Record, destination_id: str, content: Mapping[str, Any], fingerprint: str | None, at: float
) -> Record:
    """The destination holds what it should; what vanished at the source and was restored stays so known."""
    done = replace(
        _calm(before),
        state="synced",
        destination_id=destination_id,
        content=dict(content),
        content_hash=digest(content),
        fingerprint=fingerprint or before.fingerprint,
        synced_at=at,
    )
    return gone(done, "restored") if _restores(before) else done


def unchanged(before: Record, fingerprint: str | None) -> Record:
    """The source row differs in nothing that is synced."""
    return replace(_calm(before), state="synced", fingerprint=fingerprint or before.fingerprint)


def sending(
    before: Record, operation: str, content: Mapping[str, Any], fingerprint: str | None, at: float
) -> Record:
    """A create is about to leave: its outcome is unknown until recorded.

    What vanished at the source, and is created without a row of it, is created by an undo.
    """
    restores = {"restores": True} if before.state == "gone" and not fingerprint else {}
    return replace(
        before,
        state="unresolved",
        attempts=before.attempts if fingerprint in (None, before.fingerprint) else 0,
        fingerprint=fingerprint or before.fingerprint,
        intent={"operation": operation, "content": dict(content), "at": at, **restores},
    )


def changing(
    before: Record,
    ours: Mapping[str, Any],
    fingerprint: str | None,
    *,
    theirs: Mapping[str, Any],
    write: Mapping[str, Any],
    add_tags: Sequence[str] = (),
    remove_tags: Sequence[str] = (),
    at: float,
) -> Record:
    """A change of what stands there (``theirs``) is about to leave.

    Sending it twice harms nobody; taking it for a person's edit would.
    """
    record = sending(before, f"update-{before.entity}", ours, fingerprint, at)
    what = {
        "write": dict(write),
        "was": {name: theirs.get(name) for name in write},
        "add_tags": list(add_tags),
        "remove_tags": list(remove_tags),
    }
    return replace(record, intent={**(record.intent or {}), **what})


def unknown(before: Record, message: str, status: int, at: float) -> Record:
    """The sending's outcome could not be established; the intent stays, with the time of the last sending."""
    assert before.intent is not None  # noqa: S101 - `sending` made it
    return replace(
        before,
        state="unresolved",
        reason="unknown_outcome",
        error=message,
        status=status,
        attempts=before.attempts + 1,
        intent={**before.intent, "at": at, "over": True},
    )


def cut_off(before: Record, until: float, now: float) -> Record:
    """A sending that no answer ended may have left as late as ``until``; none has left later than now.

    What was noted as later than now was so by a clock that has been set back since.
    """
    assert before.intent is not None  # noqa: S101 - selected for having one
    at = float(before.intent["at"])
    latest = min(at if before.intent.get("over") else max(at, until), now)
    return before if latest == at else replace(before, intent={**before.intent, "at": latest, "over": True})


def not_sent(before: Record) -> Record:
    """The create certainly did not happen: the record is due again."""
    state = "gone" if _restores(before) else "waiting"
    return replace(before, state=state, intent=None, reason="not_sent", error=None, status=None)


def skipped(before: Record, reason: str, fingerprint: str | None) -> Record:
    """Nothing is sent, by rule."""
    return replace(_calm(before), state="skipped", reason=reason, fingerprint=fingerprint)


def left(before: Record, fingerprint: str | None) -> Record:
    """A person deleted it at the destination: it is left so."""
    return replace(_calm(before), state="left", reason=DELETED, fingerprint=fingerprint)


def waiting(before: Record, fingerprint: str | None) -> Record:
    """Its contact is not in yet."""
    return replace(_calm(before), state="waiting", reason="waiting_for_contact", fingerprint=fingerprint)


def ambiguous(before: Record, verdict: Ambiguous, fingerprint: str | None) -> Record:
    """A person decides which contact it is."""
    matched = {contact_id: list(keys) for contact_id, keys in verdict.matched.items()}
    return replace(
        _calm(before),
        state="ambiguous",
        reason="ambiguous",
        error=verdict.reason,
        payload={"candidates": list(verdict.candidates), "matched": matched},
        fingerprint=fingerprint,
    )


def deleted(before: Record) -> Record:
    """A person deleted it at the destination, and is to say what becomes of it; `released` before."""
    return replace(_calm(before), state="ambiguous", reason=DELETED, error="deleted at the destination")


def is_asked(record: Record) -> bool:
    """Whether a person is asked about a contact that was deleted at the destination, and has not said."""
    return record.state == "ambiguous" and record.reason == DELETED and record.decision is None


def released(before: Record, decision: str | None = None) -> Record:
    """It has no place at the destination any more, and is to be brought there anew."""
    return replace(
        _calm(before),
        state="waiting",
        reason="released",
        destination_id=None,
        fingerprint=None,
        content_hash=None,
        content=None,
        origin=None,
        listed="",
        activities_at=None,
        decision=decision,
    )


def rejected(
    before: Record,
    error: ApiError,
    payload: Mapping[str, Any] | None,
    fingerprint: str | None,
    at: float,
) -> Record:
    """It was refused: kept with payload and reason, tried again at once, later in growing intervals."""
    attempts = before.attempts + 1 if before.fingerprint == fingerprint else 1
    return replace(
        before,
        state="rejected",
        intent=None,
        reason=error.reason[:40],
        error=str(error),
        status=error.status,
        payload=None if payload is None else dict(payload),
        attempts=attempts,
        next_attempt_at=next_attempt(attempts, at),
        fingerprint=fingerprint,
    )


def parting(before: Record, operation: str, at: float, *, undoing: bool = False) -> Record:
    """A deletion, or the tag that stands for one, is about to leave; an undo's is known by its intent."""
    intent = {
        "operation": operation,
        "content": before.content or {},
        "state": before.state,
        "undoing": undoing,
        "at": at,
    }
    return replace(before, state="unresolved", intent=intent)


def is_parting(record: Record) -> bool:
    """Whether it is not known if a record was deleted, or tagged, for having vanished at the source."""
    return record.intent is not None and record.intent["operation"].startswith(("delete-", "tag-"))


def stays(before: Record) -> Record:
    """The deletion certainly did not happen: everything is as before."""
    state = str((before.intent or {})["state"])
    calm = _calm(before) if state == "synced" else before
    return replace(calm, state=state, intent=None, missing=before.missing)


def gone(before: Record, reason: str, content: Mapping[str, Any] | None = None) -> Record:
    """It vanished at the source, and what stands at the destination for it is settled."""
    known = before.content if content is None else dict(content)
    return replace(
        _calm(before),
        state="gone",
        reason=reason,
        content=known,
        content_hash=None if known is None else digest(known),
        fingerprint=None,
        activities_at=None,
    )


def removed(before: Record) -> Record:
    """It vanished at the source and was deleted for it: should it return, it is created anew.

    What an undo deleted is left out as it stands at the source: it is created anew when that changes.
    """
    if (before.intent or {}).get("undoing"):
        return replace(released(before), state="skipped", reason="undone", fingerprint=before.fingerprint)
    return replace(released(before), state="gone", reason="deleted")


def next_attempt(attempts: int, at: float) -> float | None:
    """When what was refused so often, just now for the last time, is tried again; None: by every run."""
    if attempts < FREE_ATTEMPTS:
        return None
    if attempts >= LAST_ATTEMPT:
        return NEVER
    return at + FIRST_PAUSE_SECONDS * 2.0 ** (attempts - FREE_ATTEMPTS)


def _restores(before: Record) -> bool:
    """Whether what is under way is an undo's, of a deletion."""
    return bool((before.intent or {}).get("restores"))


def _calm(before: Record) -> Record:
    return replace(
        before,
        intent=None,
        reason=None,
        error=None,
        status=None,
        payload=None,
        attempts=0,
        next_attempt_at=None,
        missing=None,
        decision=None,
    )
