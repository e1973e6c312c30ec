"""The Contacts API of one location: every operation of the catalogue, typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel

from tasks.highlevel import answers
from tasks.highlevel.caller import ApiVersion, Caller, Calls
from tasks.highlevel.requests import Completed, CreateTag, Enrolment, Request, Tags

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from tasks.highlevel import requests
    from tasks.transport import Answer, Transport

Model = TypeVar("Model", bound=BaseModel)


class ContactsApi:
    """One location, seen through one version of the API.

    A method per operation of the catalogue, of the same name. Each may raise what `Caller.call` raises.

    Args:
        transport: the way to the service; it holds the credential.
        location_id: the location; sent where the API wants it, and only there.
        version: of the API; before v3 the calendars have a version of their own.
        calls: who runs the operations, where it is not simply the service.
    """

    def __init__(
        self, transport: Transport, *, location_id: str, version: ApiVersion, calls: Calls | None = None
    ) -> None:
        self.transport = transport
        self.location_id = location_id
        self.version = version
        self._caller = Caller(transport, location_id=location_id, version=version)
        self._calls: Calls = calls or self._caller

    async def call(
        self,
        name: str,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Request | Mapping[str, Any] | None = None,
    ) -> BaseModel:
        """Run one operation by its name, as `Caller.call` does."""
        return await self._calls.call(name, path=path, query=query, body=body)

    async def send(
        self,
        name: str,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Request | Mapping[str, Any] | None = None,
    ) -> Answer:
        """Run one operation by its name and return its answer as it came, as `Caller.send` does."""
        return await self._caller.send(name, path=path, query=query, body=body)

    async def _ask(
        self,
        kind: type[Model],
        name: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Request | None = None,
        **path: str,
    ) -> Model:
        """Call with the answer's type, which the catalogue says (a test compares them)."""
        return cast("Model", await self._calls.call(name, path=path, query=query, body=body))

    # Contacts

    async def get_contact(self, contact_id: str) -> answers.Contact:
        """Return a contact; what was written is seen at once. It has no notes or tasks."""
        return await self._ask(answers.Contact, "get-contact", contactId=contact_id)

    async def create_contact(self, contact: requests.CreateContact) -> answers.Contact:
        """Create a contact."""
        return await self._ask(answers.Contact, "create-contact", body=contact)

    async def update_contact(self, contact_id: str, contact: requests.UpdateContact) -> answers.Contact:
        """Change what is given of a contact."""
        return await self._ask(answers.Contact, "update-contact", contactId=contact_id, body=contact)

    async def upsert_contact(self, contact: requests.UpsertContact) -> answers.Upserted:
        """Create a contact, or update the one that holds its e-mail or phone by the location's policy."""
        return await self._ask(answers.Upserted, "upsert-contact", body=contact)

    async def delete_contact(self, contact_id: str) -> None:
        """Delete a contact."""
        await self._ask(answers.Done, "delete-contact", contactId=contact_id)

    async def list_contacts(
        self,
        *,
        limit: int | None = None,
        query: str | None = None,
        start_after: int | None = None,
        start_after_id: str | None = None,
    ) -> answers.ContactList:
        """Return contacts by the deprecated list, at most 100."""
        asked = {"limit": limit, "query": query, "startAfter": start_after, "startAfterId": start_after_id}
        return await self._ask(answers.ContactList, "list-contacts", query=asked)

    async def contacts_of_business(
        self, business_id: str, *, limit: int | None = None, skip: int | None = None, query: str | None = None
    ) -> answers.ContactList:
        """Return contacts of a business."""
        asked = {"limit": limit, "skip": skip, "query": query}
        return await self._ask(
            answers.ContactList, "contacts-of-business", businessId=business_id, query=asked
        )

    async def search_contacts(self, search: requests.SearchContacts) -> answers.SearchPage:
        """Return one page of a search; its index lags behind writes by up to a minute."""
        return await self._ask(answers.SearchPage, "search-contacts", body=search)

    async def find_duplicate(
        self, *, email: str | None = None, number: str | None = None
    ) -> answers.Contact | None:
        """Return the contact that holds the e-mail or number, looked up by key."""
        asked = {"email": email, "number": number}
        return (await self._ask(answers.Duplicate, "find-duplicate", query=asked)).contact

    async def add_tags(self, contact_id: str, tags: Sequence[str]) -> list[str]:
        """Add tags to a contact and return all it has then."""
        body = Tags(tags=list(tags))
        return (await self._ask(answers.ContactTags, "add-tags", contactId=contact_id, body=body)).tags

    async def remove_tags(self, contact_id: str, tags: Sequence[str]) -> list[str]:
        """Remove tags from a contact and return those that remain."""
        body = Tags(tags=list(tags))
        return (await self._ask(answers.ContactTags, "remove-tags", contactId=contact_id, body=body)).tags

    # Notes

    async def list_notes(self, contact_id: str) -> list[answers.Note]:
        """Return all notes of a contact."""
        return (await self._ask(answers.NoteList, "list-notes", contactId=contact_id)).notes

    async def get_note(self, contact_id: str, note_id: str) -> answers.Note:
        """Return a note."""
        return await self._ask(answers.Note, "get-note", contactId=contact_id, id=note_id)

    async def create_note(self, contact_id: str, note: requests.CreateNote) -> answers.Note:
        """Add a note to a contact."""
        return await self._ask(answers.Note, "create-note", contactId=contact_id, body=note)

    async def update_note(self, contact_id: str, note_id: str, note: requests.UpdateNote) -> answers.Note:
        """Change a note."""
        return await self._ask(answers.Note, "update-note", contactId=contact_id, id=note_id, body=note)

    async def delete_note(self, contact_id: str, note_id: str) -> None:
        """Delete a note."""
        await self._ask(answers.Done, "delete-note", contactId=contact_id, id=note_id)

    # Tasks of the CRM

    async def list_crm_tasks(self, contact_id: str) -> list[answers.CrmTask]:
        """Return all tasks of a contact."""
        return (await self._ask(answers.CrmTaskList, "list-crm-tasks", contactId=contact_id)).tasks

    async def get_crm_task(self, contact_id: str, crm_task_id: str) -> answers.CrmTask:
        """Return a task."""
        return await self._ask(answers.CrmTask, "get-crm-task", contactId=contact_id, taskId=crm_task_id)

    async def create_crm_task(self, contact_id: str, crm_task: requests.CreateCrmTask) -> answers.CrmTask:
        """Add a task to a contact."""
        return await self._ask(answers.CrmTask, "create-crm-task", contactId=contact_id, body=crm_task)

    async def update_crm_task(
        self, contact_id: str, crm_task_id: str, crm_task: requests.UpdateCrmTask
    ) -> answers.CrmTask:
        """Change a task."""
        return await self._ask(
            answers.CrmTask, "update-crm-task", contactId=contact_id, taskId=crm_task_id, body=crm_task
        )

    async def complete_task(
        self, contact_id: str, crm_task_id: str, *, completed: bool = True
    ) -> answers.CrmTask:
        """Complete a task, or open it again."""
        body = Completed(completed=completed)
        return await self._ask(
            answers.CrmTask, "complete-task", contactId=contact_id, taskId=crm_task_id, body=body
        )

    async def delete_crm_task(self, contact_id: str, crm_task_id: str) -> None:
        """Delete a task."""
        await self._ask(answers.Done, "delete-crm-task", contactId=contact_id, taskId=crm_task_id)

    # Appointments and calendars

    async def contact_appointments(self, contact_id: str) -> list[answers.Appointment]:
        """Return the appointments of a contact; times may be local, without an offset."""
        found = await self._ask(answers.AppointmentList, "contact-appointments", contactId=contact_id)
        return found.events

    async def calendar_events(
        self, calendar_id: str, start: datetime, end: datetime
    ) -> list[answers.Appointment]:
        """Return a calendar's events between two aware times."""
        asked = {
            "calendarId": calendar_id,
            "startTime": str(int(start.timestamp() * 1000)),
            "endTime": str(int(end.timestamp() * 1000)),
        }
        return (await self._ask(answers.AppointmentList, "calendar-events", query=asked)).events

    async def get_appointment(self, event_id: str) -> answers.Appointment:
        """Return an appointment."""
        return await self._ask(answers.Appointment, "get-appointment", eventId=event_id)

    async def create_appointment(self, appointment: requests.CreateAppointment) -> answers.Appointment:
        """Book an appointment; with ``ignoreFreeSlotValidation`` nothing prevents a second one."""
        return await self._ask(answers.Appointment, "create-appointment", body=appointment)

    async def update_appointment(
        self, event_id: str, appointment: requests.UpdateAppointment
    ) -> answers.Appointment:
        """Change what is given of an appointment."""
        return await self._ask(answers.Appointment, "update-appointment", eventId=event_id, body=appointment)

    async def delete_appointment(self, event_id: str) -> None:
        """Delete an appointment."""
        await self._ask(answers.Done, "delete-appointment", eventId=event_id)

    async def list_calendars(self) -> list[answers.Calendar]:
        """Return the location's calendars."""
        return (await self._ask(answers.CalendarList, "list-calendars")).calendars

    async def get_calendar(self, calendar_id: str) -> answers.Calendar:
        """Return a calendar."""
        return await self._ask(answers.Calendar, "get-calendar", calendarId=calendar_id)

    # The location

    async def get_location(self) -> answers.Location:
        """Return the location, with its duplicate policy and time zone."""
        return await self._ask(answers.Location, "get-location")

    async def list_custom_fields(self, *, model: str = "contact") -> list[answers.CustomField]:
        """Return the location's custom fields."""
        found = await self._ask(answers.CustomFieldList, "list-custom-fields", query={"model": model})
        return found.custom_fields

    async def create_custom_field(self, field: requests.CreateCustomField) -> answers.CustomField:
        """Define a custom field."""
        return await self._ask(answers.CustomField, "create-custom-field", body=field)

    async def list_tags(self) -> list[answers.Tag]:
        """Return the location's tags."""
        return (await self._ask(answers.TagList, "list-tags")).tags

    async def create_tag(self, name: str) -> answers.Tag:
        """Define a tag."""
        return await self._ask(answers.Tag, "create-tag", body=CreateTag(name=name))

    async def list_timezones(self) -> list[str]:
        """Return the time zones that a contact can have."""
        return (await self._ask(answers.Timezones, "list-timezones")).timezones

    async def list_workflows(self) -> list[answers.Workflow]:
        """Return the location's workflows."""
        return (await self._ask(answers.WorkflowList, "list-workflows")).workflows

    async def enrol_in_workflow(
        self, contact_id: str, workflow_id: str, *, event_start_time: str | None = None
    ) -> None:
        """Enrol a contact; a draft workflow ignores it and answers as if it had not."""
        body = Enrolment(eventStartTime=event_start_time) if event_start_time else Enrolment()
        await self._ask(
            answers.Done, "enrol-in-workflow", contactId=contact_id, workflowId=workflow_id, body=body
        )

    async def search_users(
        self, company_id: str, *, query: str | None = None, limit: int | None = None, skip: int | None = None
    ) -> answers.UserList:
        """Return users of an agency who belong to the location."""
        asked = {"companyId": company_id, "query": query, "limit": limit, "skip": skip}
        return await self._ask(answers.UserList, "search-users", query=asked)
