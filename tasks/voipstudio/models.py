"""One source row each, as tolerantly as the published descriptions of VoIPstudio leave open.

Field names come in snake_case or camelCase, nearly everything may be missing or null, numbers stand where
text is meant, labels have four shapes. What is not modelled is ignored. What cannot be read rejects its row
and no other: :func:`parse_rows` hands it back as a :class:`BadRow`. Timestamps stay as sent;
``times.instant`` reads them where the zone is known.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import AliasChoices, AliasGenerator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from tasks.voipstudio.shapes import Flag, Groups, Labels, Reference, Text, Time, Whole, whole


def _spellings(name: str) -> AliasChoices:
    return AliasChoices(*dict.fromkeys((name, to_camel(name))))


class _Row(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=AliasGenerator(validation_alias=_spellings),
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,
    )


class Contact(_Row):
    """A row of ``GET /contacts``."""

    id: Whole = Field(validation_alias=AliasChoices("id", "contact_id", "contactId"))
    first_name: Text = None
    last_name: Text = None
    email: Text = None
    company: Text = Field(
        default=None, validation_alias=AliasChoices("company", "company_name", "companyName")
    )
    tel: Text = None
    tel_1: Text = None
    tel_2: Text = None
    mobile: Text = None
    mobile_1: Text = None
    mobile_2: Text = None
    notes: Text = None
    labels: Labels = Field(default=(), validation_alias=AliasChoices("labels", "tags", "tag_name", "tagName"))
    group_name: Text = None
    groups: Groups = ()
    internal: Flag = None
    user_id: Reference = None
    last_call_at: Time = None
    next_call_at: Time = None
    created_at: Time = None
    updated_at: Time = None


class _Activity(_Row):
    contact_id: Reference = None
    user_id: Reference = None
    updated_at: Time = None


class Note(_Activity):
    """A row of ``GET /contacts/{id}/notes``."""

    id: Whole = Field(validation_alias=AliasChoices("id", "note_id", "noteId"))
    body: Text = None
    created_at: Time = Field(default=None, validation_alias=AliasChoices("created_at", "createdAt", "date"))


class CrmTask(_Activity):
    """A row of ``GET /contacts/{id}/tasks``."""

    id: Whole = Field(validation_alias=AliasChoices("id", "task_id", "taskId"))
    title: Text = None
    body: Text = None
    due_at: Time = Field(
        default=None, validation_alias=AliasChoices("due_at", "dueAt", "due_date", "dueDate", "date")
    )
    completed: Flag = None
    created_at: Time = None


class Appointment(_Activity):
    """A row of ``GET /contacts/{id}/appointments``."""

    id: Whole = Field(validation_alias=AliasChoices("id", "appointment_id", "appointmentId"))
    title: Text = None
    starts_at: Time = Field(default=None, validation_alias=AliasChoices("starts_at", "startsAt", "date"))
    ends_at: Time = None
    status: Text = None
    location: Text = None
    notes: Text = None
    created_at: Time = None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that could not be read.

    ``source_id`` is the row's own id, where that at least is readable; an activity's caller puts the id of
    the contact before it. ``message`` names fields and expected types, never values.
    """

    source_id: str | None
    reason: str
    message: str


RowT = TypeVar("RowT", bound=_Row)


def parse_rows(model: type[RowT], rows: Iterable[Any]) -> tuple[list[RowT], list[BadRow]]:
    """Every readable row as ``model``, in order, and a :class:`BadRow` for each other one; never raises.

    Reasons are ``not_an_object``, ``missing_id`` and ``wrong_type``. Where a field comes in several
    spellings, the first that is not null counts.
    """
    good: list[RowT] = []
    bad: list[BadRow] = []
    for row in rows:
        if not isinstance(row, dict):
            bad.append(BadRow(None, "not_an_object", "row: expected an object"))
            continue
        given = {key: value for key, value in row.items() if value is not None}
        try:
            good.append(model.model_validate(given))
        except ValidationError as error:
            bad.append(_bad_row(model, given, error))
    return good, bad


def _bad_row(model: type[_Row], row: dict[str, Any], error: ValidationError) -> BadRow:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    messages = (f"{problem['loc'][0]}: {problem['msg']}" for problem in problems)
    missing = any(problem["type"] == "missing" for problem in problems)
    return BadRow(_readable_id(model, row), "missing_id" if missing else "wrong_type", "; ".join(messages))


def _readable_id(model: type[_Row], row: dict[str, Any]) -> str | None:
    spellings = model.model_fields["id"].validation_alias
    names = spellings.choices if isinstance(spellings, AliasChoices) else ["id"]
    for name in names:
        if isinstance(name, str) and name in row:
            try:
                return str(whole(row[name]))
            except PydanticCustomError:
                return None
    return None
