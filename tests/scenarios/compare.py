"""What the CRM and the last report show, against what a case says: a readable line for each difference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from tasks.engine.report import Report
from tasks.mapping.marker import TEXT_FIELDS, unmarked
from tests.scenarios.case import Fields, Then
from tests.scenarios.stage import ACTIVITIES, Stage

TIMES = {"dueDate", "startTime", "endTime"}
PEOPLE = {"assignedTo", "userId", "assignedUserId"}
NAMES = {"notes": "body", "tasks": "title", "appointments": "title"}
"""What a note, task or appointment is called in short."""


def crm(stage: Stage, must: Mapping[str, Fields | str]) -> Iterator[str]:
    """The contacts of the CRM: those that the case names, as it describes them, and no other."""
    there = {row["id"]: row for row in stage.box.contacts()}
    named = sorted(label for label, fields in must.items() if fields != "absent")
    expected = {stage.in_crm[label] for label in named if label in stage.in_crm}
    for label, fields in must.items():
        row = there.get(stage.in_crm.get(label, ""))
        if isinstance(fields, str):
            if row is not None and row["id"] not in expected:
                yield f"{label}: is in the CRM, and must not be"
        elif row is None:
            yield f"{label}: is not in the CRM"
        else:
            yield from _contact(stage, label, fields, row)
    for contact_id, row in there.items():
        if contact_id not in expected:
            shown = {name: row.get(name) for name in ("firstName", "lastName", "email", "phone")}
            yield f"unexpected in the CRM: {shown | stage.custom(row)}"


def report(stage: Stage, then: Then, found: Report | None, refusal: str | None) -> Iterator[str]:
    """What the last sync said, or why it did not begin."""
    if then.refused:
        told = [refusal] if refusal else found.warnings if found else []
        if found is not None and found.status != "failed":
            yield f"the sync was not refused, it ended {found.status}"
        yield from _untold(then.refused, told)
        return
    if found is None:
        yield f"the sync was refused: {refusal}"
        return
    if found.status != then.status:
        yield f"status: {found.status}, must be {then.status} ({'; '.join(found.warnings)})"
    for entity, counts in then.report.items():
        for name, number in counts.items():
            if found.entities[entity][name] != number:
                yield f"report: {entity} {name} {found.entities[entity][name]}, must be {number}"
    yield from _untold(stage.resolved(then.says), found.warnings)


def writes(must: int | Mapping[str, int] | None, written: Mapping[str, int]) -> Iterator[str]:
    """What the last sync wrote, by operation."""
    if must is not None and written != (must or {}):
        yield f"the last sync wrote {dict(written) or 'nothing'}, must be {must or 'nothing'}"


def _untold(texts: Iterable[str], told: list[str]) -> Iterator[str]:
    said = "; ".join(told)
    for text in texts:
        if text.casefold() not in said.casefold():
            yield f"is not told {text!r}; told is: {said or 'nothing'}"


def _contact(stage: Stage, label: str, fields: Fields, row: Fields) -> Iterator[str]:
    people = {user["id"]: user["name"] for user in stage.box.state("highlevel", "users")}
    shown = {**row, **stage.custom(row), "workflows": _workflows(stage, row["id"])}
    shown |= {name: people.get(row[name], row[name]) for name in PEOPLE if row.get(name)}
    for name, wanted in {"workflows": [], **fields}.items():
        if name not in ACTIVITIES:
            value = stage.at_source.get(wanted, wanted) if name == stage.id_field else wanted
            if _plain(shown.get(name)) != _plain(value):
                yield f"{label}: {name} is {_plain(shown.get(name))!r}, must be {_plain(value)!r}"
    for entity in ACTIVITIES:
        rows = [_item(entity, item, people) for item in stage.box.children(entity, row["id"])]
        yield from _items(f"{label}: {entity}", NAMES[entity], fields.get(entity) or [], rows)


def _workflows(stage: Stage, contact_id: str) -> list[str]:
    names = {row["id"]: row["name"] for row in stage.box.state("highlevel", "workflows")}
    rows = stage.box.state("highlevel", "enrolments")
    return [names[row["workflowId"]] for row in rows if row["contactId"] == contact_id]


def _item(entity: str, row: Fields, people: Mapping[str, str]) -> Fields:
    """A note, task or appointment as the table writes it."""
    named = {name: people.get(value, value) for name, value in row.items() if name in PEOPLE}
    text = TEXT_FIELDS[entity]
    return _in_utc({**row, **named, text: unmarked(row.get(text))})


def _items(what: str, called: str, wanted: list[Any], rows: list[Fields]) -> Iterator[str]:
    """Each item wanted has one of its own there, and there is no other."""
    left = list(rows)
    for one in (_in_utc(item if isinstance(item, dict) else {called: item}) for item in wanted):
        match = next((row for row in left if all(row.get(name) == one[name] for name in one)), None)
        if match is None:
            yield f"{what}: none is {one}; there is {[{name: row.get(name) for name in one} for row in left]}"
        else:
            left.remove(match)
    if len(rows) > len(wanted):
        yield f"{what}: {len(rows)} are there, must be {len(wanted)}: {[row.get(called) for row in rows]}"


def _in_utc(row: Fields) -> Fields:
    """Instants in one form, whatever their offset."""
    return {name: _instant(value) if name in TIMES and value else value for name, value in row.items()}


def _instant(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(value: Any) -> Any:
    """A value as the table writes it: lists in any order, numbers and texts alike, nothing for empty."""
    return sorted(value) if isinstance(value, list) else None if value in (None, "") else str(value)
