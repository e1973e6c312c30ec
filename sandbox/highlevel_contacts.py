"""Contacts at the destination: get, create, update, upsert, delete, the deprecated list, by business.

Decided here because it is published nowhere: an unknown custom field is a 422; an invalid phone is a 422;
an unknown ``assignedTo`` is a 422; null clears a nullable field; deleting a contact takes its notes, tasks
and appointments with it; deleting it twice is the same 400 as any unknown contact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.clock import iso_ms
from sandbox.highlevel_fields import apply_custom_fields
from sandbox.highlevel_rules import Shape, bad_request, e164, forbidden, tag_list, unprocessable
from sandbox.wire import Call, Json, Operation, Refusal, Reply, Row

if TYPE_CHECKING:
    from sandbox.highlevel import Caller, HighLevel
    from sandbox.world import Location

COMMON = {
    "firstName": "str?", "lastName": "str?", "name": "str?", "email": "email?", "phone": "str?",
    "address1": "str?", "city": "str?", "state": "str?", "postalCode": "str", "website": "str?",
    "timezone": "str?", "dnd": "bool", "dndSettings": "dict", "inboundDndSettings": "dict", "tags": "strs",
    "customFields": "list", "dateOfBirth": "any?", "country": "str",
}  # fmt: skip
CREATE = Shape(**COMMON, locationId="str*", gender="str", companyName="str?", source="str", assignedTo="str")
UPSERT = Shape(
    **COMMON, locationId="str*", gender="str", companyName="str?", source="str", assignedTo="str",
    createNewIfDuplicateAllowed="bool",
)  # fmt: skip
UPDATE = Shape(**COMMON, source="str?", assignedTo="str?")
CHANNELS = {"v3": {"call", "email", "sms", "whatsApp", "gmb", "fb"}}
CHANNELS_V2 = {"Call", "Email", "SMS", "WhatsApp", "GMB", "FB", "RCS"}
INBOUND_ONLY = ("locationId", "createNewIfDuplicateAllowed", "tags", "customFields", "name", "email", "phone")
HIDDEN = ("customFields", "gender", "added", "deleted")


def find_contact(service: HighLevel, call: Call) -> tuple[Location, Row]:
    """The contact of the path, or the documented 400; another location's contact is a 403."""
    caller: Caller = call.scratch
    location = caller.location()
    contact_id = call.params["contactId"]
    row = location.contacts.get(contact_id)
    if row is not None:
        return location, row
    if any(contact_id in other.contacts for other in service.locations.values()):
        raise forbidden("The token does not have access to this location.")
    raise bad_request(f"Contact not found for id:{contact_id}", traceId=service.trace())


def view(row: Row) -> Row:
    """A contact as GET, PUT and upsert answer it: absent fields are left out."""
    shown = {key: value for key, value in row.items() if value is not None and key not in HIDDEN}
    first, last, email = row.get("firstName") or "", row.get("lastName") or "", row.get("email")
    name = f"{first} {last}".strip()
    shown["firstNameLowerCase"] = first.lower()
    shown["lastNameLowerCase"] = last.lower()
    shown["fullNameLowerCase"] = name.lower()
    if email:
        shown["emailLowerCase"] = email.lower()
    if name:
        shown["name"] = name
    shown["customFields"] = [{"id": key, "value": value} for key, value in row["customFields"].items()]
    return shown


def created_view(row: Row, *, v3: bool) -> Row:
    """A contact as POST answers it: under the older version with the fields of that schema."""
    shown = view(row)
    if not v3:
        shown.pop("name", None)
        shown.pop("timezone", None)
        shown.update(deleted=False)
    return shown


def _checked(service: HighLevel, location: Location, shape: Shape, call: Call) -> Row:
    body: Row = call.body if call.body is not None else {}
    problems = shape.problems(body)
    channels = CHANNELS.get(call.scratch.version, CHANNELS_V2)
    settings = body.get("dndSettings")
    if isinstance(settings, dict):
        problems += [
            f"dndSettings.property {name} should not exist" for name in settings if name not in channels
        ]
    problems += [
        f"customFields.{at}.{problem}"
        for at, problem in apply_custom_fields(location, {}, body.get("customFields"), check_only=True)
    ]
    phone = body.get("phone")
    if isinstance(phone, str) and phone.strip() and e164(phone, location.country) is None:
        problems.append("phone must be a valid phone number")
    assigned = body.get("assignedTo")
    if isinstance(assigned, str) and assigned and assigned not in location.users:
        problems.append("assignedTo must be a valid user id")
    if problems:
        raise unprocessable(problems)
    del service
    return body


def _refuse_duplicates(location: Location, body: Row, own_id: str | None) -> None:
    if location.allow_duplicates:
        return
    for name in location.priority:
        value = body.get(name)
        if name == "phone" and value:
            value = e164(value, location.country)
        for holder in location.holders(name, value):
            if holder != own_id:
                row = location.contacts[holder]
                contact_name = f"{row.get('firstName') or ''} {row.get('lastName') or ''}".strip()
                raise bad_request(
                    "This location does not allow duplicated contacts.",
                    meta={"contactId": holder, "matchingField": name, "contactName": contact_name},
                )


def write(service: HighLevel, location: Location, before: Row | None, body: Row) -> Row:
    """Applies a checked body to a contact (None: a new one) and stores it."""
    now = service.clock.now()
    stamp = iso_ms(now)
    if before is None:
        row: Row = {
            "id": service.ids.new(), "locationId": location.id, "type": "lead", "dnd": False, "tags": [],
            "source": "public api", "customFields": {}, "dateAdded": stamp, "added": int(now * 1000),
        }  # fmt: skip
    else:
        row = dict(before)
        stamp = max(stamp, _next_ms(before["dateUpdated"]))
    for name, value in body.items():
        if name not in INBOUND_ONLY and not (name == "gender" and before is not None):
            row[name] = None if value == "" else value
    if "name" in body and "firstName" not in body and "lastName" not in body:
        first, _, last = (body["name"] or "").partition(" ")
        row["firstName"], row["lastName"] = first or None, last or None
    if "email" in body:
        row["email"] = body["email"]
    if "phone" in body:
        row["phone"] = e164(body["phone"], location.country) if (body["phone"] or "").strip() else None
    if "tags" in body:
        row["tags"] = tag_list(body["tags"])
        learn_tags(service, location, row["tags"])
    if "customFields" in body:
        row["customFields"] = dict(row["customFields"])
        list(apply_custom_fields(location, row["customFields"], body["customFields"]))
    row["dateUpdated"] = stamp
    location.put_contact(row, service.clock, service.options.lag)
    return row


def _next_ms(stamp: str) -> str:
    whole, ms = stamp[:-5], int(stamp[-4:-1])
    return f"{whole}.{ms + 1:03d}Z" if ms < 999 else stamp  # noqa: PLR2004 - milliseconds


def touch(service: HighLevel, location: Location, before: Row, **changes: Json) -> Row:
    """Changes fields of a contact outside of a PUT."""
    row = {**before, **changes}
    row["dateUpdated"] = max(iso_ms(service.clock.now()), _next_ms(before["dateUpdated"]))
    location.put_contact(row, service.clock, service.options.lag)
    return row


def learn_tags(service: HighLevel, location: Location, names: list[str]) -> None:
    """A tag that is used becomes one of the location's tags."""
    known = location.tags
    for name in names:
        if name not in known:
            known[name] = {"id": service.ids.new(), "name": name, "locationId": location.id}


def get_contact(service: HighLevel, call: Call) -> Reply:
    """GET /contacts/{contactId}."""
    _, row = find_contact(service, call)
    return Reply(200, {"contact": view(row), "traceId": service.trace()})


def create_contact(service: HighLevel, call: Call) -> Reply:
    """POST /contacts/: 400 without e-mail and phone, 400 with meta for a duplicate."""
    location = call.scratch.location((call.body or {}).get("locationId"))
    body = _checked(service, location, CREATE, call)
    _need_key(body)
    _refuse_duplicates(location, body, None)
    row = write(service, location, None, body)
    return Reply(201, {"contact": created_view(row, v3=call.scratch.v3), "traceId": service.trace()})


def _need_key(body: Row) -> None:
    if not body.get("email") and not (body.get("phone") or "").strip():
        raise bad_request("Contact must have an email or a phone number")


def update_contact(service: HighLevel, call: Call) -> Reply:
    """PUT /contacts/{contactId}: tags are replaced, custom fields merged by id, duplicates refused."""
    location, before = find_contact(service, call)
    body = _checked(service, location, UPDATE, call)
    _refuse_duplicates(location, body, before["id"])
    row = write(service, location, before, body)
    flag = "succeeded" if call.scratch.v3 else "succeded"
    return Reply(200, {flag: True, "contact": view(row), "traceId": service.trace()})


def upsert_contact(service: HighLevel, call: Call) -> Reply:
    """POST /contacts/upsert: the first configured field decides; the other one's identifier is dropped."""
    location = call.scratch.location((call.body or {}).get("locationId"))
    body = _checked(service, location, UPSERT, call)
    found: Row | None = None
    if not (body.get("createNewIfDuplicateAllowed") and location.allow_duplicates):
        for name in location.priority:
            value = body.get(name)
            if name == "phone" and value:
                value = e164(value, location.country)
            holder = next(iter(location.holders(name, value)), None)
            if holder and found is None:
                found = location.contacts[holder]
            elif holder and found and holder != found["id"]:
                body = {key: item for key, item in body.items() if key != name}
    if found is None:
        _need_key(body)
    row = write(service, location, found, body)
    answer = {"new": found is None, "contact": view(row), "traceId": service.trace()}
    return Reply(200, answer)


def delete_contact(service: HighLevel, call: Call) -> Reply:
    """DELETE /contacts/{contactId}."""
    location, row = find_contact(service, call)
    location.drop_contact(row["id"], service.clock, service.options.lag)
    return Reply(200, done(call))


def done(call: Call) -> Row:
    """The success flag: misspelt in the older version, both ways in v3."""
    return {"succeded": True, "succeeded": True} if call.scratch.v3 else {"succeded": True}


def refuse_if_foreign(location: Location, contact_id: Json) -> Row:
    """The contact named in a body, or the usual 400."""
    row = location.contacts.get(contact_id)
    if row is None:
        raise Refusal(
            400,
            {"message": f"Contact not found for id:{contact_id}", "error": "Bad Request", "statusCode": 400},
        )
    return row


OPERATIONS = [
    Operation("get-contact", "GET", "/contacts/{contactId}", get_contact, "contacts.readonly"),
    Operation("create-contact", "POST", "/contacts", create_contact, "contacts.write", writes=True),
    Operation(
        "update-contact", "PUT", "/contacts/{contactId}", update_contact, "contacts.write", writes=True
    ),
    Operation(
        "delete-contact", "DELETE", "/contacts/{contactId}", delete_contact, "contacts.write", writes=True
    ),
    Operation("upsert-contact", "POST", "/contacts/upsert", upsert_contact, "contacts.write", writes=True),
]
