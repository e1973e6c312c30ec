"""What must be known of a location before the first write to it: learnt once, kept in the ledger."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass

from tasks.errors import OutcomeUnknown
from tasks.highlevel.answers import CustomField
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.requests import CreateCustomField
from tasks.ledger import facts
from tasks.ledger.database import Database
from tasks.mapping_settings import MappingSettings
from tasks.together import together

FACT = "location"


@dataclass(frozen=True, slots=True)
class Location:
    """A location's policy and our custom fields in it.

    Attributes:
        allows_duplicates: ``settings.allowDuplicateContact``; where the API does not say, yes.
        fields: our names of custom fields (``id``, ``other_phones``) → the location's field ids.
        known_before: the id field stood there already when this ledger first met the location, so an
            earlier ledger may have written here moments ago, unseen by the search index.
    """

    allows_duplicates: bool
    timezone: str | None
    country: str | None
    fields: dict[str, str]
    names: dict[str, str]
    known_before: bool

    def named(self, field_id: str) -> str | None:
        """Our name of one of the location's custom fields."""
        return next((name for name, known in self.fields.items() if known == field_id), None)


async def learn(
    api: ContactsApi, database: Database, account: str, mapping: MappingSettings, *, again: bool = False
) -> Location:
    """Return the location as the ledger knows it, asking the API only the first time or ``again``."""
    names = {"id": mapping.id_field, "other_phones": mapping.phones_field}
    known = await database.look(lambda connection: facts.get(connection, account, FACT))
    before = Location(**known[0]) if known else None
    if before and before.names == names and not again:
        return before
    answer, existing = await asyncio.gather(api.get_location(), api.list_custom_fields())
    found = {name: _find(existing, label) for name, label in names.items()}
    missing = [name for name, field_id in found.items() if field_id is None]
    made = dict(zip(missing, await together(_create(api, names[name]) for name in missing), strict=True))
    location = Location(
        allows_duplicates=answer.settings.allow_duplicate_contact is not False,
        timezone=answer.timezone,
        country=answer.country,
        fields={name: field_id or made[name] for name, field_id in found.items()},
        names=names,
        known_before=before.known_before if before else found["id"] is not None,
    )
    await database.do(lambda connection: facts.put(connection, account, FACT, asdict(location)))
    return location


async def _create(api: ContactsApi, label: str) -> str:
    """Create a text field; where the answer is lost, look whether it is there before trying again."""
    try:
        return (
            await api.create_custom_field(CreateCustomField(name=label, dataType="TEXT", model="contact"))
        ).id
    except OutcomeUnknown:
        found = _find(await api.list_custom_fields(), label)
        if found is None:
            raise
        return found


def _find(existing: list[CustomField], label: str) -> str | None:
    """A field by its name or by the key HighLevel makes of it (``contact.voipstudio_id``)."""
    key = "contact." + "_".join(label.casefold().split())
    for one in existing:
        if (one.name or "").strip().casefold() == label.strip().casefold() or one.field_key == key:
            return one.id
    return None
