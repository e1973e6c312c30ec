"""Appointments at the destination, in the location's calendar."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, get_args

from tasks.engine.entities.child import Content, Place
from tasks.engine.entities.instants import moment, utc
from tasks.errors import NotFound, RejectedRecord
from tasks.highlevel.answers import Appointment
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.requests import AppointmentStatus, CreateAppointment, UpdateAppointment
from tasks.mapping import marker

AROUND = timedelta(days=1)
TIMES = ("startTime", "endTime")
STATUSES = frozenset(get_args(AppointmentStatus))
SPELT = {"completed": "showed", "active": "confirmed"}
"""Statuses that only answers and v3 have, and what they are stored as (measured by integrators)."""
WITHOUT_SLOT = frozenset({"cancelled", "invalid"})
"""Statuses in which an appointment takes nobody's time."""


class Appointments:
    """Appointments, mirrored: the source has made them already.

    So no slot is asked for and nobody is notified, unless the account wants that, and then only of what is
    still to come when it is sent. The calendar's notice and date range, which are for those who book
    themselves, never count. A PUT without status resets it to confirmed (measured by integrators): it goes
    along.
    """

    entity = "appointments"
    text = "description"
    user = "assignedUserId"

    async def create(self, api: ContactsApi, place: Place, ours: Content) -> str:
        """Create an appointment."""
        takes = ours.get("appointmentStatus") not in WITHOUT_SLOT
        how = _how(place, ours.get("startTime"), takes=takes)
        body = CreateAppointment(calendarId=place.calendar_id, contactId=place.contact_id, **ours, **how)
        return (await api.create_appointment(body)).id

    async def read(self, api: ContactsApi, place: Place, child_id: str) -> Content:
        """Read an appointment."""
        return normal_form(await _event(api, child_id))

    async def update(
        self, api: ContactsApi, place: Place, child_id: str, write: Content, there: Content
    ) -> None:
        """Change an appointment; both times go together, and the status always.

        A slot is asked for where it takes another one, or one again after it was cancelled.
        """
        whole = {**there, **write}
        status = whole.get("appointmentStatus")
        if status not in STATUSES:
            message = "update-appointment: its status there cannot be sent back, and would be lost"
            raise RejectedRecord(message, reason="unknown_status")
        moves = not write.keys().isdisjoint(TIMES)
        takes = status not in WITHOUT_SLOT and (moves or there.get("appointmentStatus") in WITHOUT_SLOT)
        times = {name: whole[name] for name in TIMES if (moves or takes) and moment(whole.get(name))}
        how = _how(place, whole.get("startTime"), takes=takes)
        body = UpdateAppointment(**{**times, **write, "appointmentStatus": status, **how})
        await api.update_appointment(child_id, body)

    async def delete(self, api: ContactsApi, place: Place, child_id: str) -> None:
        """Delete an appointment."""
        await api.delete_appointment(child_id)

    async def listing(
        self, api: ContactsApi, place: Place, around: Mapping[str, Any]
    ) -> list[tuple[str, Content]]:
        """Return the contact's appointments, and those that the calendar shows near ``around``.

        Both, because the contact's list has been seen empty for known appointments. One whose description
        the list does not show, or whose times it shows without an offset, is read by id.
        """
        events = {event.id: event for event in await api.contact_appointments(place.contact_id)}
        if place.calendar_id and (start := moment(around.get("startTime"))):
            window = await api.calendar_events(place.calendar_id, start - AROUND, start + AROUND)
            events |= {event.id: event for event in window if event.contact_id == place.contact_id}
        found = []
        for child_id, event in events.items():
            if event.deleted:
                continue
            seen = event
            if marker.find(event.description) is None or not _has_instants(event):
                try:
                    seen = await _event(api, child_id)
                except NotFound:
                    continue
            found.append((child_id, normal_form(seen)))
        return found


async def _event(api: ContactsApi, child_id: str) -> Appointment:
    event = await api.get_appointment(child_id)
    if event.deleted:  # v3 has the property; whether one that was deleted is still answered is not published
        raise NotFound("get-appointment: it is deleted", status=200, reason="not_found")
    return event


def _how(place: Place, start: str | None, *, takes: bool) -> dict[str, bool]:
    """Whether a slot is asked for where it takes one, and people are notified."""
    begins = moment(start)
    to_come = begins is not None and begins.timestamp() > place.now
    return {
        "ignoreFreeSlotValidation": not (place.check_slots and to_come and takes),
        "ignoreDateRange": True,
        "toNotify": place.notify and to_come,
    }


def _has_instants(event: Appointment) -> bool:
    return all(moment(utc(raw)) for raw in (event.start_time, event.end_time) if raw)


def normal_form(event: Appointment) -> Content:
    """An appointment of the API in the form in which mapped contents are written."""
    status = event.appointment_status or ""
    form = {
        "title": event.title,
        "startTime": utc(event.start_time),
        "endTime": utc(event.end_time),
        "appointmentStatus": SPELT.get(status, status),
        "description": event.description,
        "address": event.address,
        "assignedUserId": event.assigned_user_id,
    }
    return {name: value for name, value in form.items() if value}
