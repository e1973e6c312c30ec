"""Appointments."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from tasks.mapping.dates import made
from tasks.mapping.desired import Desired, Mapped, Refused
from tasks.mapping.marker import mark
from tasks.mapping.text import block, line
from tasks.mapping.users import assigned
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
_ELSEWHERE = ZoneInfo("Etc/GMT+12")
_NOT_LETTERS = re.compile(r"[^a-z]")


def appointments(items: Sequence[tuple[str, Appointment, RawTime]], rules: Rules) -> list[Mapped]:
    """What the destination should hold for each (contact id, appointment, unused).

    ``content`` has ``title, startTime, endTime, appointmentStatus, description, address, assignedUserId``.
    The status is always there, because a write without it confirms the appointment (measured by integrators);
    a missing one is ``confirmed``, so is an unknown one, which is said (``unknown_status``).

    Both times are instants. One that is only a day lasts from local midnight to local midnight in the
    account's zone, on some days 23 or 25 hours; an end that is only a day is that day's last midnight. One
    without an end, or whose end is its start, lasts the account's ``appointment_minutes``. Refused: no start
    (``no_date``), an unreadable time (``bad_timestamp``), an end that is not after the start (``bad_times``).
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
    if end <= start:
        return Refused("appointments", source_id, contact_id, "bad_times", "ends_at: before starts_at")
    created, kept_back = made(appointment.created_at, rules.zone)
    user, unknown = assigned("assignedUserId", appointment.user_id, rules)
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
    kept_back += unknown if known else (*unknown, "unknown_status")
    return Desired("appointments", source_id, contact_id, {**content, **user}, kept_back)


def status_of(raw: str | None) -> tuple[str, bool]:
    """The destination's word for a status, in whatever spelling, and whether the source's was known."""
    word = _NOT_LETTERS.sub("", (raw or "").lower())
    return _STATUSES.get(word, "confirmed"), not line(raw) or word in _STATUSES


def _end(start: datetime, appointment: Appointment, rules: Rules) -> datetime:
    """When it ends. A bare date means the whole of that day; an end that is the start tells no length."""
    end = instant(appointment.ends_at, rules.zone)
    if is_date_only(appointment.ends_at):
        return next_midnight(str(appointment.ends_at), rules.zone)
    if end is not None and end < start:
        return _second(appointment.ends_at, end, rules)
    if end is not None and end != start:
        return end
    if is_date_only(appointment.starts_at):
        return next_midnight(str(appointment.starts_at), rules.zone)
    return start + timedelta(minutes=rules.appointment_minutes)


def _second(raw: RawTime, first: datetime, rules: Rules) -> datetime:
    """The second occurrence of a wall-clock time that happens twice; of any other time, its only one.

    An appointment from 01:45 to 01:15, in the night in which the clocks go back from 02:00 to 01:00, is half
    an hour long.
    """
    if instant(raw, _ELSEWHERE) == first:  # it names an offset, and so one instant
        return first
    return first.astimezone(rules.zone).replace(fold=1).astimezone(UTC)
