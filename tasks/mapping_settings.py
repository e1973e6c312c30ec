"""The mapping's part of the configuration: what of a source record goes where, and who has the last word.

Pure data and its checks; what a location must hold for it is checked by `tasks.identity.location`.
"""

from __future__ import annotations

from string import Formatter
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.values import CountryCode, SecretReference, Section, ServiceUrl

Policy = Literal["source", "fill", "merge", "off"]
SourceField = Literal[
    "id",
    "first_name",
    "last_name",
    "company",
    "email",
    "phone",
    "other_phones",
    "tel",
    "tel_1",
    "tel_2",
    "mobile",
    "mobile_1",
    "mobile_2",
    "group_name",
    "labels",
    "notes",
    "user_id",
    "created_at",
    "updated_at",
    "last_call_at",
    "next_call_at",
]
"""What of a VoIPstudio contact is mapped: ``phone`` is its first valid number, ``other_phones`` the rest."""
ContactField = Literal[
    "firstName",
    "lastName",
    "email",
    "phone",
    "companyName",
    "source",
    "address1",
    "city",
    "state",
    "postalCode",
    "country",
    "website",
    "timezone",
    "dateOfBirth",
    "assignedTo",
]
"""The fields of a HighLevel contact that both its creation and its update take, and ``companyName``."""
CUSTOM = "custom."
"""How contents name a custom field of the location: this and its configured key."""
SOURCES: dict[ContactField, SourceField] = {
    "firstName": "first_name",
    "lastName": "last_name",
    "email": "email",
    "phone": "phone",
    "companyName": "company",
}
"""Where a contact's fields come from unless told otherwise."""


def _template(value: str) -> str:
    try:
        parts = list(Formatter().parse(value))
    except ValueError as error:
        msg = f"is no template: {error}"
        raise ValueError(msg) from None
    known = SourceField.__args__  # type: ignore[attr-defined]
    for _, name, spec, conversion in parts:
        if name is not None and (name not in known or spec or conversion):
            msg = f"names {{{name}}}, which is none of {', '.join(known)}"
            raise ValueError(msg)
    return value


Template = Annotated[str, AfterValidator(_template)]


class FieldRule(Section):
    """Where one field of the destination comes from, and who has the last word on it."""

    source: SourceField | None = Field(None, description="the VoIPstudio field that it holds")
    template: Template | None = Field(None, description='text with fields: "{first_name} of {company}"')
    policy: Policy = Field(
        "merge",
        description="source: kept equal; fill: written where empty; merge: three-way; off: not written",
    )
    winner: Literal["destination", "source"] = Field(
        "destination", description="with merge, whose value stands where both sides changed it"
    )
    clear: bool = Field(False, description="an empty value at the source empties the field")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.source and self.template:
            msg = "takes source or template, not both"
            raise ValueError(msg)
        return self


class Route(Section):
    """What a tag starts when it appears on a contact, or disappears: exactly one action."""

    tag: str = Field(min_length=1, description="the tag at the destination, after renaming and prefix")
    when: Literal["added", "removed"] = Field("added", description="what must become of the tag")
    workflow: str | None = Field(None, description="enrol the contact in this workflow, by name or id")
    event: str | None = Field(
        None, pattern=r"^[a-z0-9][a-z0-9._-]{0,200}$", description="emit a Prefect event of this name"
    )
    webhook: ServiceUrl | None = Field(None, description="POST the contact's ids to this address")
    webhook_secret: SecretReference | None = Field(None, description="key of the webhook's HMAC signature")
    history: bool = Field(False, description="also for tags that were there before the account's first sync")

    @model_validator(mode="after")
    def _one_action(self) -> Self:
        if sum(action is not None for action in (self.workflow, self.event, self.webhook)) != 1:
            msg = "needs exactly one of workflow, event, webhook"
            raise ValueError(msg)
        if (self.webhook is None) != (self.webhook_secret is None):
            msg = "webhook and webhook_secret go together"
            raise ValueError(msg)
        return self


class MappingSettings(Section):
    """How source records become destination records."""

    default_country: CountryCode = Field("US", description="for phone numbers without a country code")
    origin: str | None = Field(
        None,
        pattern=r"^[^\s·<>&#]{1,40}$",
        description="this account's name in markers; default: the account's name",
    )
    source_label: str = Field("VoIPstudio", description="the contacts' `source`")
    id_field: str = Field(
        "VoIPstudio ID", min_length=1, description="custom field that holds the VoIPstudio id"
    )
    phones_field: str = Field(
        "VoIPstudio other phones", min_length=1, description="custom field for further phone numbers"
    )

    fields: dict[ContactField, FieldRule] = Field(
        {}, description="rules of the contacts' own fields; names, e-mail, phone and company have theirs"
    )
    custom_fields: dict[Annotated[str, Field(min_length=1)], FieldRule] = Field(
        {}, description="rules of custom fields that the location has, by key or name"
    )
    users: dict[str, str] = Field(
        {}, description="VoIPstudio user id = HighLevel user's id or e-mail; their records are assigned so"
    )
    users_by_email: bool = Field(
        False, description="match further users by e-mail (reads both services' lists of users)"
    )

    tag_prefix: str = Field("", description="put before every tag")
    group_as_tag: bool = Field(True, description="a contact's group becomes a tag too")
    tag_rename: dict[str, str] = Field({}, description="label = tag, before the prefix")
    tag_allow: list[str] = Field([], description="only these labels become tags; * and ? stand for any text")
    tag_deny: list[str] = Field([], description="these labels become none; * and ? stand for any text")
    routes: list[Route] = Field([], description="what a tag starts")

    deletes: Literal["ignore", "tag", "delete"] = Field(
        "ignore", description="what becomes of a contact that we created and that vanished at the source"
    )
    delete_tag: str = Field("deleted in voipstudio", min_length=1, description='the tag of deletes = "tag"')
    activity_deletes: Literal["ignore", "delete"] = Field(
        "delete", description="what becomes of notes, tasks and appointments that vanished at the source"
    )
    max_deletes: int = Field(25, ge=0, description="deletions of an entity in one run, at most")
    max_delete_percent: float = Field(
        5.0, ge=0, le=100, description="… and of its delivered records, from 20 of them up"
    )
    deleted_contacts: Literal["leave", "recreate", "ask"] = Field(
        "leave", description="what becomes of a contact that somebody deleted at the destination"
    )

    appointment_minutes: int = Field(30, ge=1, description="length of an appointment that has no end")
    check_slots: bool = Field(
        False,
        description="future appointments need a free slot; else all are mirrored as they are",
    )
    notify: bool = Field(False, description="HighLevel notifies people of future appointments")

    @model_validator(mode="after")
    def _own_fields(self) -> Self:
        own = {self.id_field.casefold(), self.phones_field.casefold()}
        for name, rule in self.custom_fields.items():
            if name.casefold() in own:
                msg = f"custom_fields.{name}: is kept by voipsync itself (id_field, phones_field)"
                raise ValueError(msg)
            if not rule.source and rule.template is None:
                msg = f"custom_fields.{name}: needs source or template"
                raise ValueError(msg)
        for field, rule in self.fields.items():
            if field in ("email", "phone") and rule.template is not None:
                msg = f"fields.{field}: takes no template, for people are matched by it"
                raise ValueError(msg)
            if field == "assignedTo" and rule.template is not None:
                msg = "fields.assignedTo: takes no template, but a source that holds a VoIPstudio user's id"
                raise ValueError(msg)
            if field not in SOURCES and field != "source" and not rule.source and rule.template is None:
                msg = f"fields.{field}: needs source or template"
                raise ValueError(msg)
        return self
