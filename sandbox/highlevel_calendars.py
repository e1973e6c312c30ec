"""Calendars and appointments of the destination.

Decided here because it is published nowhere: an unknown appointment is a 404 (``missing_child_status``
makes it a 400), an unknown calendar a 400; a start in the past counts as a taken slot unless
``ignoreDateRange``; times are answered with the location's offset.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sandbox.clock import iso_ms
from sandbox.highlevel_children import missing
from sandbox.highlevel_contacts import refuse_if_foreign
from sandbox.highlevel_lists import need_location
from sandbox.highlevel_rules import Shape, bad_request, instant, unprocessable
from sandbox.wire import Call, Json, Operation, Reply, Row

if TYPE_CHECKING:
    from sandbox.highlevel import HighLevel
    from sandbox.world import Location

COMMON = {
    "title": "str", "meetingLocationType": "str", "meetingLocationId": "str",
    "overrideLocationConfig": "bool",
    "appointmentStatus": "str", "assignedUserId": "str", "description": "str", "address": "str",
    "ignoreDateRange": "bool", "toNotify": "bool", "ignoreFreeSlotValidation": "bool", "rrule": "str",
    "endTime": "instant",
}  # fmt: skip
CREATE = Shape(**COMMON, calendarId="str*", locationId="str*", contactId="str*", startTime="instant*")
UPDATE = Shape(**COMMON, calendarId="str", startTime="instant")
STATUSES = {"new", "confirmed", "cancelled", "showed", "noshow", "invalid", "completed", "active"}
PLACES = {"custom", "zoom", "gmeet", "phone", "address", "ms_teams", "google"}
FLAGS = ("ignoreDateRange", "toNotify", "ignoreFreeSlotValidation", "overrideLocationConfig")
TAKEN = "The slot you have selected is no longer available."
SLOTS_MAX_DAYS = 31
FREE = ("cancelled", "invalid")


def _zone(location: Location) -> ZoneInfo:
    return ZoneInfo(location.timezone)


def _local(seconds: float, location: Location) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone(_zone(location)).isoformat(timespec="seconds")


def _calendar(location: Location, calendar_id: Json) -> Row:
    calendar = location.calendars.get(calendar_id)
    if calendar is None:
        raise bad_request(f"Calendar not found for id:{calendar_id}")
    return calendar


def list_calendars(service: HighLevel, call: Call) -> Reply:
    """GET /calendars/; any other parameter is a 422."""
    del service
    location = need_location(call)
    unknown = set(call.query) - {"locationId", "groupId", "showDrafted"}
    if unknown:
        raise unprocessable([f"property {name} should not exist" for name in sorted(unknown)])
    return Reply(200, {"calendars": list(location.calendars.values())})


def get_calendar(service: HighLevel, call: Call) -> Reply:
    """GET /calendars/{calendarId}."""
    del service
    return Reply(200, {"calendar": _calendar(call.scratch.location(), call.params["calendarId"])})


def _busy(location: Location, calendar_id: str, start: float, end: float, own_id: str | None) -> bool:
    for event_id in location.events_in.get(calendar_id, {}):
        event = location.events[event_id]
        taken = event_id != own_id and event["appointmentStatus"] not in FREE
        if taken and event["startTime"] < end and event["endTime"] > start:
            return True
    return any(
        block["calendarId"] == calendar_id and block["startTime"] < end and block["endTime"] > start
        for block in location.blocked.values()
    )


def _offered(location: Location, calendar: Row, start: float) -> bool:
    """Whether the calendar's opening hours have a slot that begins here."""
    local = datetime.fromtimestamp(start, UTC).astimezone(_zone(location))
    minutes = local.hour * 60 + local.minute
    for hours in calendar["openHours"]:
        if local.isoweekday() % 7 not in hours["daysOfTheWeek"]:
            continue
        for span in hours["hours"]:
            opens = span["openHour"] * 60 + span["openMinute"]
            closes = span["closeHour"] * 60 + span["closeMinute"]
            fits = opens <= minutes and minutes + calendar["slotDuration"] <= closes
            if fits and (minutes - opens) % calendar["slotInterval"] == 0 and local.second == 0:
                return True
    return False


def free_slots(service: HighLevel, call: Call) -> Reply:
    """GET /calendars/{calendarId}/free-slots, by day of the asked time zone."""
    location = call.scratch.location()
    calendar = _calendar(location, call.params["calendarId"])
    unknown = set(call.query) - {"startDate", "endDate", "timezone", "userId", "userIds", "userIds[]"}
    problems = [f"property {name} should not exist" for name in sorted(unknown)]
    bounds = {}
    for name in ("startDate", "endDate"):
        text = call.one(name) or ""
        if not text.isdigit():
            problems.append(f"{name} must be a number conforming to the specified constraints")
        else:
            bounds[name] = int(text) / 1000
    if problems:
        raise unprocessable(problems)
    start, end = bounds["startDate"], bounds["endDate"]
    if end - start > SLOTS_MAX_DAYS * 86_400:
        raise bad_request("The date range must not exceed 31 days")
    zone = ZoneInfo(call.one("timezone") or location.timezone)
    step, length = calendar["slotInterval"] * 60, calendar["slotDuration"] * 60
    days: dict[str, Row] = {}
    at = float(-(-max(start, service.clock.now()) // step) * step)
    while at < end:
        if _offered(location, calendar, at) and not _busy(location, calendar["id"], at, at + length, None):
            local = datetime.fromtimestamp(at, UTC).astimezone(zone)
            days.setdefault(f"{local:%Y-%m-%d}", {"slots": []})["slots"].append(local.isoformat())
        at += step
    return Reply(200, {**days, "traceId": service.trace()})


def _bounds(call: Call) -> tuple[float, float]:
    problems, values = [], []
    for name in ("startTime", "endTime"):
        text = call.one(name) or ""
        if text.isdigit():
            values.append(int(text) / 1000)
        else:
            problems.append(f"{name} must be a number string of epoch milliseconds")
    if problems:
        raise unprocessable(problems)
    return values[0], values[1]


def list_events(service: HighLevel, call: Call) -> Reply:
    """GET /calendars/events: a window of one calendar, user or group."""
    location = need_location(call)
    keys = {name: call.one(name) for name in ("userId", "calendarId", "groupId") if call.one(name)}
    if not keys:
        raise unprocessable(["Either of userId, calendarId or groupId is required"])
    start, end = _bounds(call)
    pool = location.events_in.get(keys["calendarId"] or "", {}) if "calendarId" in keys else location.events
    fields = {"userId": "assignedUserId", "calendarId": "calendarId", "groupId": "groupId"}
    events = [
        event_view(event, location)
        for event in (location.events[event_id] for event_id in pool)
        if event["startTime"] < end
        and event["endTime"] > start
        and all(event.get(fields[name]) == value for name, value in keys.items())
    ]
    return Reply(200, {"events": events, "traceId": service.trace()})


def event_view(event: Row, location: Location) -> Row:
    """An appointment as GET and the events list answer it."""
    shown = {name: value for name, value in event.items() if value is not None and name not in FLAGS}
    times = {name: _local(event[name], location) for name in ("startTime", "endTime")}
    return {**shown, **times, "notes": event.get("description") or "", "isRecurring": False}


def _flat(event: Row, location: Location, call: Call) -> Row:
    shown = event_view(event, location)
    for name in ("users", "createdBy", "assignedResources", "groupId", "notes"):
        shown.pop(name, None)
    if not call.scratch.v3:  # as seen live: misspelt, and without the dates
        shown["appoinmentStatus"] = shown.pop("appointmentStatus")
        shown["status"] = "booked"
        del shown["dateAdded"], shown["dateUpdated"]
    return {**shown, "traceId": call.scratch.service.trace()}


def get_appointment(service: HighLevel, call: Call) -> Reply:
    """GET /calendars/events/appointments/{eventId}."""
    location, event = _event(service, call)
    return Reply(200, {"event": event_view(event, location), "traceId": service.trace()})


def _event(service: HighLevel, call: Call) -> tuple[Location, Row]:
    location: Location = call.scratch.location()
    event = location.events.get(call.params["eventId"])
    if event is None:
        raise missing(service, "Appointment", call.params["eventId"])
    return location, event


def _checked(shape: Shape, call: Call) -> Row:
    body: Row = call.body if call.body is not None else {}
    problems = shape.problems(body)
    status = body.get("appointmentStatus")
    if isinstance(status, str) and status not in STATUSES:
        problems.append("appointmentStatus has an invalid value")
    if isinstance(body.get("meetingLocationType"), str) and body["meetingLocationType"] not in PLACES:
        problems.append("meetingLocationType has an invalid value")
    if problems:
        raise unprocessable(problems)
    return body


def _write(service: HighLevel, location: Location, event: Row, body: Row, *, moved: bool) -> Row:
    """Applies a checked body to an event after the team and slot checks."""
    calendar = _calendar(location, body.get("calendarId", event.get("calendarId")))
    team = [member["userId"] for member in calendar["teamMembers"]]
    user = body.get("assignedUserId") or event.get("assignedUserId")
    if user and user not in team:
        raise unprocessable(["The user id not part of calendar team"])
    values = {name: value for name, value in body.items() if name not in FLAGS}
    for name in ("startTime", "endTime"):
        if name in values:
            values[name] = instant(values[name])
    row = {
        **event,
        **values,
        "calendarId": calendar["id"],
        "assignedUserId": user or (team[0] if team else None),
    }
    if "endTime" not in values and "startTime" in values:
        length = (
            event["endTime"] - event["startTime"] if event.get("endTime") else calendar["slotDuration"] * 60
        )
        row["endTime"] = row["startTime"] + length
    if row["endTime"] <= row["startTime"]:
        raise bad_request("endTime must be after startTime")
    status = body.get("appointmentStatus", "confirmed")  # a PUT without it resets it, as seen live
    row["appointmentStatus"] = {"completed": "showed", "active": "confirmed"}.get(status, status)
    row["users"] = [row["assignedUserId"]] if row["assignedUserId"] else []
    row["toNotify"] = body.get("toNotify", True)
    if moved and not body.get("ignoreFreeSlotValidation"):
        past = row["startTime"] < service.clock.now() and not body.get("ignoreDateRange")
        offered = _offered(location, calendar, row["startTime"])
        own_id = row.get("id")
        if past or not offered or _busy(location, calendar["id"], row["startTime"], row["endTime"], own_id):
            raise bad_request(TAKEN)
    row["dateUpdated"] = iso_ms(service.clock.now())
    return row


def create_appointment(service: HighLevel, call: Call) -> Reply:
    """POST /calendars/events/appointments."""
    body = _checked(CREATE, call)
    location = call.scratch.location(body["locationId"])
    refuse_if_foreign(location, body["contactId"])
    row = _write(service, location, {"title": "", "groupId": ""}, body, moved=True)
    row["id"], row["dateAdded"] = service.ids.new(), row["dateUpdated"]
    row["assignedResources"], row["createdBy"] = [], {"userId": "", "source": "third_party"}
    location.put_event(row)
    return Reply(200, _flat(row, location, call))


def update_appointment(service: HighLevel, call: Call) -> Reply:
    """PUT /calendars/events/appointments/{eventId}."""
    location, event = _event(service, call)
    body = _checked(UPDATE, call)
    row = _write(service, location, event, body, moved="startTime" in body)
    location.put_event(row)
    return Reply(200, _flat(row, location, call))


def delete_event(service: HighLevel, call: Call) -> Reply:
    """DELETE /calendars/events/{eventId}: 201, and the correct spelling."""
    location, event = _event(service, call)
    location.drop_event(event["id"])
    return Reply(201, {"succeeded": True})


def block_slot(service: HighLevel, call: Call) -> Reply:
    """POST /calendars/events/block-slots."""
    shape = Shape(title="str", calendarId="str", assignedUserId="str", locationId="str*",
    startTime="instant*",
                  endTime="instant*")  # fmt: skip
    body = shape.check(call.body)
    location = call.scratch.location(body["locationId"])
    if bool(body.get("calendarId")) == bool(body.get("assignedUserId")):
        raise unprocessable(["exactly one of calendarId and assignedUserId is required"])
    row = {"title": "", "calendarId": "", **body, "id": service.ids.new()}
    for name in ("startTime", "endTime"):
        row[name] = instant(row[name])
    location.blocked[row["id"]] = row
    return Reply(201, {**row, **{name: _local(row[name], location) for name in ("startTime", "endTime")}})


_READ, _WRITE = "calendars/events.readonly", "calendars/events.write"
_A = "/calendars/events/appointments"
OPERATIONS = [
    Operation("list-calendars", "GET", "/calendars", list_calendars, "calendars.readonly"),
    Operation("get-calendar", "GET", "/calendars/{calendarId}", get_calendar, "calendars.readonly"),
    Operation("free-slots", "GET", "/calendars/{calendarId}/free-slots", free_slots, "calendars.readonly"),
    Operation("list-events", "GET", "/calendars/events", list_events, _READ),
    Operation("get-appointment", "GET", f"{_A}/{{eventId}}", get_appointment, _READ),
    Operation("create-appointment", "POST", _A, create_appointment, _WRITE, writes=True),
    Operation("update-appointment", "PUT", f"{_A}/{{eventId}}", update_appointment, _WRITE, writes=True),
    Operation("delete-event", "DELETE", "/calendars/events/{eventId}", delete_event, _WRITE, writes=True),
    Operation("block-slot", "POST", "/calendars/events/block-slots", block_slot, _WRITE, writes=True),
]
