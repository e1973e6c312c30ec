"""Appointments at the destination, in the location's calendar."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from tasks.engine.entities.child import Content, Place
from tasks.engine.entities.instants import utc
from tasks.errors import NotFound
from tasks.highlevel.answers import Appointment
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.requests import CreateAppointment, UpdateAppointment
from tasks.mapping import marker

MIRRORED: Mapping[str, bool] = {"ignoreFreeSlotValidation": True, "ignoreDateRange": True, "toNotify": False}
"""The source has made the appointment already: no slot is asked for, nobody is notified."""
AROUND = timedelta(days=1)


class Appointments:
    """Appointments. A PUT without status resets it to confirmed (measured by integrators): it goes along."""

    entity = "appointments"
    text = "description"

    async def create(self, api: ContactsApi, place: Place, ours: Content) -> str:
        """Create an appointment."""
        body = CreateAppointment(calendarId=place.calendar_id, contactId=place.contact_id, **ours, **MIRRORED)
        return (await api.create_appointment(body)).id

    async def read(self, api: ContactsApi, place: Place, child_id: str) -> Content:
        """Read an appointment."""
        return _normal(await api.get_appointment(child_id))

    async def update(
        self, api: ContactsApi, place: Place, child_id: str, write: Content, theirs: Content
    ) -> None:
        """Change an appointment; both times go together, and the status always."""
        status = {"appointmentStatus": theirs["appointmentStatus"]} if theirs.get("appointmentStatus") else {}
        times = {name: theirs[name] for name in ("startTime", "endTime") if theirs.get(name)}
        moved = times if {"startTime", "endTime"} & set(write) else {}
        await api.update_appointment(child_id, UpdateAppointment(**{**status, **moved, **write, **MIRRORED}))

    async def delete(self, api: ContactsApi, place: Place, child_id: str) -> None:
        """Delete an appointment."""
        await api.delete_appointment(child_id)

    async def listing(
        self, api: ContactsApi, place: Place, around: Mapping[str, Any]
    ) -> list[tuple[str, Content]]:
        """Return the contact's appointments, and those that the calendar shows near ``around``.

        Both, because the contact's list has been seen empty for known appointments. One whose
        description the list does not show is read by id.
        """
        events = {event.id: event for event in await api.contact_appointments(place.contact_id)}
        if place.calendar_id and around.get("startTime"):
            start = datetime.fromisoformat(around["startTime"])
            window = await api.calendar_events(place.calendar_id, start - AROUND, start + AROUND)
            events |= {event.id: event for event in window if event.contact_id == place.contact_id}
        found = []
        for child_id, event in events.items():
            seen = event
            if marker.find(event.description) is None:
                try:
                    seen = await api.get_appointment(child_id)
                except NotFound:
                    continue
            found.append((child_id, _normal(seen)))
        return found


def _normal(event: Appointment) -> Content:
    form = {
        "title": event.title,
        "startTime": utc(event.start_time),
        "endTime": utc(event.end_time),
        "appointmentStatus": event.appointment_status,
        "description": event.description,
        "address": event.address,
    }
    return {name: value for name, value in form.items() if value}
