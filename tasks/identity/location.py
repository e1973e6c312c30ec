"""What must be known of a location before the first write to it: learnt once, kept in the ledger.

It is learnt again where the mapping needs something else of it, and by full runs. A mapping that names what
the location does not have is refused here, before anything is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from tasks.errors import ConfigurationError, OutcomeUnknown
from tasks.highlevel.answers import User
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.requests import CreateCustomField
from tasks.identity.needs import Needs, find_field
from tasks.ledger import facts
from tasks.ledger.database import Database
from tasks.together import both, together
from tasks.voipstudio.client import VoipStudio

FACT = "location"
USERS = 100
"""Users asked for at once."""


@dataclass(frozen=True, slots=True)
class Location:
    """A location's policy, and what the mapping uses of it.

    Attributes:
        allows_duplicates: ``settings.allowDuplicateContact``; where the API does not say, yes.
        fields: our names of custom fields (``id``, ``other_phones``, ``custom.…``) → their ids.
        kinds: our names of custom fields → their data types.
        users: VoIPstudio user ids → HighLevel user ids.
        workflows: names as routes give them → workflow ids.
        team: users who can have appointments in the calendar.
        known_before: the id field stood there already when this ledger first met the location, so an
            earlier ledger may have written here moments ago, unseen by the search index.
        needs: what the mapping needed when this was learnt.
    """

    allows_duplicates: bool
    timezone: str | None
    country: str | None
    fields: dict[str, str]
    kinds: dict[str, str]
    users: dict[str, str]
    workflows: dict[str, str]
    team: list[str]
    known_before: bool
    needs: dict[str, Any]

    @property
    def missing(self) -> list[str]:
        """Which of our own custom fields are still to be made."""
        return [name for name in self.needs["own"] if name not in self.fields]

    def named(self, field_id: str) -> str | None:
        """Our name of one of the location's custom fields."""
        return next((name for name, known in self.fields.items() if known == field_id), None)


async def known(database: Database, account: str) -> Location | None:
    """The location as the ledger knows it, if it does."""
    found = await database.look(lambda connection: facts.get(connection, account, FACT))
    return Location(**found[0]) if found else None


async def learn(
    api: ContactsApi, source: VoipStudio, database: Database, account: str, needs: Needs, *, again: bool
) -> Location:
    """Return the location as the ledger knows it, asking the API only where that is not enough, or ``again``.

    Nothing is written there: `complete` makes the custom fields that we keep.

    Raises:
        ConfigurationError: the mapping names what the location does not have.
    """
    before = await known(database, account)
    complete_before = before is not None and not before.missing  # else a run may have died making them
    if before and complete_before and before.needs == needs.as_json() and not again:
        return before
    (answer, existing), (workflows, calendars) = await both(
        both(api.get_location(), api.list_custom_fields()),
        both(
            api.list_workflows() if needs.workflows else _none(),
            api.list_calendars() if needs.calendar else _none(),
        ),
    )
    fields = needs.find_fields(existing)
    location = Location(
        allows_duplicates=answer.settings.allow_duplicate_contact is not False,
        timezone=answer.timezone,
        country=answer.country,
        fields={name: one.id for name, one in fields.items()},
        kinds={name: one.data_type for name, one in fields.items() if one.data_type},
        users=await _users(api, source, needs, answer.company_id),
        workflows=needs.find_workflows(workflows),
        team=needs.check_calendar(calendars) if needs.calendar else [],
        known_before=before.known_before if before else "id" in fields,
        needs=needs.as_json(),
    )
    await _keep(database, account, location)
    return location


async def complete(api: ContactsApi, database: Database, account: str, location: Location) -> Location:
    """Make the custom fields of ours that the location does not have yet."""
    if not location.missing:
        return location
    labels = {name: location.needs["own"][name] for name in location.missing}
    made = await together(_create(api, label) for label in labels.values())
    whole = replace(location, fields=location.fields | dict(zip(labels, made, strict=True)))
    await _keep(database, account, whole)
    return whole


async def _none() -> list[Any]:
    """What there is of something that is not needed."""
    return []


async def _keep(database: Database, account: str, location: Location) -> None:
    await database.do(lambda connection: facts.put(connection, account, FACT, asdict(location)))


async def _users(
    api: ContactsApi, source: VoipStudio, needs: Needs, company_id: str | None
) -> dict[str, str]:
    if not needs.users and not needs.users_by_email:
        return {}
    if company_id is None:
        where = f"{needs.where}.mapping.users"
        raise ConfigurationError(f"{where}: the location does not say its company, so its users are unknown")
    users: list[User] = []
    while page := (await api.search_users(company_id, limit=USERS, skip=len(users))).users:
        users += page
        if len(page) < USERS:
            break
    sources: Mapping[str, str] = await source.users() if needs.users_by_email else {}
    return needs.find_users(users, sources)


async def _create(api: ContactsApi, label: str) -> str:
    """Create a text field; where the answer is lost, look whether it is there before trying again."""
    try:
        return (
            await api.create_custom_field(CreateCustomField(name=label, dataType="TEXT", model="contact"))
        ).id
    except OutcomeUnknown:
        found = find_field(await api.list_custom_fields(), label)
        if found is None:
            raise
        return found.id
