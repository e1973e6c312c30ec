"""Single items of both services, looked at and changed as a human would in the services' own screens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.clock import iso_ms
from sandbox.highlevel_calendars import event_view
from sandbox.highlevel_contacts import learn_tags, touch, view, write
from sandbox.highlevel_location import add_field
from sandbox.highlevel_rules import instant, tag_list
from sandbox.source import STREAMS
from sandbox.wire import Json, Row

if TYPE_CHECKING:
    from sandbox.highlevel import HighLevel
    from sandbox.voipstudio import VoipStudio
    from sandbox.world import Location

TABLES = {"tags", "custom_fields", "users", "calendars", "workflows"}
CHILDREN = ("notes", "tasks")


def location_of(highlevel: HighLevel, location_id: str | None) -> Location:
    """The named location, or the first."""
    if location_id is None:
        return next(iter(highlevel.locations.values()))
    return highlevel.locations[location_id]


def state(voipstudio: VoipStudio, highlevel: HighLevel, payload: Row) -> Json:
    """Everything a service holds, by entity; or one entity's rows."""
    if payload.get("service", "highlevel") == "voipstudio":
        source = voipstudio.source
        whole: Row = {"contacts": lambda: list(source.contacts.values())}
        for stream in STREAMS:
            whole[stream] = lambda stream=stream: [
                row for rows in source.activities[stream].values() for row in rows
            ]
        whole["users"] = lambda: list(source.users.values())
    else:
        location = location_of(highlevel, payload.get("location"))
        whole = {"contacts": lambda: [view(row) for row in location.contacts.values()]}
        for name in CHILDREN:
            whole[name] = lambda name=name: [
                row for rows in getattr(location, name).values() for row in rows.values()
            ]
        whole["appointments"] = lambda: [_event(row, location) for row in location.events.values()]
        whole["enrolments"] = lambda: list(location.enrolments)
        whole["deleted"] = lambda: list(location.deleted)
        for name in sorted(TABLES):
            whole[name] = lambda name=name: list(getattr(location, name).values())
    entity = payload.get("entity")
    if entity is None:
        return {name: rows() for name, rows in whole.items()}
    if entity not in whole:
        raise ValueError(f"unknown entity {entity!r}; known: {', '.join(whole)}")
    return whole[entity]()


def _event(row: Row, location: Location) -> Row:
    """An appointment as the API shows it, and whether the last write asked for notifications."""
    return {**event_view(row, location), "toNotify": row.get("toNotify")}


def insert(voipstudio: VoipStudio, highlevel: HighLevel, payload: Row) -> Json:
    """A new item; answers the stored row."""
    entity, parent, values = payload["entity"], payload.get("parent"), dict(payload.get("values") or {})
    if payload.get("service", "highlevel") == "voipstudio":
        now = int(voipstudio.clock.now())
        if entity == "contacts":
            return voipstudio.source.add_contact({"global": True, "created_at": now, **values})
        row = {"user_id": 10002, "created_at": now, "updated_at": now, **values}
        return voipstudio.source.add_activity(entity, int(_needed(parent)), row)
    location = location_of(highlevel, payload.get("location"))
    if entity == "contacts":
        return view(write(highlevel, location, None, values))
    if entity == "custom_fields":
        return add_field(highlevel, location, {"dataType": "TEXT", **values})
    row = {"id": highlevel.ids.new(), **values}
    if entity in CHILDREN:
        row["contactId"] = _needed(parent)
        row = {"dateAdded": iso_ms(highlevel.clock.now()), **row} if entity == "notes" else row
        getattr(location, entity).setdefault(row["contactId"], {})[row["id"]] = row
        return row
    if entity == "appointments":
        base = {"title": "", "groupId": "", "calendarId": next(iter(location.calendars)), "users": []}
        stamp = iso_ms(highlevel.clock.now())
        times = {"dateAdded": stamp, "dateUpdated": stamp, "contactId": _needed(parent)}
        row = _with_times(
            {**base, **times, "appointmentStatus": "confirmed", "locationId": location.id, **row}
        )
        location.put_event(row)
        return _event(row, location)
    if entity == "tags":
        learn_tags(highlevel, location, tag_list([values["name"]]))
        return location.tags[values["name"].strip().lower()]
    if entity in TABLES:
        getattr(location, entity)[row["id"]] = {"locationId": location.id, **row}
        return row
    raise ValueError(f"unknown entity {entity!r}")


def _needed(parent: Json) -> Json:
    if parent is None:
        raise ValueError("parent (the contact's id) is needed")
    return parent


def _with_times(values: Row) -> Row:
    return {
        name: instant(value) if name in ("startTime", "endTime") and isinstance(value, str) else value
        for name, value in values.items()
    }


def edit(voipstudio: VoipStudio, highlevel: HighLevel, payload: Row) -> Json:
    """Changes an item; answers the stored row."""
    entity, values = payload["entity"], dict(payload.get("values") or {})
    if payload.get("service", "highlevel") == "voipstudio":
        row = _source_row(voipstudio, payload)
        if entity != "contacts":
            row["updated_at"] = int(voipstudio.clock.now())
        row.update(values)
        return row
    location, item_id = location_of(highlevel, payload.get("location")), payload["id"]
    if entity == "contacts":
        return view(_edit_contact(highlevel, location, location.contacts[item_id], values))
    if entity == "appointments":
        row = {
            **location.events[item_id],
            **_with_times(values),
            "dateUpdated": iso_ms(highlevel.clock.now()),
        }
        location.put_event(row)
        return _event(row, location)
    table = _table(location, entity, item_id)
    key = next(key for key, row in table.items() if row["id"] == item_id)
    table[key] = {**table[key], **values}
    return table[key]


def _edit_contact(highlevel: HighLevel, location: Location, row: Row, values: Row) -> Row:
    """``customFields`` may be a map id → value, ``tags`` is the whole list, anything else is set as it is."""
    fields = values.get("customFields")
    if isinstance(fields, dict):
        values["customFields"] = [{"id": key, "field_value": value} for key, value in fields.items()]
    businesses = {name: values.pop(name) for name in ("businessId", "followers") if name in values}
    row = write(highlevel, location, row, values)
    return touch(highlevel, location, row, **businesses) if businesses else row


def _table(location: Location, entity: str, item_id: str) -> dict[str, Row]:
    if entity in CHILDREN:
        tables: dict[str, dict[str, Row]] = getattr(location, entity)
        return next(rows for rows in tables.values() if item_id in rows)
    if entity not in TABLES:
        raise ValueError(f"unknown entity {entity!r}")
    table: dict[str, Row] = getattr(location, entity)
    return table


def _source_row(voipstudio: VoipStudio, payload: Row) -> Row:
    entity, source = payload["entity"], voipstudio.source
    if entity == "contacts":
        return source.contacts[int(payload["id"])]
    parent = payload.get("parent")
    for contact_id, rows in source.activities[entity].items():
        if parent is None or int(parent) == contact_id:
            for row in rows:
                if str(row["id"]) == str(payload["id"]):
                    return row
    raise KeyError(f"no {entity} {payload['id']}")


def delete(voipstudio: VoipStudio, highlevel: HighLevel, payload: Row) -> Json:
    """Deletes an item."""
    entity = payload["entity"]
    if payload.get("service", "highlevel") == "voipstudio":
        row = _source_row(voipstudio, payload)
        if entity == "contacts":
            voipstudio.source.drop_contact(row["id"])
        else:
            voipstudio.source.activities[entity][row["contact_id"]].remove(row)
        return {}
    location, item_id = location_of(highlevel, payload.get("location")), payload["id"]
    if entity == "contacts":
        location.drop_contact(item_id, highlevel.clock, highlevel.options.lag)
    elif entity == "appointments":
        location.drop_event(item_id)
    else:
        table = _table(location, entity, item_id)
        del table[next(key for key, row in table.items() if row["id"] == item_id)]
    return {}


def merge(highlevel: HighLevel, payload: Row) -> Json:
    """The CRM's merge: ``lose``'s activities and missing values go to ``keep``, then ``lose`` is gone.

    Another e-mail or phone of ``lose`` stays as an additional one (such lists are seen live; that a merge
    fills them is decided here).
    """
    location = location_of(highlevel, payload.get("location"))
    keep, lose = location.contacts[payload["keep"]], location.contacts[payload["lose"]]
    for name in CHILDREN:
        table: dict[str, dict[str, Row]] = getattr(location, name)
        for item_id, row in table.pop(lose["id"], {}).items():
            table.setdefault(keep["id"], {})[item_id] = {**row, "contactId": keep["id"]}
    for event_id in list(location.events_of.pop(lose["id"], {})):
        location.put_event({**location.events[event_id], "contactId": keep["id"]})
    location.drop_contact(lose["id"], highlevel.clock, highlevel.options.lag)
    filled = {name: value for name, value in lose.items() if keep.get(name) in (None, "") and name != "id"}
    tags = list(dict.fromkeys([*keep["tags"], *lose["tags"]]))
    fields = {**lose["customFields"], **keep["customFields"]}
    for name, further in (("email", "additionalEmails"), ("phone", "additionalPhones")):
        others = [*keep.get(further, []), *lose.get(further, [])]
        if lose.get(name) and keep.get(name) and lose[name] != keep[name]:
            others.append({name: lose[name]})
        if others:
            filled[further] = others
    return view(touch(highlevel, location, keep, **filled, tags=tags, customFields=fields))
