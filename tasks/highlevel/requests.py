"""What the Contacts API is sent: closed models in the API's spelling, after HighLevel's OpenAPI files.

Construct them with the API's names (``CreateCrmTask(title=…, dueDate=…)``). Only what was set is sent, so
the defaults here never leave the process, and an explicit ``None`` clears a field that allows it.
``locationId`` is nowhere: the client knows where it belongs.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

AppointmentStatus = Literal["new", "confirmed", "cancelled", "showed", "noshow", "invalid"]
"""What both API versions accept; ``completed`` and ``active`` are v3's alone."""
MeetingLocationType = Literal["custom", "zoom", "gmeet", "phone", "address", "ms_teams", "google"]


class Request(BaseModel):
    """A closed request body: an unknown property is an error here, as it is there (HTTP 422)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def payload(self) -> dict[str, Any]:
        """Return the JSON object: the properties that were set, in the API's spelling."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class Empty(Request):
    """A body that the API declares required and gives no property."""


class ContactContent(Request):
    """What creation and update of a contact share.

    Attributes:
        custom_fields: field id → value; ``None`` clears (it is sent as an empty string).
    """

    first_name: str | None = Field(None, alias="firstName")
    last_name: str | None = Field(None, alias="lastName")
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    address1: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str = Field("", alias="postalCode")
    country: str = Field("", description="two-letter code")
    website: str | None = None
    timezone: str | None = None
    dnd: bool = False
    dnd_settings: dict[str, Any] = Field({}, alias="dndSettings")
    inbound_dnd_settings: dict[str, Any] = Field({}, alias="inboundDndSettings")
    tags: list[str] = []
    custom_fields: dict[str, Any] = Field({}, alias="customFields")
    date_of_birth: str | None = Field(None, alias="dateOfBirth")


class UpdateContact(ContactContent):
    """``PUT /contacts/{contactId}``; ``tags`` overwrites all tags, ``customFields`` merges by field id.

    ``gender`` and ``companyName`` are no properties of it in either version: unlike a creation, an update
    that has them is refused as a whole.
    """

    source: str | None = None
    assigned_to: str | None = Field(None, alias="assignedTo")


class CreateContact(ContactContent):
    """``POST /contacts/``: also what can only be said at creation."""

    source: str = ""
    assigned_to: str = Field("", alias="assignedTo")
    gender: str = ""
    company_name: str | None = Field(None, alias="companyName")


class UpsertContact(CreateContact):
    """``POST /contacts/upsert``; on a contact that exists ``tags`` overwrites all tags."""

    create_new_if_duplicate_allowed: bool = Field(False, alias="createNewIfDuplicateAllowed")


class SearchContacts(Request):
    """``POST /contacts/search``: by ``page`` (the first 10,000) or by ``searchAfter``, never both.

    OpenAPI leaves this body empty; the properties are those of HighLevel's own page on searching.
    """

    page_limit: int = Field(alias="pageLimit", ge=1, le=500)
    page: int | None = Field(None, ge=1)
    search_after: list[Any] | None = Field(None, alias="searchAfter")
    filters: list[dict[str, Any]] | None = None
    sort: list[dict[str, str]] | None = None
    query: str | None = Field(None, max_length=75)

    def payload(self) -> dict[str, Any]:
        """Return the JSON object; a property without a value is left out."""
        return self.model_dump(by_alias=True, exclude_none=True)


class Tags(Request):
    """Tags to add or to remove."""

    tags: list[str]


class UpdateNote(Request):
    """``PUT /contacts/{contactId}/notes/{id}``."""

    body: str = ""
    title: str = ""
    color: str = ""
    pinned: bool = False
    user_id: str = Field("", alias="userId")


class CreateNote(UpdateNote):
    """``POST /contacts/{contactId}/notes``; the API sets the note's date itself."""

    body: str


class UpdateCrmTask(Request):
    """``PUT /contacts/{contactId}/tasks/{taskId}``."""

    title: str = ""
    body: str = ""
    due_date: str = Field("", alias="dueDate")
    completed: bool = False
    assigned_to: str = Field("", alias="assignedTo")


class CreateCrmTask(UpdateCrmTask):
    """``POST /contacts/{contactId}/tasks``."""

    title: str
    due_date: str = Field(alias="dueDate")
    completed: bool


class Completed(Request):
    """``PUT /contacts/{contactId}/tasks/{taskId}/completed``."""

    completed: bool


class AppointmentContent(Request):
    """What creation and update of an appointment share; times are ISO 8601 with an offset."""

    end_time: str = Field("", alias="endTime")
    title: str = ""
    description: str = ""
    address: str = ""
    assigned_user_id: str = Field("", alias="assignedUserId")
    meeting_location_type: MeetingLocationType = Field("custom", alias="meetingLocationType")
    meeting_location_id: str = Field("default", alias="meetingLocationId")
    override_location_config: bool = Field(False, alias="overrideLocationConfig")
    ignore_date_range: bool = Field(False, alias="ignoreDateRange")
    ignore_free_slot_validation: bool = Field(False, alias="ignoreFreeSlotValidation")
    to_notify: bool = Field(True, alias="toNotify")
    rrule: str = ""


class CreateAppointment(AppointmentContent):
    """``POST /calendars/events/appointments``."""

    calendar_id: str = Field(alias="calendarId")
    contact_id: str = Field(alias="contactId")
    start_time: str = Field(alias="startTime")
    appointment_status: AppointmentStatus = Field("confirmed", alias="appointmentStatus")


class UpdateAppointment(AppointmentContent):
    """``PUT /calendars/events/appointments/{eventId}``.

    The status is optional in OpenAPI and required here: an update without it resets the appointment to
    ``confirmed`` (measured by integrators).
    """

    appointment_status: AppointmentStatus = Field(alias="appointmentStatus")
    calendar_id: str = Field("", alias="calendarId")
    start_time: str = Field("", alias="startTime")


class CreateCustomField(Request):
    """``POST /locations/{locationId}/customFields``."""

    name: str
    data_type: str = Field(alias="dataType")
    model: Literal["contact", "opportunity"] = "contact"
    placeholder: str = ""
    position: int = 0


class CreateTag(Request):
    """``POST /locations/{locationId}/tags``."""

    name: str


class Enrolment(Request):
    """``POST /contacts/{contactId}/workflow/{workflowId}``."""

    event_start_time: str = Field("", alias="eventStartTime")


def api_names(model: type[BaseModel]) -> frozenset[str]:
    """Return a request's properties in the API's spelling: what may be sent."""
    return frozenset(field.alias or name for name, field in model.model_fields.items())
