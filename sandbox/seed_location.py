"""Fills the destination: locations with users, calendars, workflows; and contacts that were there before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox import seed
from sandbox.clock import iso_ms
from sandbox.highlevel_contacts import write
from sandbox.highlevel_rules import e164
from sandbox.limits import Limits
from sandbox.wire import Row
from sandbox.world import Location, Token

if TYPE_CHECKING:
    from sandbox.highlevel import HighLevel
    from sandbox.source import Source

COMPANY = "sandboxCompany000001"
CLIENT = ("6500000000000000000000aa-sandbox", "sandbox-client-secret")
PEOPLE = (("Olivia", "Admin"), ("Sam", "Seller"), ("Nina", "Support"), ("Outside", "Team"))
WORKDAY = {"openHour": 9, "openMinute": 0, "closeHour": 17, "closeMinute": 0}


def add_location(service: HighLevel, *, timezone: str, country: str, limits: Limits) -> tuple[Location, str]:
    """A new location with two calendars, four users and two workflows; and a private integration token."""
    number = len(service.locations) + 1
    location = Location(service.ids.new(), COMPANY, f"Sandbox {number}", timezone, country, limits)
    service.locations[location.id] = location
    token = f"pit-{service.ids.new()}{service.ids.new()[:16]}"
    service.tokens[token] = Token("pit", COMPANY, location.id)
    for first, last in PEOPLE:
        _add_user(service, location, first, last)
    team = list(location.users)
    _add_calendar(service, location, "Mirrored appointments", team[:3])
    _add_calendar(service, location, "Sales only", team[1:2])
    for name, status in (("Welcome", "published"), ("Draft", "draft")):
        workflow: Row = {"id": service.ids.new(), "name": name, "status": status, "version": 1}
        stamps = {"createdAt": iso_ms(seed.EPOCH), "updatedAt": iso_ms(seed.EPOCH)}
        location.workflows[workflow["id"]] = {**workflow, **stamps, "locationId": location.id}
    return location, token


def _add_user(service: HighLevel, location: Location, first: str, last: str) -> None:
    row: Row = {
        "id": service.ids.new(), "name": f"{first} {last}", "firstName": first, "lastName": last,
        "email": f"{first.lower()}@voipsync.example.com", "phone": "", "extension": "", "permissions": {},
        "scopes": "contacts.write", "roles": {"type": "account", "role": "user",
        "locationIds": [location.id]},
        "deleted": False,
    }  # fmt: skip
    location.users[row["id"]] = row


def _add_calendar(service: HighLevel, location: Location, name: str, team: list[str]) -> None:
    row: Row = {
        "id": service.ids.new(), "locationId": location.id, "groupId": "", "name": name, "isActive": True,
        "description": "", "slug": name.lower().replace(" ", "-"), "calendarType": "round_robin",
        "eventType": "RoundRobin_OptimizeForAvailability", "eventTitle": "{{contact.name}}",
        "eventColor": "#039be5", "slotDuration": 30, "slotDurationUnit": "mins", "slotInterval": 30,
        "slotIntervalUnit": "mins", "autoConfirm": True,
        "teamMembers": [{"userId": user, "priority": 0.5, "isPrimary": at == 0} for at,
        user in enumerate(team)],
        "openHours": [{"daysOfTheWeek": [day], "hours": [WORKDAY]} for day in range(1, 6)],
    }  # fmt: skip
    location.calendars[row["id"]] = row


def populate(service: HighLevel, location: Location, strangers: int = 0) -> list[str]:
    """Adds contacts that have nothing to do with VoIPstudio; answers their ids."""
    added = []
    for number in range(1, strangers + 1):
        body: Row = {
            "firstName": "Stranger", "lastName": f"Number {number}",
            "email": f"stranger.{number}@crm.example.com",
            "phone": f"+4478{90_000_000 + number:08d}", "tags": ["crm"], "source": "import",
        }  # fmt: skip
        added.append(write(service, location, None, body)["id"])
    return added


def mirror(service: HighLevel, location: Location, source: Source, contacts: int) -> dict[int, str]:
    """Adds the first ``contacts`` people of VoIPstudio as somebody would have typed them into the CRM.

    Only people with an own e-mail; answers VoIPstudio id → contact id.
    """
    made: dict[int, str] = {}
    for row in source.contacts.values():
        if len(made) >= contacts:
            break
        email, number = row["email"], row["tel"] or ""
        if row["internal"] or not isinstance(email, str) or "@" not in email or not isinstance(number, str):
            continue
        phone = e164(
            number if not number[:3].isdigit() or number[0] == "0" else f"+{number}", location.country
        )
        body: Row = {"firstName": row["first_name"], "lastName": row["last_name"], "email": email.lower()}
        if phone and not location.by_phone.get(phone):
            body["phone"] = phone
        body.update(tags=["existing"], city="Leeds")
        made[row["id"]] = write(service, location, None, body)["id"]
    return made
