"""The location itself: settings, tags, custom fields, time zones, users, workflows.

Decided here because it is published nowhere: an unknown tag, field or location is a 404 or the 403 of a
foreign location; creating a tag that exists answers the existing one; two custom fields may share a name,
the second one's key then ends in ``_1``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from zoneinfo import available_timezones

from sandbox.clock import iso_ms
from sandbox.highlevel_contacts import touch
from sandbox.highlevel_lists import need_location, whole
from sandbox.highlevel_rules import Shape, unprocessable
from sandbox.wire import Call, Operation, Refusal, Reply, Row

if TYPE_CHECKING:
    from sandbox.highlevel import HighLevel
    from sandbox.world import Location

FIELD = Shape(
    name="filled*", dataType="str*", placeholder="str", acceptedFormat="strs", isMultipleFile="bool",
    maxNumberOfFiles="num", textBoxListOptions="list", position="num", model="str", options="strs",
)  # fmt: skip
FIELD_EDIT = Shape(
    name="filled*", placeholder="str", acceptedFormat="strs", isMultipleFile="bool", maxNumberOfFiles="num",
    textBoxListOptions="list", position="num", model="str", options="strs",
)  # fmt: skip
TAG = Shape(name="filled*")
DATA_TYPES = (
    "TEXT", "LARGE_TEXT", "NUMERICAL", "PHONE", "MONETORY", "CHECKBOX", "SINGLE_OPTIONS", "MULTIPLE_OPTIONS",
    "DATE", "TEXTBOX_LIST", "FILE_UPLOAD", "RADIO", "EMAIL",
)  # fmt: skip
MODELS = ("contact", "opportunity")
USERS_DEFAULT = 25
ZONES = sorted(
    zone for zone in available_timezones() if "/" in zone and not zone.startswith(("Etc", "SystemV"))
)


def _location(call: Call) -> Location:
    location: Location = call.scratch.location(call.params["locationId"])
    return location


def _missing(what: str) -> Refusal:
    return Refusal(404, {"statusCode": 404, "message": f"{what} not found", "error": "Not Found"})


def get_location(service: HighLevel, call: Call) -> Reply:
    """GET /locations/{locationId}: time zone, country and the duplicate policy among others."""
    location = _location(call)
    settings = {
        "allowDuplicateContact": location.allow_duplicates,
        "allowDuplicateOpportunity": False,
        "allowFacebookNameMerge": False,
        "disableContactTimezone": False,
    }
    row = {
        "id": location.id, "companyId": location.company_id, "name": location.name, "domain": "",
        "address": "",
        "city": "London", "state": "", "logoUrl": "", "country": location.country, "postalCode": "",
        "website": "", "timezone": location.timezone, "firstName": "", "lastName": "",
        "email": "office@example.com", "phone": "", "business": {"name": location.name}, "social": {},
        "settings": settings,
    }  # fmt: skip
    return Reply(200, {"location": row, "traceId": service.trace()})


def list_timezones(service: HighLevel, call: Call) -> Reply:
    """GET /locations/{locationId}/timezones."""
    _location(call)
    return Reply(200, {"timeZones": ZONES, "traceId": service.trace()})


def list_tags(service: HighLevel, call: Call) -> Reply:
    """GET /locations/{locationId}/tags."""
    return Reply(200, {"tags": list(_location(call).tags.values()), "traceId": service.trace()})


def create_tag(service: HighLevel, call: Call) -> Reply:
    """POST /locations/{locationId}/tags: 200, lower-cased."""
    location = _location(call)
    name = TAG.check(call.body)["name"].strip().lower()
    tag = location.tags.setdefault(name, {"id": service.ids.new(), "name": name, "locationId": location.id})
    return Reply(200, {"tag": tag, "traceId": service.trace()})


def _tag(call: Call) -> tuple[Location, Row]:
    location = _location(call)
    tag = next((row for row in location.tags.values() if row["id"] == call.params["tagId"]), None)
    if tag is None:
        raise _missing("Tag")
    return location, tag


def get_tag(service: HighLevel, call: Call) -> Reply:
    """GET /locations/{locationId}/tags/{tagId}."""
    return Reply(200, {"tag": _tag(call)[1], "traceId": service.trace()})


def update_tag(service: HighLevel, call: Call) -> Reply:
    """PUT /locations/{locationId}/tags/{tagId} renames it, on the contacts too."""
    location, tag = _tag(call)
    new = TAG.check(call.body)["name"].strip().lower()
    renamed = {**tag, "name": new}
    del location.tags[tag["name"]]
    location.tags[new] = renamed
    for row in [row for row in location.contacts.values() if tag["name"] in row["tags"]]:
        touch(service, location, row, tags=[new if name == tag["name"] else name for name in row["tags"]])
    return Reply(200, {"tag": renamed, "traceId": service.trace()})


def delete_tag(service: HighLevel, call: Call) -> Reply:
    """DELETE /locations/{locationId}/tags/{tagId} takes it off the contacts too."""
    location, tag = _tag(call)
    del location.tags[tag["name"]]
    for row in [row for row in location.contacts.values() if tag["name"] in row["tags"]]:
        touch(service, location, row, tags=[name for name in row["tags"] if name != tag["name"]])
    return Reply(200, {"succeded": True})


def list_fields(service: HighLevel, call: Call) -> Reply:
    """GET /locations/{locationId}/customFields?model=contact|opportunity|all."""
    location = _location(call)
    model = call.one("model") or "contact"
    if model not in (*MODELS, "all"):
        raise unprocessable(["model must be one of the following values: contact, opportunity, all"])
    rows = [row for row in location.custom_fields.values() if model in ("all", row["model"])]
    return Reply(200, {"customFields": rows, "traceId": service.trace()})


def _problems(shape: Shape, body: Row) -> list[str]:
    problems = shape.problems(body)
    if isinstance(body.get("dataType"), str) and body["dataType"] not in DATA_TYPES:
        problems.append(f"dataType must be one of the following values: {', '.join(DATA_TYPES)}")
    if "model" in body and body["model"] not in MODELS:
        problems.append("model must be one of the following values: contact, opportunity")
    return problems


def create_field(service: HighLevel, call: Call) -> Reply:
    """POST /locations/{locationId}/customFields."""
    location = _location(call)
    body: Row = call.body or {}
    problems = _problems(FIELD, body)
    if problems:
        raise unprocessable(problems)
    return Reply(201, {"customField": add_field(service, location, body), "traceId": service.trace()})


def add_field(service: HighLevel, location: Location, body: Row) -> Row:
    """Stores a new custom field and gives it its key, which never changes."""
    model = body.get("model", "contact")
    slug = re.sub(r"[^a-z0-9]+", "_", body["name"].strip().lower()).strip("_") or "field"
    taken = {row["fieldKey"] for row in location.custom_fields.values()}
    key, number = f"{model}.{slug}", 0
    while key in taken:
        number += 1
        key = f"{model}.{slug}_{number}"
    row = {
        "id": service.ids.new(), "name": body["name"].strip(), "fieldKey": key, "dataType": body["dataType"],
        "placeholder": body.get("placeholder", ""), "position": body.get("position", 50), "model": model,
        "picklistOptions": list(body.get("options") or []), "locationId": location.id,
        "dateAdded": iso_ms(service.clock.now()),
    }  # fmt: skip
    location.custom_fields[row["id"]] = row
    return row


def _field(call: Call) -> tuple[Location, Row]:
    location, wanted = _location(call), call.params["id"]
    for row in location.custom_fields.values():
        if wanted in (row["id"], row["fieldKey"]):
            return location, row
    raise _missing("Custom field")


def get_field(service: HighLevel, call: Call) -> Reply:
    """GET /locations/{locationId}/customFields/{id}, by id or by key."""
    return Reply(200, {"customField": _field(call)[1], "traceId": service.trace()})


def update_field(service: HighLevel, call: Call) -> Reply:
    """PUT /locations/{locationId}/customFields/{id}."""
    location, row = _field(call)
    body: Row = call.body or {}
    problems = _problems(FIELD_EDIT, body)
    if problems:
        raise unprocessable(problems)
    changes: Row = {name: body[name] for name in ("name", "placeholder", "position") if name in body}
    if "options" in body:
        changes["picklistOptions"] = list(body["options"])
    location.custom_fields[row["id"]] = {**row, **changes}
    return Reply(200, {"customField": location.custom_fields[row["id"]], "traceId": service.trace()})


def delete_field(service: HighLevel, call: Call) -> Reply:
    """DELETE /locations/{locationId}/customFields/{id}; the contacts lose their values."""
    location, row = _field(call)
    del location.custom_fields[row["id"]]
    for contact in [item for item in location.contacts.values() if row["id"] in item["customFields"]]:
        kept = {key: value for key, value in contact["customFields"].items() if key != row["id"]}
        touch(service, location, contact, customFields=kept)
    return Reply(200, {"succeded": True})


def search_users(service: HighLevel, call: Call) -> Reply:
    """GET /users/search: companyId is required."""
    caller = call.scratch
    if not call.one("companyId"):
        raise unprocessable(["companyId should not be empty", "companyId must be a string"])
    location = caller.location(call.one("locationId"))
    rows = list(location.users.values()) if call.one("companyId") == location.company_id else []
    query = (call.one("query") or "").lower()
    rows = [row for row in rows if query in f"{row['name']} {row['email']}".lower()]
    if call.one("ids"):
        rows = [row for row in rows if row["id"] in (call.one("ids") or "").split(",")]
    skip, limit = whole(call, "skip", 0), whole(call, "limit", USERS_DEFAULT)
    return Reply(200, {"users": rows[skip : skip + limit], "count": len(rows), "traceId": service.trace()})


def list_workflows(service: HighLevel, call: Call) -> Reply:
    """GET /workflows/."""
    location = need_location(call)
    return Reply(200, {"workflows": list(location.workflows.values()), "traceId": service.trace()})


_L = "/locations/{locationId}"
_FR, _FW = "locations/customFields.readonly", "locations/customFields.write"
_TR, _TW = "locations/tags.readonly", "locations/tags.write"
OPERATIONS = [
    Operation("get-location", "GET", _L, get_location, "locations.readonly"),
    Operation("list-timezones", "GET", f"{_L}/timezones", list_timezones, "locations.readonly"),
    Operation("list-location-tags", "GET", f"{_L}/tags", list_tags, _TR),
    Operation("create-location-tag", "POST", f"{_L}/tags", create_tag, _TW, writes=True),
    Operation("get-location-tag", "GET", f"{_L}/tags/{{tagId}}", get_tag, _TR),
    Operation("update-location-tag", "PUT", f"{_L}/tags/{{tagId}}", update_tag, _TW, writes=True),
    Operation("delete-location-tag", "DELETE", f"{_L}/tags/{{tagId}}", delete_tag, _TW, writes=True),
    Operation("list-custom-fields", "GET", f"{_L}/customFields", list_fields, _FR),
    Operation("create-custom-field", "POST", f"{_L}/customFields", create_field, _FW, writes=True),
    Operation("get-custom-field", "GET", f"{_L}/customFields/{{id}}", get_field, _FR),
    Operation("update-custom-field", "PUT", f"{_L}/customFields/{{id}}", update_field, _FW, writes=True),
    Operation("delete-custom-field", "DELETE", f"{_L}/customFields/{{id}}", delete_field, _FW, writes=True),
    Operation("search-users", "GET", "/users/search", search_users, "users.readonly"),
    Operation("list-workflows", "GET", "/workflows", list_workflows, "workflows.readonly"),
]
