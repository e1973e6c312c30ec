"""What hangs on a contact: tasks, notes, tags, followers, workflow enrolments, its appointments' list.

Decided here because it is published nowhere: an unknown note or task is a 404 (``missing_child_status``
makes it a 400); an unknown ``userId`` or ``assignedTo`` is a 422; an unknown workflow is a 400.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sandbox.clock import iso_ms
from sandbox.highlevel_contacts import done, find_contact, learn_tags, touch
from sandbox.highlevel_rules import Shape, bad_request, instant, tag_list, unprocessable
from sandbox.wire import Call, Operation, Refusal, Reply, Row

if TYPE_CHECKING:
    from sandbox.highlevel import HighLevel
    from sandbox.world import Location

NOTE = Shape(userId="str", body="filled*", title="str", color="str", pinned="bool")
NOTE_EDIT = Shape(userId="str", body="filled", title="str", color="str", pinned="bool")
TASK = Shape(title="filled*", body="str", dueDate="instant*", completed="bool*", assignedTo="str")
TASK_EDIT = Shape(title="filled", body="str", dueDate="instant", completed="bool", assignedTo="str")
COMPLETED = Shape(completed="bool*")
TAGS = Shape(tags="strs*")
FOLLOWERS = Shape(followers="strs*")
ENROLMENT = Shape(eventStartTime="instant")


def missing(service: HighLevel, what: str, item_id: str) -> Refusal:
    """The answer for an unknown note, task or appointment."""
    status = service.options.missing_child_status
    error = "Not Found" if status == 404 else "Bad Request"  # noqa: PLR2004
    return Refusal(
        status, {"statusCode": status, "message": f"{what} not found for id:{item_id}", "error": error}
    )


def _checked(shape: Shape, call: Call, location: Location, user_field: str) -> Row:
    body = shape.check(call.body)
    if body.get(user_field) and body[user_field] not in location.users:
        raise unprocessable([f"{user_field} must be a valid user id"])
    return body


def list_notes(service: HighLevel, call: Call) -> Reply:
    """GET …/notes: all of them, in no promised order."""
    location, row = find_contact(service, call)
    notes = list(location.notes.get(row["id"], {}).values())
    return Reply(200, {"notes": notes[::-1], "traceId": service.trace()})


def _note(service: HighLevel, call: Call) -> tuple[Location, Row]:
    location, row = find_contact(service, call)
    note = location.notes.get(row["id"], {}).get(call.params["id"])
    if note is None:
        raise missing(service, "Note", call.params["id"])
    return location, note


def get_note(service: HighLevel, call: Call) -> Reply:
    """GET …/notes/{id}."""
    return Reply(200, {"note": _note(service, call)[1], "traceId": service.trace()})


def create_note(service: HighLevel, call: Call) -> Reply:
    """POST …/notes; its dateAdded cannot be set."""
    location, row = find_contact(service, call)
    body = _checked(NOTE, call, location, "userId")
    note = {
        "id": service.ids.new(),
        "contactId": row["id"],
        "dateAdded": iso_ms(service.clock.now()),
        **body,
    }
    location.notes.setdefault(row["id"], {})[note["id"]] = note
    return Reply(201, {"note": note, "traceId": service.trace()})


def update_note(service: HighLevel, call: Call) -> Reply:
    """PUT …/notes/{id}."""
    location, note = _note(service, call)
    changed = {**note, **_checked(NOTE_EDIT, call, location, "userId")}
    location.notes[note["contactId"]][note["id"]] = changed
    return Reply(200, {"note": changed, "traceId": service.trace()})


def delete_note(service: HighLevel, call: Call) -> Reply:
    """DELETE …/notes/{id}."""
    location, note = _note(service, call)
    del location.notes[note["contactId"]][note["id"]]
    return Reply(200, done(call))


def list_tasks(service: HighLevel, call: Call) -> Reply:
    """GET …/tasks: all of them, in no promised order."""
    location, row = find_contact(service, call)
    return Reply(200, {"tasks": list(location.tasks.get(row["id"], {}).values())[::-1]})


def _task(service: HighLevel, call: Call) -> tuple[Location, Row]:
    location, row = find_contact(service, call)
    task = location.tasks.get(row["id"], {}).get(call.params["taskId"])
    if task is None:
        raise missing(service, "Task", call.params["taskId"])
    return location, task


def get_task(service: HighLevel, call: Call) -> Reply:
    """GET …/tasks/{taskId}."""
    return Reply(200, {"task": _task(service, call)[1]})


def _due(body: Row) -> Row:
    return {**body, "dueDate": iso_ms(instant(body["dueDate"]))} if "dueDate" in body else body


def create_task(service: HighLevel, call: Call) -> Reply:
    """POST …/tasks; the due date comes back in UTC."""
    location, row = find_contact(service, call)
    body = _due(_checked(TASK, call, location, "assignedTo"))
    task = {"id": service.ids.new(), "contactId": row["id"], **body}
    location.tasks.setdefault(row["id"], {})[task["id"]] = task
    return Reply(201, {"task": task})


def update_task(service: HighLevel, call: Call) -> Reply:
    """PUT …/tasks/{taskId}."""
    location, task = _task(service, call)
    return _store_task(location, {**task, **_due(_checked(TASK_EDIT, call, location, "assignedTo"))})


def complete_task(service: HighLevel, call: Call) -> Reply:
    """PUT …/tasks/{taskId}/completed."""
    location, task = _task(service, call)
    return _store_task(location, {**task, **COMPLETED.check(call.body)})


def _store_task(location: Location, task: Row) -> Reply:
    location.tasks[task["contactId"]][task["id"]] = task
    return Reply(200, {"task": task})


def delete_task(service: HighLevel, call: Call) -> Reply:
    """DELETE …/tasks/{taskId}."""
    location, task = _task(service, call)
    del location.tasks[task["contactId"]][task["id"]]
    return Reply(200, done(call))


def list_appointments(service: HighLevel, call: Call) -> Reply:
    """GET …/appointments: local times of the location, without offset."""
    location, row = find_contact(service, call)
    zone = ZoneInfo(location.timezone)
    events = []
    for event_id in location.events_of.get(row["id"], {}):
        event = location.events[event_id]
        local = {
            name: f"{datetime.fromtimestamp(event[name], UTC).astimezone(zone):%Y-%m-%d %H:%M:%S}"
            for name in ("startTime", "endTime")
        }
        shown = {
            name: value
            for name, value in event.items()
            if value is not None and name not in ("description", "toNotify")
        }
        events.append({**shown, **local, "status": "booked", "notes": event.get("description") or ""})
    return Reply(200, {"events": events})


def add_tags(service: HighLevel, call: Call) -> Reply:
    """POST …/tags answers all tags of the contact afterwards."""
    location, row = find_contact(service, call)
    new = tag_list(TAGS.check(call.body)["tags"])
    learn_tags(service, location, new)
    tags = list(dict.fromkeys([*row["tags"], *new]))
    if tags != row["tags"]:
        touch(service, location, row, tags=tags)
    return Reply(201, {"tags": tags})


def remove_tags(service: HighLevel, call: Call) -> Reply:
    """DELETE …/tags, with a JSON body."""
    location, row = find_contact(service, call)
    gone = set(tag_list(TAGS.check(call.body)["tags"]))
    tags = [tag for tag in row["tags"] if tag not in gone]
    if tags != row["tags"]:
        touch(service, location, row, tags=tags)
    return Reply(200, {"tags": tags})


def add_followers(service: HighLevel, call: Call) -> Reply:
    """POST …/followers."""
    location, row = find_contact(service, call)
    before = row.get("followers") or []
    added = [user for user in FOLLOWERS.check(call.body)["followers"] if user not in before]
    touch(service, location, row, followers=[*before, *added])
    return Reply(201, {"followers": [*before, *added], "followersAdded": added})


def remove_followers(service: HighLevel, call: Call) -> Reply:
    """DELETE …/followers, with a JSON body."""
    location, row = find_contact(service, call)
    gone = FOLLOWERS.check(call.body)["followers"]
    kept = [user for user in row.get("followers") or [] if user not in gone]
    touch(service, location, row, followers=kept)
    return Reply(200, {"followers": kept, "followersRemoved": gone})


def enrol(service: HighLevel, call: Call) -> Reply:
    """POST …/workflow/{workflowId}: a draft, or a contact still in it, is ignored with success."""
    location, row = find_contact(service, call)
    ENROLMENT.check(call.body)
    workflow = location.workflows.get(call.params["workflowId"])
    if workflow is None:
        raise bad_request(f"Workflow not found for id:{call.params['workflowId']}")
    active = any(
        entry["contactId"] == row["id"] and entry["workflowId"] == workflow["id"] and entry["active"]
        for entry in location.enrolments
    )
    if workflow["status"] == "published" and not active:
        entry = {"contactId": row["id"], "workflowId": workflow["id"], "active": True}
        location.enrolments.append({**entry, "at": iso_ms(service.clock.now())})
    return Reply(201, done(call))


def leave(service: HighLevel, call: Call) -> Reply:
    """DELETE …/workflow/{workflowId}."""
    location, row = find_contact(service, call)
    ENROLMENT.check(call.body)
    for entry in location.enrolments:
        if entry["contactId"] == row["id"] and entry["workflowId"] == call.params["workflowId"]:
            entry["active"] = False
    return Reply(200, done(call))


_READ, _WRITE = "contacts.readonly", "contacts.write"
_C = "/contacts/{contactId}"
OPERATIONS = [
    Operation("list-notes", "GET", f"{_C}/notes", list_notes, _READ),
    Operation("get-note", "GET", f"{_C}/notes/{{id}}", get_note, _READ),
    Operation("create-note", "POST", f"{_C}/notes", create_note, _WRITE, writes=True),
    Operation("update-note", "PUT", f"{_C}/notes/{{id}}", update_note, _WRITE, writes=True),
    Operation("delete-note", "DELETE", f"{_C}/notes/{{id}}", delete_note, _WRITE, writes=True),
    Operation("list-tasks", "GET", f"{_C}/tasks", list_tasks, _READ),
    Operation("get-task", "GET", f"{_C}/tasks/{{taskId}}", get_task, _READ),
    Operation("create-task", "POST", f"{_C}/tasks", create_task, _WRITE, writes=True),
    Operation("update-task", "PUT", f"{_C}/tasks/{{taskId}}", update_task, _WRITE, writes=True),
    Operation("complete-task", "PUT", f"{_C}/tasks/{{taskId}}/completed", complete_task, _WRITE, writes=True),
    Operation("delete-task", "DELETE", f"{_C}/tasks/{{taskId}}", delete_task, _WRITE, writes=True),
    Operation("list-contact-appointments", "GET", f"{_C}/appointments", list_appointments, _READ),
    Operation("add-tags", "POST", f"{_C}/tags", add_tags, _WRITE, writes=True),
    Operation("remove-tags", "DELETE", f"{_C}/tags", remove_tags, _WRITE, writes=True),
    Operation("add-followers", "POST", f"{_C}/followers", add_followers, _WRITE, writes=True),
    Operation("remove-followers", "DELETE", f"{_C}/followers", remove_followers, _WRITE, writes=True),
    Operation("enrol-in-workflow", "POST", f"{_C}/workflow/{{workflowId}}", enrol, _WRITE, writes=True),
    Operation("leave-workflow", "DELETE", f"{_C}/workflow/{{workflowId}}", leave, _WRITE, writes=True),
]
