"""The catalogue of API operations: data, one row each, after HighLevel's OpenAPI files.

The paths are the same in API versions ``v3`` and ``2021-07-28`` (``GET /contacts/`` is gone from v3's file
and still answered). Whatever is sent to HighLevel is a row here, so this is also the list of scopes a
token needs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from tasks.errors import ConfigurationError
from tasks.highlevel import answers, requests

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

Place = Literal["path", "query", "body"]


@dataclass(frozen=True)
class Operation:
    """One operation of the Contacts API.

    Attributes:
        name: how people and our code call it.
        method: HTTP method.
        path: with the API's parameter names in braces.
        scope: what the token must be allowed.
        writes: whether it changes anything.
        repeatable: whether it may be sent again after an unknown outcome with no harm.
        calendars: whether it belongs to the calendars API, which has a Version of its own before v3.
        summary: one line for people.
        request: its body, if it has one.
        query: its query parameters, without ``locationId``.
        answer: what it answers.
        under: the property of the answer that holds the record; where it is absent, the answer is the record.
        location: where it wants ``locationId``; sending it anywhere else is refused (HTTP 422).
    """

    name: str
    method: str
    path: str
    scope: str
    writes: bool
    repeatable: bool
    calendars: bool
    summary: str
    request: type[requests.Request] | None
    query: tuple[str, ...]
    answer: type[BaseModel]
    under: tuple[str, ...] = ()
    location: Place | None = None

    @cached_property
    def path_names(self) -> tuple[str, ...]:
        """The parameters in the path that a caller must give."""
        return tuple(name for name in re.findall(r"\{(\w+)\}", self.path) if name != "locationId")

    @cached_property
    def body_names(self) -> frozenset[str]:
        """The properties of its body."""
        return requests.api_names(self.request) if self.request else frozenset()

    def sort_out(self, values: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        """Split what a person gave by name into path, query and body.

        Raises:
            ConfigurationError: a name is unknown, or one of the path is missing.
        """
        known = {*self.path_names, *self.query, *self.body_names}
        if unknown := sorted(values.keys() - known):
            raise ConfigurationError(
                f"{self.name} takes no {', '.join(unknown)} "
                f"(it takes: {', '.join(sorted(known)) or 'nothing'})"
            )
        if missing := [name for name in self.path_names if name not in values]:
            raise ConfigurationError(f"{self.name} needs {', '.join(missing)}")
        path = {name: str(values[name]) for name in self.path_names}
        query = {name: values[name] for name in self.query if name in values}
        body = {name: value for name, value in values.items() if name in self.body_names and name not in path}
        return path, query, body


def _row(
    name: str,
    route: str,
    scope: str,
    answer: type[BaseModel],
    summary: str,
    *,
    request: type[requests.Request] | None = None,
    query: tuple[str, ...] = (),
    under: tuple[str, ...] = (),
    location: Place | None = None,
    writes: bool | None = None,
    repeatable: bool | None = None,
) -> Operation:
    """Fill in what follows from the route: a GET reads, and only a POST may not be sent twice."""
    method, path = route.split()
    return Operation(
        name=name,
        method=method,
        path=path,
        scope=scope,
        writes=method != "GET" if writes is None else writes,
        repeatable=method != "POST" if repeatable is None else repeatable,
        calendars=path.startswith("/calendars/"),
        summary=summary,
        request=request,
        query=query,
        answer=answer,
        under=under,
        location=location,
    )


_READ, _WRITE = "contacts.readonly", "contacts.write"
_READ_EVENTS, _WRITE_EVENTS = "calendars/events.readonly", "calendars/events.write"
_EVENT = ("event", "appointment")

# fmt: off - a table, read by its rows
# A table, read by its rows.
# fmt: off
_ROWS = (
    _row("get-contact", "GET /contacts/{contactId}", _READ, answers.Contact, "one contact",
         under=("contact",)),
    _row("list-contacts", "GET /contacts/", _READ, answers.ContactList,
         "contacts, the old way (deprecated: search-contacts sees more)",
         query=("limit", "query", "startAfter", "startAfterId"), location="query"),
    _row("contacts-of-business", "GET /contacts/business/{businessId}", _READ, answers.ContactList,
         "contacts of a business", query=("limit", "skip", "query"), location="query"),
    _row("search-contacts", "POST /contacts/search", _READ, answers.SearchPage,
         "contacts by filters, up to 500 a page; the index lags behind writes",
         request=requests.SearchContacts, location="body", writes=False, repeatable=True),
    _row("find-duplicate", "GET /contacts/search/duplicate", _READ, answers.Duplicate,
         "the contact that holds an e-mail or number", query=("email", "number"), location="query"),
    _row("create-contact", "POST /contacts/", _WRITE, answers.Contact, "create a contact",
         request=requests.CreateContact, under=("contact",), location="body"),
    _row("upsert-contact", "POST /contacts/upsert", _WRITE, answers.Upserted,
         "create or update a contact; tags, if given, overwrite all its tags",
         request=requests.UpsertContact, location="body"),
    _row("update-contact", "PUT /contacts/{contactId}", _WRITE, answers.Contact,
         "change a contact; tags, if given, overwrite all its tags",
         request=requests.UpdateContact, under=("contact",)),
    _row("delete-contact", "DELETE /contacts/{contactId}", _WRITE, answers.Done, "delete a contact"),
    _row("add-tags", "POST /contacts/{contactId}/tags", _WRITE, answers.ContactTags, "add tags to a contact",
         request=requests.Tags, repeatable=True),
    _row("remove-tags", "DELETE /contacts/{contactId}/tags", _WRITE, answers.ContactTags,
         "remove tags from a contact", request=requests.Tags),

    _row("list-notes", "GET /contacts/{contactId}/notes", _READ, answers.NoteList, "all notes of a contact"),
    _row("get-note", "GET /contacts/{contactId}/notes/{id}", _READ, answers.Note, "one note",
         under=("note",)),
    _row("create-note", "POST /contacts/{contactId}/notes", _WRITE, answers.Note, "add a note to a contact",
         request=requests.CreateNote, under=("note",)),
    _row("update-note", "PUT /contacts/{contactId}/notes/{id}", _WRITE, answers.Note, "change a note",
         request=requests.UpdateNote, under=("note",)),
    _row("delete-note", "DELETE /contacts/{contactId}/notes/{id}", _WRITE, answers.Done, "delete a note"),

    _row("list-crm-tasks", "GET /contacts/{contactId}/tasks", _READ, answers.CrmTaskList,
         "all tasks of a contact"),
    _row("get-crm-task", "GET /contacts/{contactId}/tasks/{taskId}", _READ, answers.CrmTask, "one task",
         under=("task",)),
    _row("create-crm-task", "POST /contacts/{contactId}/tasks", _WRITE, answers.CrmTask,
         "add a task to a contact", request=requests.CreateCrmTask, under=("task",)),
    _row("update-crm-task", "PUT /contacts/{contactId}/tasks/{taskId}", _WRITE, answers.CrmTask,
         "change a task", request=requests.UpdateCrmTask, under=("task",)),
    _row("complete-task", "PUT /contacts/{contactId}/tasks/{taskId}/completed", _WRITE, answers.CrmTask,
         "complete a task, or open it again", request=requests.Completed, under=("task",)),
    _row("delete-crm-task", "DELETE /contacts/{contactId}/tasks/{taskId}", _WRITE, answers.Done,
         "delete a task"),

    _row("contact-appointments", "GET /contacts/{contactId}/appointments", _READ, answers.AppointmentList,
         "appointments of a contact, in local times without offset"),
    _row("list-calendars", "GET /calendars/", "calendars.readonly", answers.CalendarList,
         "calendars of the location", query=("groupId", "showDrafted"), location="query"),
    _row("get-calendar", "GET /calendars/{calendarId}", "calendars.readonly", answers.Calendar,
         "one calendar", under=("calendar",)),
    _row("calendar-events", "GET /calendars/events", _READ_EVENTS, answers.AppointmentList,
         "events between two times (epoch milliseconds) of one calendar, user or group",
         query=("startTime", "endTime", "calendarId", "userId", "groupId"), location="query"),
    _row("get-appointment", "GET /calendars/events/appointments/{eventId}", _READ_EVENTS,
         answers.Appointment, "one appointment", under=_EVENT),
    _row("create-appointment", "POST /calendars/events/appointments", _WRITE_EVENTS, answers.Appointment,
         "book an appointment", request=requests.CreateAppointment, under=_EVENT, location="body"),
    _row("update-appointment", "PUT /calendars/events/appointments/{eventId}", _WRITE_EVENTS,
         answers.Appointment, "change an appointment; its status must be given again",
         request=requests.UpdateAppointment, under=_EVENT),
    _row("delete-appointment", "DELETE /calendars/events/{eventId}", _WRITE_EVENTS, answers.Done,
         "delete an appointment", request=requests.Empty),

    _row("get-location", "GET /locations/{locationId}", "locations.readonly", answers.Location,
         "the location, with its duplicate policy and time zone", under=("location",), location="path"),
    _row("list-custom-fields", "GET /locations/{locationId}/customFields", "locations/customFields.readonly",
         answers.CustomFieldList, "custom fields of the location", query=("model",), location="path"),
    _row("create-custom-field", "POST /locations/{locationId}/customFields", "locations/customFields.write",
         answers.CustomField, "define a custom field",
         request=requests.CreateCustomField, under=("customField",), location="path"),
    _row("list-tags", "GET /locations/{locationId}/tags", "locations/tags.readonly", answers.TagList,
         "tags of the location", location="path"),
    _row("create-tag", "POST /locations/{locationId}/tags", "locations/tags.write", answers.Tag,
         "define a tag", request=requests.CreateTag, under=("tag",), location="path"),
    _row("list-timezones", "GET /locations/{locationId}/timezones", "locations.readonly", answers.Timezones,
         "time zones that a contact can have", location="path"),
    _row("list-workflows", "GET /workflows/", "workflows.readonly", answers.WorkflowList,
         "workflows of the location", location="query"),
    _row("enrol-in-workflow", "POST /contacts/{contactId}/workflow/{workflowId}", _WRITE, answers.Done,
         "enrol a contact in a workflow; a draft ignores it and says it succeeded",
         request=requests.Enrolment),
    _row("search-users", "GET /users/search", "users.readonly", answers.UserList, "users of the agency",
         query=("companyId", "query", "skip", "limit", "type", "role", "ids", "sort", "sortDirection"),
         location="query"),
)
# fmt: on

OPERATIONS: dict[str, Operation] = {operation.name: operation for operation in _ROWS}
"""Every operation, by name."""
