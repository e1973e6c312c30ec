"""Requests and what they meet, in our names: one view for whoever foresees them and whoever compares later.

Pure. Custom fields go by our names of them, since a field may have another id by the time a plan is carried
out; what depends on the moment of sending (whether an appointment's slot is asked for) is left aside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from tasks.engine.entities import appointments, crm_tasks, notes
from tasks.engine.merge import digest, same
from tasks.engine.plan_items import Foreseen
from tasks.engine.subject import Subject
from tasks.highlevel.answers import Appointment, Contact, CrmTask, Note
from tasks.highlevel.requests import Request
from tasks.identity.directory import normal_form
from tasks.identity.location import Location
from tasks.ledger.effects import Effect
from tasks.webhook import shown

Content = Mapping[str, Any]
ONE = {
    "get-contact": "contacts",
    "get-note": "notes",
    "get-crm-task": "tasks",
    "get-appointment": "appointments",
}
"""Operations that read one record, and its entity."""
MANY = {"list-notes": "notes", "list-crm-tasks": "tasks", "contact-appointments": "appointments"}
"""Operations that read all activities of a contact, and their entity."""
ANSWERS: dict[str, type[Contact | Note | CrmTask | Appointment]] = {
    "contacts": Contact,
    "notes": Note,
    "tasks": CrmTask,
    "appointments": Appointment,
}
WRITES = {
    "create-contact": "contacts",
    "update-contact": "contacts",
    "delete-contact": "contacts",
    "add-tags": "contacts",
    "remove-tags": "contacts",
    "enrol-in-workflow": "contacts",
    "create-note": "notes",
    "update-note": "notes",
    "delete-note": "notes",
    "create-crm-task": "tasks",
    "update-crm-task": "tasks",
    "complete-task": "tasks",
    "delete-crm-task": "tasks",
    "create-appointment": "appointments",
    "update-appointment": "appointments",
    "delete-appointment": "appointments",
}
"""Operations by which the engine writes records, and the entity that each is about."""
TAGGING = frozenset({"add-tags", "remove-tags"})
PLANNED = "planned-"
"""Begins the ids of what exists only in a plan."""
_ASIDE = frozenset({"customFields", "contactId", "ignoreFreeSlotValidation", "ignoreDateRange", "toNotify"})


def form_of(answer: BaseModel, location: Location) -> dict[str, Any] | None:
    """What one record at the destination holds; None for an answer that is no record."""
    match answer:
        case Contact():
            return normal_form(answer, location)
        case Note():
            return notes.normal_form(answer)
        case CrmTask():
            return crm_tasks.normal_form(answer)
        case Appointment():
            return appointments.normal_form(answer)
    return None


def foresee(
    name: str, subject: Subject, path: Mapping[str, str], body: Request | None, location: Location
) -> Foreseen:
    """What a request would do."""
    payload = body.payload() if body is not None else {}
    write = {key: value for key, value in payload.items() if key not in _ASIDE}
    for field_id, value in payload.get("customFields", {}).items():
        write[location.named(field_id) or field_id] = value
    if "workflowId" in path:
        write["workflow"] = path["workflowId"]
        target: str | None = path["contactId"]
    elif name.startswith("create-"):
        target = path.get("contactId") or payload.get("contactId")
    else:
        target = list(path.values())[-1]
    return Foreseen(name, subject.entity, subject.source_id, target, write)


def facing(foreseen: Foreseen, form: Content) -> Foreseen:
    """With what stands there now for the fields that it writes."""
    names = ("tags",) if foreseen.name in TAGGING else foreseen.write
    return replace(foreseen, before={name: form.get(name) for name in names})


def of_effect(effect: Effect, contact_id: str, workflow_id: str | None) -> Foreseen:
    """What performing a route's effect would do."""
    about = {"tag": effect.tag, "when": effect.when}
    match effect.action:
        case "workflow":
            name, write = "enrol-in-workflow", {"workflow": workflow_id}
        case "event":
            name, write = "event", {**about, "event": effect.target}
        case _:
            name, write = "webhook", {**about, "webhook": shown(effect.target)}
    return Foreseen(name, "contacts", effect.source_id, contact_id, write)


def covers(planned: Foreseen, now: Foreseen) -> bool:
    """Whether a plan's request is the one that is about to leave, or what is left to do of it."""
    if (planned.name, planned.entity, planned.source_id) != (now.name, now.entity, now.source_id):
        return False
    known = planned.target is None or planned.target.startswith(PLANNED) or planned.target == now.target
    if not known:
        return False
    if now.name in TAGGING:
        return set(now.write["tags"]) <= set(planned.write["tags"])
    if now.name.startswith("create-"):
        return now.write == planned.write
    return all(name in planned.write and planned.write[name] == value for name, value in now.write.items())


def beside(form: Content, foreseen: Iterable[Foreseen]) -> str:
    """A fingerprint of what a record holds beside what these requests write."""
    requests = list(foreseen)
    written = {name for one in requests if one.name not in TAGGING for name in one.write}
    tags = {tag for one in requests if one.name in TAGGING for tag in one.write["tags"]}
    rest = {name: value for name, value in form.items() if name not in {*written, "tags"} and value}
    return digest({**rest, "tags": sorted(set(form.get("tags", ())) - tags)})


def changed_since(form: Content, foreseen: Iterable[Foreseen], fingerprint: str) -> list[str]:
    """Which fields hold neither what they held when the requests were foreseen, nor what these write."""
    requests = [one for one in foreseen if not one.name.startswith("create-")]
    wrong = [] if beside(form, requests) == fingerprint else ["something else of it"]
    expected: dict[str, list[Any]] = {}
    for one in requests:
        if one.name not in TAGGING:
            for name in one.write:
                expected.setdefault(name, []).extend([one.before.get(name), one.write[name]])
    return wrong + [
        name
        for name, values in expected.items()
        if not any(same(name, form.get(name), one) for one in values)
    ]
