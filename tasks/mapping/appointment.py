"""Appointments."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tasks.mapping.dates import made
from tasks.mapping.desired import Desired, Mapped, Refused
from tasks.mapping.marker import mark
from tasks.mapping.text import block, line
from tasks.voipstudio.times import RawTime, instant, is_date_only, next_midnight, stamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.mapping.rules import Rules
    from tasks.voipstudio.models import Appointment

_WORDS = {
    "new": "new pending unconfirmed tentative requested",
    "confirmed": "confirmed confirm booked scheduled rescheduled active accepted approved",
    "cancelled": "cancelled canceled cancel declined rejected deleted",
    "showed": "showed show shown showedup attended arrived completed complete done",
    "noshow": "noshow notshowed didnotshow missed absent",
}
_STATUSES = {word: status for status, words in _WORDS.items() for word in words.split()}
_NOT_LETTERS = re.compile(r"[^a-z]")


def appointments(items: Sequence[tuple[str, Appointment, RawTime]], rules: Rules) -> list[Mapped]:
    """What the destination should hold for each (contact id, appointment, unused).

    ``content`` has ``title, startTime, endTime, appointmentStatus, description, address``. The status is
    always there, because a write without it confirms the appointment (measured by integrators); a missing one
    is ``confirmed``, so is an unknown one, which is said (``unknown_status``). Refused: no start
    (``no_date``), an unreadable time (``bad_timestamp``), an end before the start (``bad_times``).
    """
    return [_appointment(contact_id, appointment, rules) for contact_id, appointment, _ in items]


def _appointment(contact_id: str, appointment: Appointment, rules: Rules) -> Mapped:
    source_id = f"{contact_id}/{appointment.id}"
    field = "starts_at"
    try:
        start = instant(appointment.starts_at, rules.zone)
        field = "ends_at"
        end = None if start is None else _end(start, appointment, rules)
    except (ValueError, OverflowError):
        return Refused(
            "appointments", source_id, contact_id, "bad_timestamp", f"{field}: not a readable time"
        )
    if start is None or end is None:
        return Refused("appointments", source_id, contact_id, "no_date", "starts_at: missing")
    if end < start:
        return Refused("appointments", source_id, contact_id, "bad_times", "ends_at: before starts_at")
    created, kept_back = made(appointment.created_at, rules.zone)
    status, known = status_of(appointment.status)
    description = block(appointment.notes)
    content: dict[str, Any] = {
        "title": line(appointment.title) or "Appointment",
        "startTime": stamp(start),
        "endTime": stamp(end),
        "appointmentStatus": status,
        "description": mark(description, "appointments", source_id, rules.origin, created),
    }
    if address := line(appointment.location):
        content["address"] = address
    return Desired(
        "appointments", source_id, contact_id, content, kept_back if known else (*kept_back, "unknown_status")
    )


def status_of(raw: str | None) -> tuple[str, bool]:
    """The destination's word for a status, in whatever spelling, and whether the source's was known."""
    word = _NOT_LETTERS.sub("", (raw or "").lower())
    return _STATUSES.get(word, "confirmed"), not line(raw) or word in _STATUSES


def _end(start: datetime, appointment: Appointment, rules: Rules) -> datetime:
    """When it ends. A bare date means the whole of that day; an end that is the start tells no length."""
    end = instant(appointment.ends_at, rules.zone)
    if is_date_only(appointment.ends_at):
        return next_midnight(str(appointment.ends_at), rules.zone)
    if end is not None and end != start:
        return end
    if is_date_only(appointment.starts_at):
        return next_midnight(str(appointment.starts_at), rules.zone)
    return start + timedelta(minutes=rules.appointment_minutes)
