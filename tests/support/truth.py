"""What is true at the destination, held against the source: for after a final plain run, without human edits.

The mapping is taken at its word here (it has tests of its own); that each thing is there once, with the
right content, under the right contact, and that the ledger tells the truth about it, is looked up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from sandbox.client import Box
from sandbox.source import Printer, SourceOptions
from tasks.engine.entities.instants import utc
from tasks.engine.shape import ACTIVITY
from tasks.engine.twins import withhold
from tasks.ledger.database import opened
from tasks.ledger.sealing import Sealer
from tasks.ledger.tables import leases, records, runs
from tasks.mapping import contact, marker, stand_ins
from tasks.mapping.desired import Desired, Mapped
from tasks.mapping.rules import Rules
from tasks.settings import State
from tasks.voipstudio.models import Contact, parse_rows
from tests.support.accounts import settings_of

Key = tuple[str, str]
Row = dict[str, Any]
BESIDES = {"tags", "withheld", "withheld_email", "foreign_tags", "labels"}
FIELDS: dict[str, Callable[[Row], Row]] = {
    "notes": lambda row: {"body": row.get("body")},
    "tasks": lambda row: {
        "title": row.get("title"),
        "body": row.get("body"),
        "dueDate": utc(row.get("dueDate")),
        "completed": row.get("completed"),
    },
    "appointments": lambda row: {
        "title": row.get("title"),
        "startTime": utc(row.get("startTime")),
        "endTime": utc(row.get("endTime")),
        "appointmentStatus": row.get("appointmentStatus"),
        "description": row.get("description"),
        "address": row.get("address"),
    },
}
"""Activities of the destination in the form in which mapped contents are written."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the source asks for: every record as mapped, and which of them are to be there."""

    mapped: dict[Key, Mapped]

    def due(self, entity: str) -> dict[str, Desired]:
        """Records of an entity that are to be at the destination, by source id."""
        return {
            source_id: one
            for (known, source_id), one in self.mapped.items()
            if known == entity and isinstance(one, Desired) and self._parent_is_due(one)
        }

    def _parent_is_due(self, one: Desired) -> bool:
        return one.parent_id is None or isinstance(self.mapped["contacts", one.parent_id], Desired)


def check(box: Box, url: str, **sections: Any) -> list[str]:
    """Return what is wrong after a final plain run, one readable line each, without personal data."""
    configured = settings_of(box, url, **sections)
    settings = configured.account("acme")
    expected = expect(box, Rules.of("acme", settings))
    there: dict[str, list[Row]] = box.state("highlevel")
    fields = {
        "id": settings.mapping.id_field,
        "other_phones": settings.mapping.phones_field,
    }
    problems = [
        f"custom field {label!r} is there {number} times"
        for label in fields.values()
        if (number := sum(row["name"] == label for row in there["custom_fields"])) != 1
    ]
    ids = {row["name"]: row["id"] for row in there["custom_fields"]}
    known = {ids[label]: name for name, label in fields.items() if label in ids}
    people = {row["id"]: _person(row, known) for row in there["contacts"]}
    homes, found = _contacts(expected.due("contacts"), people)
    problems += found
    for entity in FIELDS:
        problems += _activities(entity, expected.due(entity), there[entity], homes)
    return [*problems, *_ledger(configured.state, expected, there, homes)]


def expect(box: Box, rules: Rules) -> Expected:
    """Map everything that the source holds now."""
    options = {name: value for name, value in box.options()["voipstudio"].items() if name != "disturbances"}
    names = SourceOptions.__dataclass_fields__
    chosen = SourceOptions(**{name: value for name, value in options.items() if name in names})
    printer, rows = Printer(chosen), box.state("voipstudio")
    people, _ = parse_rows(Contact, [printer.contact(row) for row in rows["contacts"]])
    mapped: dict[Key, Mapped] = {
        ("contacts", one.source_id): one for one in contact.contacts(contact.frame_of(people), rules)
    }
    by_id = {person.id: person for person in people}
    for entity, (model, mapping) in ACTIVITY.items():
        if chosen.streams[entity]:
            items = []
            for row in rows[entity]:
                (item,), _ = parse_rows(model, [printer.activity(entity, row)])
                items.append((str(row["contact_id"]), item, by_id[row["contact_id"]].created_at))
            mapped |= {(entity, one.source_id): one for one in mapping(items, rules)}
    for person in people:
        for one in stand_ins.stand_ins(person, rules):
            if not chosen.streams[one.entity]:
                mapped[one.entity, one.source_id] = one
    return Expected(mapped)


def _person(row: Row, known: Mapping[str, str]) -> Row:
    custom = {known[one["id"]]: one["value"] for one in row.get("customFields", []) if one["id"] in known}
    names = ("firstName", "lastName", "email", "phone", "companyName", "source")
    return {name: row[name] for name in names if row.get(name)} | custom | {"tags": row.get("tags", [])}


def _contacts(due: Mapping[str, Desired], people: Mapping[str, Row]) -> tuple[dict[str, str], list[str]]:
    """Return where each source contact is, and what is wrong with them."""
    homes: dict[str, str] = {}
    problems = [
        f"{number} contacts at the destination share one e-mail address"
        for number in Counter(row["email"] for row in people.values() if row.get("email")).values()
        if number > 1
    ]
    for source_id, one in due.items():
        carrying = [contact_id for contact_id, row in people.items() if row.get("id") == source_id]
        if len(carrying) == 1:
            homes[source_id] = carrying[0]
            problems += _differences(f"contact {source_id}", one.content, people, carrying[0])
        elif carrying:
            problems.append(f"contact {source_id}: {len(carrying)} times at the destination")
        elif twin := _twin(one.content, people, due):
            homes[source_id] = twin
        else:
            problems.append(f"contact {source_id}: not at the destination")
    problems += [
        f"contact {row['id']}: at the destination, and is not to be"
        for row in people.values()
        if row.get("id") and row["id"] not in due
    ]
    return homes, problems


def _twin(ours: Row, people: Mapping[str, Row], due: Mapping[str, Desired]) -> str | None:
    """The contact of another source entry of the same person, with which this one was merged."""
    for contact_id, row in people.items():
        other = due.get(row.get("id", ""))
        if other is not None and ours.get("email") and other.content.get("email") == ours["email"]:
            return contact_id
    return None


def _differences(what: str, ours: Row, people: Mapping[str, Row], contact_id: str) -> Iterator[str]:
    theirs = people[contact_id]
    phone = ours.get("phone")
    taken = any(row.get("phone") == phone for other, row in people.items() if other != contact_id)
    if phone and theirs.get("phone") != phone and taken:
        ours = {name: value for name, value in withhold(ours).items() if name != "withheld"}
    for name in sorted({*ours, *theirs} - {"tags", "labels"}):
        if ours.get(name) != theirs.get(name):
            yield f"{what}: {name} is not what the source says"
    if set(ours.get("tags", [])) != set(theirs["tags"]):
        yield f"{what}: tags are not what the source says"


def _activities(
    entity: str, due: Mapping[str, Desired], rows: Iterable[Row], homes: Mapping[str, str]
) -> Iterator[str]:
    marked: dict[str, list[Row]] = {}
    for row in rows:
        found = marker.find(row.get(marker.TEXT_FIELDS[entity]))
        if found and found.origin == "acme":
            marked.setdefault(found.source_id, []).append(row)
    for source_id, one in due.items():
        there = marked.pop(source_id, [])
        if len(there) != 1:
            yield f"{entity} {source_id}: {len(there)} times at the destination"
            continue
        if there[0]["contactId"] != homes.get(one.parent_id or ""):
            yield f"{entity} {source_id}: under another contact"
        theirs = FIELDS[entity](there[0])
        for name in sorted({*one.content, *theirs}):
            if (one.content.get(name) or None) != (theirs.get(name) or None):
                yield f"{entity} {source_id}: {name} is not what the source says"
    for source_id, there in marked.items():
        yield f"{entity} {source_id}: {len(there)} times at the destination, and is not to be"


def _ledger(
    state: State, expected: Expected, there: Mapping[str, list[Row]], homes: Mapping[str, str]
) -> Iterator[str]:
    with opened(state.url, Sealer.of_ledger(state)) as database:
        rows = database.now_do(lambda connection: connection.execute(select(records)).all())
        kept = database.now_do(lambda connection: connection.execute(select(runs)).all())
        held = database.now_do(lambda connection: connection.execute(select(leases)).all())
    by_key = {(row.entity, row.source_id): row for row in rows}
    due = {(entity, source_id) for entity in there for source_id in expected.due(entity)}
    ids = {row["id"] for entity in ("contacts", *FIELDS) for row in there[entity]}
    for key, one in expected.mapped.items():
        what, row = "ledger: {} {}".format(*key), by_key.get(key)
        if row is not None and key in due:
            yield from _record(what, row, one, ids, homes)
        elif row is not None and row.state != "skipped":
            yield f"{what} is {row.state}, not skipped"
        elif row is None and (key in due or key[0] == "contacts"):
            yield f"{what} is missing"
    yield from _links(rows, expected)
    for run in kept:
        if run.status == "running" or run.finished_at is None:
            yield f"ledger: run {run.id} is {run.status} and was not closed"
    for lease in held:
        if lease.owner is not None:
            yield "ledger: the lease was not given back"


def _links(rows: Iterable[Any], expected: Expected) -> Iterator[str]:
    for row in rows:
        if row.intent is not None:
            yield f"ledger: {row.entity} {row.source_id} has an open intent"
        if (row.entity, row.source_id) not in expected.mapped and row.state != "gone":
            yield f"ledger: {row.entity} {row.source_id} is not at the source"
    for (entity, _), number in Counter(
        (row.entity, row.destination_id) for row in rows if row.destination_id and row.entity != "contacts"
    ).items():
        if number > 1:
            yield f"ledger: {number} {entity} are linked to one at the destination"


def _record(what: str, row: Any, one: Mapped, ids: set[str], homes: Mapping[str, str]) -> Iterator[str]:
    if row.state != "synced":
        yield f"{what} is {row.state} ({row.reason})"
        return
    if row.destination_id not in ids:
        yield f"{what} names something that is not at the destination"
    if row.entity == "contacts" and row.destination_id != homes.get(row.source_id):
        yield f"{what} names another contact"
    assert isinstance(one, Desired)
    content = {name: value for name, value in (row.content or {}).items() if name not in BESIDES}
    ours = {name: value for name, value in one.content.items() if name not in BESIDES}
    withheld = {name: value for name, value in withhold(ours).items() if name not in BESIDES}
    if content not in (ours, withheld):
        yield f"{what} does not hold what was written"
