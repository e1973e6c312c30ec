"""What a sandbox is started with, and putting both services into that state."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from sandbox import seed, seed_location
from sandbox.limits import Limits
from sandbox.source import STREAMS, Disturbance
from sandbox.voipstudio_gateway import CLIENT, PATH
from sandbox.world import Token

if TYPE_CHECKING:
    from sandbox.highlevel import HighLevel
    from sandbox.voipstudio import VoipStudio
    from sandbox.wire import Row

ALL_SCOPES = frozenset(
    (
        "contacts.readonly", "contacts.write", "calendars.readonly", "calendars.write",
        "calendars/events.readonly", "calendars/events.write", "locations.readonly",
        "locations/customFields.readonly", "locations/customFields.write", "locations/tags.readonly",
        "locations/tags.write", "locations/tasks.readonly", "users.readonly", "workflows.readonly",
        "oauth.readonly", "oauth.write",
    )
)  # fmt: skip
PASSWORD = "sandbox-password"  # noqa: S105 - of the modelled account


@dataclass
class Scenario:
    """The starting state.

    Attributes:
        contacts: Contacts at VoIPstudio, with activities unless ``activities`` is off.
        seed: Same seed, same data, ids and tokens.
        poison: Contacts whose values have wrong types.
        duplicates: Second entries of people who are there already.
        strangers: Contacts at the destination that VoIPstudio does not know.
        mirrored: How many of VoIPstudio's contacts somebody has typed into the CRM already.
        locations: Locations at the destination, each with a token and limits of its own.
        burst: Requests per ``interval`` seconds and location.
        allow_duplicates: The locations' "Allow Duplicate Contact".
        latency: Seconds added to every answer of both services.
        source: Fields of ``SourceOptions``.
        destination: Fields of ``Options``.
        record: Whether requests are recorded from the start.
    """

    contacts: int = 200
    seed: int = 7
    activities: bool = True
    poison: int = 0
    duplicates: int = 0
    strangers: int = 0
    mirrored: int = 0
    locations: int = 1
    timezone: str = "Europe/London"
    country: str = "GB"
    burst: int = 100
    interval: float = 10.0
    daily: int = 200_000
    allow_duplicates: bool = False
    latency: float = 0.0
    record: bool = False
    source: dict[str, Any] = field(default_factory=dict)
    destination: dict[str, Any] = field(default_factory=dict)


def set_fields(target: object, values: Row) -> None:
    """Sets known fields of an options object; an unknown one is an error that names the known ones."""
    known = {item.name for item in fields(target)}  # type: ignore[arg-type]
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"unknown option {name!r}; known: {', '.join(sorted(known))}")
        if name == "streams":
            chosen = dict.fromkeys(STREAMS, value) if isinstance(value, bool) else value
            getattr(target, name).update(chosen)
        elif name == "disturbances":
            target.disturbances = [Disturbance(**item) for item in value]  # type: ignore[attr-defined]
        else:
            setattr(target, name, value)


def begin(voipstudio: VoipStudio, highlevel: HighLevel, scenario: Scenario) -> Row:
    """Puts both services into the scenario's state; answers the credentials and ids to call them with."""
    voipstudio.begin(scenario.seed)
    highlevel.begin(scenario.seed)
    set_fields(voipstudio.options, scenario.source)
    set_fields(highlevel.options, scenario.destination)
    voipstudio.latency = highlevel.latency = scenario.latency
    voipstudio.journal.recording = highlevel.journal.recording = scenario.record
    source = voipstudio.source
    seed.seed_source(source, contacts=scenario.contacts, seed=scenario.seed, activities=scenario.activities)
    seed.add_duplicates(source, scenario.duplicates)
    poisoned = seed.add_poison(source, scenario.poison)
    key = voipstudio.access.new_key(10002, "sandbox", 0)
    for user in source.users.values():
        voipstudio.access.passwords[user["email"]] = (PASSWORD, user["id"])
    places = []
    for _ in range(scenario.locations):
        limits = Limits(scenario.burst, scenario.interval, scenario.daily)
        location, token = seed_location.add_location(
            highlevel, timezone=scenario.timezone, country=scenario.country, limits=limits
        )
        location.allow_duplicates = scenario.allow_duplicates
        places.append(
            {
                "location_id": location.id,
                "token": token,
                "calendar_id": next(iter(location.calendars)),
                "workflow_id": next(iter(location.workflows)),
                "user_ids": list(location.users),
            }
        )
    first = next(iter(highlevel.locations.values()))
    mirrored = seed_location.mirror(highlevel, first, source, scenario.mirrored)
    seed_location.populate(highlevel, first, scenario.strangers)
    return {
        "api_key": key.token,
        "login": {"email": next(iter(voipstudio.access.passwords)), "password": PASSWORD},
        "gateway": {"client_id": CLIENT[0], "client_secret": CLIENT[1], "path": PATH},
        **places[0],
        "locations": places,
        "company_id": seed_location.COMPANY,
        "poisoned": poisoned,
        "mirrored": {str(source_id): contact_id for source_id, contact_id in mirrored.items()},
        "oauth": _oauth(highlevel, first.id),
    }


def _oauth(highlevel: HighLevel, location_id: str) -> Row:
    """An app installed on the first location and on the agency: client, codes to exchange, tokens."""
    from sandbox.highlevel_oauth import issue  # noqa: PLC0415 - only needed here

    client_id, secret = seed_location.CLIENT
    highlevel.clients[client_id] = secret
    place = Token(
        "location", seed_location.COMPANY, location_id, ALL_SCOPES - {"oauth.readonly", "oauth.write"}
    )
    agency = Token("company", seed_location.COMPANY, None, ALL_SCOPES)
    highlevel.codes["sandbox-location-code"], highlevel.codes["sandbox-company-code"] = place, agency
    highlevel.tokens["pit-agency-sandbox"] = Token("agency_pit", seed_location.COMPANY)
    return {
        "client_id": client_id,
        "client_secret": secret,
        "location": issue(highlevel, place, client_id),
        "company": issue(highlevel, agency, client_id),
        "codes": {"location": "sandbox-location-code", "company": "sandbox-company-code"},
        "agency_pit": "pit-agency-sandbox",
    }
