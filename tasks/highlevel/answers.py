"""What the Contacts API answers: tolerant models, frozen, in our spelling.

Unknown properties are ignored, everything but an id may be missing or null, and the API's spellings are
all accepted (``succeded``, ``appoinmentStatus``). Times stay as they were sent: the API sends offsets at
some places and local times at others, and only the caller knows which zone is meant.
"""

from typing import Annotated, Any

from pydantic import (
    AliasChoices,
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic.alias_generators import to_camel


def _or_empty(value: object) -> object:
    return [] if value is None else value


def _strings(value: object) -> object:
    return [one for one in value if one is not None] if isinstance(value, list) else _or_empty(value)


Instant = str | int | float | None
"""A time as it was sent: ISO text or epoch milliseconds."""
Strings = Annotated[list[str], BeforeValidator(_strings)]


class Answer(BaseModel):
    """A tolerant answer."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        coerce_numbers_to_str=True,
        alias_generator=AliasGenerator(validation_alias=to_camel),
    )


class Record(Answer):
    """Something with an id."""

    id: str = Field(min_length=1, validation_alias=AliasChoices("id", "_id"))


class Contact(Record):
    """A contact, in any of the shapes of get, create, update, upsert, search and duplicate search."""

    location_id: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    name: str | None = Field(None, validation_alias=AliasChoices("name", "contactName"))
    email: str | None = None
    phone: str | None = None
    company_name: str | None = None
    source: str | None = None
    type: str | None = None
    tags: Strings = []
    custom_fields: Annotated[list[dict[str, Any]], BeforeValidator(_or_empty)] = []
    address1: str | None = Field(None, validation_alias=AliasChoices("address1", "address"))
    city: str | None = None
    state: str | None = None
    country: str | None = None
    postal_code: str | None = None
    website: str | None = None
    timezone: str | None = None
    date_of_birth: Instant = None
    assigned_to: str | None = None
    business_id: str | None = None
    dnd: bool | None = None
    deleted: bool | None = None
    additional_emails: Annotated[list[Any], BeforeValidator(_or_empty)] = []
    additional_phones: Annotated[list[Any], BeforeValidator(_or_empty)] = []
    date_added: Instant = None
    date_updated: Instant = None
    search_after: list[Any] | None = None

    @property
    def custom(self) -> dict[str, Any]:
        """The custom fields: field id → value."""
        return {str(one["id"]): _custom_value(one) for one in self.custom_fields if one.get("id")}


def _custom_value(field: dict[str, Any]) -> object:
    for spelling in ("value", "fieldValue", "field_value"):
        if spelling in field:
            return field[spelling]
    return None


class Upserted(Answer):
    """The contact, and whether it is new (None where the API does not say)."""

    new: bool | None = None
    contact: Contact


class ContactList(Answer):
    """Contacts of ``GET /contacts/`` and ``GET /contacts/business/{businessId}``."""

    contacts: Annotated[list[Contact], BeforeValidator(_or_empty)]
    count: int | None = None
    meta: dict[str, Any] | None = None


class SearchPage(Answer):
    """One page of a search; ``contacts[-1].search_after`` leads on to the next."""

    contacts: Annotated[list[Contact], BeforeValidator(_or_empty)]
    total: int | None = None


def _contact_or_none(value: object) -> object:
    return value if isinstance(value, dict) and (value.get("id") or value.get("_id")) else None


class Duplicate(Answer):
    """The contact that holds an e-mail or number; null, absent and empty all say: none."""

    contact: Annotated[Contact | None, BeforeValidator(_contact_or_none)] = None


class ContactTags(Answer):
    """A contact's tags after the operation, lower-case."""

    tags: Strings


class Note(Record):
    """A note of a contact."""

    contact_id: str | None = None
    body: str | None = None
    title: str | None = None
    user_id: str | None = None
    color: str | None = None
    pinned: bool | None = None
    date_added: Instant = None


class NoteList(Answer):
    """All notes of a contact, in no documented order."""

    notes: Annotated[list[Note], BeforeValidator(_or_empty)]


class CrmTask(Record):
    """A task of a contact."""

    contact_id: str | None = None
    title: str | None = None
    body: str | None = None
    due_date: Instant = None
    completed: bool | None = None
    assigned_to: str | None = None
    date_added: Instant = None


class CrmTaskList(Answer):
    """All tasks of a contact, in no documented order."""

    tasks: Annotated[list[CrmTask], BeforeValidator(_or_empty)]


class Appointment(Record):
    """An appointment: the flat answer to a write, an event of a calendar, or of a contact.

    Attributes:
        appointment_status: ``confirmed``, ``showed``, …
        status: another word for it at some places, such as ``booked``.
    """

    calendar_id: str | None = None
    location_id: str | None = None
    contact_id: str | None = None
    group_id: str | None = None
    title: str | None = None
    appointment_status: str | None = Field(
        None, validation_alias=AliasChoices("appointmentStatus", "appoinmentStatus")
    )
    status: str | None = None
    assigned_user_id: str | None = None
    users: Strings = []
    notes: str | None = None
    description: str | None = None
    address: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    is_recurring: bool | None = None
    rrule: str | None = None
    deleted: bool | None = None
    master_event_id: str | None = None
    date_added: Instant = None
    date_updated: Instant = None


class AppointmentList(Answer):
    """Appointments of a contact, or events of a calendar."""

    events: Annotated[list[Appointment], BeforeValidator(_or_empty)]


class Calendar(Record):
    """A calendar."""

    name: str | None = None
    location_id: str | None = None
    group_id: str | None = None
    calendar_type: str | None = None
    is_active: bool | None = None
    team_members: Annotated[list[dict[str, Any]], BeforeValidator(_or_empty)] = []
    slot_duration: float | None = None
    slot_duration_unit: str | None = None


class CalendarList(Answer):
    """All calendars of the location."""

    calendars: Annotated[list[Calendar], BeforeValidator(_or_empty)]


class LocationSettings(Answer):
    """A location's policies; None where the API does not say."""

    allow_duplicate_contact: bool | None = None
    disable_contact_timezone: bool | None = None


class Location(Record):
    """A location (sub-account)."""

    name: str | None = None
    company_id: str | None = None
    timezone: str | None = None
    country: str | None = None
    settings: Annotated[LocationSettings, BeforeValidator(lambda value: value or {})] = LocationSettings()


class CustomField(Record):
    """The definition of a custom field."""

    name: str | None = None
    field_key: str | None = None
    data_type: str | None = None
    model: str | None = None


class CustomFieldList(Answer):
    """All custom fields of the location."""

    custom_fields: Annotated[list[CustomField], BeforeValidator(_or_empty)]


class Tag(Record):
    """A tag of the location."""

    name: str | None = None


class TagList(Answer):
    """All tags of the location."""

    tags: Annotated[list[Tag], BeforeValidator(_or_empty)]


class Timezones(Answer):
    """Accepted time zones; OpenAPI gives no schema, so a bare list is taken too."""

    timezones: Strings = Field(validation_alias=AliasChoices("timeZones", "timezones"))

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: object) -> object:
        return {"timezones": data} if isinstance(data, list) else data


class User(Record):
    """A user of the agency or location."""

    name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    deleted: bool | None = None


class UserList(Answer):
    """A page of users."""

    users: Annotated[list[User], BeforeValidator(_or_empty)]
    count: int | None = None


class Workflow(Record):
    """A workflow; one that is a draft ignores enrolments."""

    name: str | None = None
    status: str | None = None


class WorkflowList(Answer):
    """All workflows of the location."""

    workflows: Annotated[list[Workflow], BeforeValidator(_or_empty)]


class Done(Answer):
    """The answer to a deletion or enrolment."""

    succeeded: bool | None = Field(None, validation_alias=AliasChoices("succeeded", "succeded"))
