"""The two services of a scenario, under the labels that the case gives to people and things."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.client import Box
from tasks.mapping.marker import TEXT_FIELDS, find
from tests.scenarios.case import Fields

ACTIVITIES = tuple(TEXT_FIELDS)
GONE, BACK = "deleted", "returns"
TEXT = "notes text"
"""VoIPstudio's own field ``notes``, whose name the table needs for the list of notes."""
NAMED = re.compile(r"<([^<>]+)>")

Key = tuple[str, str, str]
"""An activity: entity, its contact's label, its own."""


@dataclass(slots=True)
class Stage:
    """Who and what is where.

    Attributes:
        box: the sandbox.
        names: what else ``<name>`` may stand for.
        id_field: the custom field that holds a contact's id at the source.
        at_source: label → contact's id at VoIPstudio.
        in_crm: label → contact's id in the CRM, as last seen.
        items_at_source: the same for notes, tasks and appointments.
        items_in_crm: likewise.
    """

    box: Box
    names: dict[str, str]
    id_field: str = "VoIPstudio ID"
    at_source: dict[str, int] = field(default_factory=dict)
    in_crm: dict[str, str] = field(default_factory=dict)
    items_at_source: dict[Key, Any] = field(default_factory=dict)
    items_in_crm: dict[Key, str] = field(default_factory=dict)
    _lost: dict[Any, Fields] = field(default_factory=dict)

    def change_source(self, changes: Mapping[str, Fields | str]) -> None:
        """Somebody works in VoIPstudio."""
        for label, values in changes.items():
            if values == GONE:
                self._lost[label] = self._drop_at_source(label)
                continue
            known = self._lost.pop(label) if values == BACK else values
            plain, items = _parts(known)
            if label not in self.at_source or values == BACK:
                self.at_source[label] = self.box.insert_source("contacts", **plain)["id"]
            elif plain:
                self.box.edit_source("contacts", self.at_source[label], **plain)
            for (entity, name), item in items.items():
                self._change_source_item((entity, label, name), item)

    def _drop_at_source(self, label: str) -> Fields:
        """Delete a contact; return it with its activities, should it come back."""
        source_id = self.at_source[label]
        row = next(row for row in self.box.source() if row["id"] == source_id)
        mine = {key: item_id for key, item_id in self.items_at_source.items() if key[1] == label}
        kept: Fields = {name: value for name, value in row.items() if name != "notes"} | {TEXT: row["notes"]}
        for entity in ACTIVITIES:
            there = {item["id"]: item for item in self.box.source(entity, source_id)}
            kept[entity] = {key[2]: there[item] for key, item in mine.items() if key[0] == entity}
        for key in mine:
            del self.items_at_source[key]
        self.box.delete_source("contacts", source_id)
        return kept

    def _change_source_item(self, key: Key, values: Fields | str) -> None:
        entity, label, _ = key
        parent = self.at_source[label]
        if values == GONE:
            item_id = self.items_at_source[key]
            rows = self.box.source(entity, parent)
            self._lost[key] = next(row for row in rows if row["id"] == item_id)
            self.box.delete_source(entity, item_id, parent)
        elif values == BACK:
            self.box.insert_source(entity, parent, **self._lost.pop(key))
        elif key in self.items_at_source:
            self.box.edit_source(entity, self.items_at_source[key], parent, **values)
        else:
            self.items_at_source[key] = self.box.insert_source(entity, parent, **values)["id"]

    def change_crm(self, changes: Mapping[str, Fields | str]) -> None:
        """Somebody works in the CRM."""
        for label, values in changes.items():
            if values == GONE:
                self.box.delete("contacts", self.contact(label))
                continue
            plain, items = _parts(values)
            body = self._as_body(plain)
            if label not in self.in_crm:
                self.in_crm[label] = self.box.insert("contacts", **body)["id"]
            elif body:
                self.box.edit("contacts", self.contact(label), **body)
            for (entity, name), item in items.items():
                self._change_crm_item((entity, label, name), item)

    def _change_crm_item(self, key: Key, values: Fields | str) -> None:
        entity, label, _ = key
        if values == GONE:
            self.box.delete(entity, self.items_in_crm[key])
        elif key in self.items_in_crm:
            self.box.edit(entity, self.items_in_crm[key], **values)
        else:
            self.items_in_crm[key] = self.box.insert(entity, self.contact(label), **values)["id"]

    def _as_body(self, values: Fields) -> Fields:
        """Fields as the sandbox takes them: a custom field goes by its id."""
        ids = {row["name"]: row["id"] for row in self.box.state("highlevel", "custom_fields")}
        plain = {name: value for name, value in values.items() if name not in ids}
        custom = [{"id": ids[name], "field_value": values[name]} for name in values if name in ids]
        resolved: Fields = self.resolved(plain)
        return {**resolved, **({"customFields": custom} if custom else {})}

    def learn(self) -> None:
        """After a sync: which contact, note … of the CRM is the one that the case calls by its label."""
        there = {row["id"]: row for row in self.box.contacts()}
        carrying = {self.custom(row).get(self.id_field): row["id"] for row in there.values()}
        for label, source_id in self.at_source.items():
            if self.in_crm.get(label) not in there and str(source_id) in carrying:
                self.in_crm[label] = carrying[str(source_id)]
        for entity, text in TEXT_FIELDS.items():
            rows = {row["id"]: row for row in self.box.state("highlevel", entity)}
            marked = {found.source_id: row["id"] for row in rows.values() if (found := find(row.get(text)))}
            for key, item_id in self.items_at_source.items():
                source_id = f"{self.at_source[key[1]]}/{item_id}"
                if key[0] == entity and self.items_in_crm.get(key) not in rows and source_id in marked:
                    self.items_in_crm[key] = marked[source_id]

    def contact(self, label: str) -> str:
        """The id of a contact of the CRM."""
        if label not in self.in_crm:
            raise ValueError(f"{label} has not been in the CRM so far")
        return self.in_crm[label]

    def custom(self, row: Fields) -> Fields:
        """A contact's custom fields, by their names."""
        names = {one["id"]: one["name"] for one in self.box.state("highlevel", "custom_fields")}
        return {names[one["id"]]: one["value"] for one in row["customFields"]}

    def resolved(self, value: Any) -> Any:
        """``value`` with ``<name>`` replaced by the id of the contact, user, calendar or workflow."""
        if isinstance(value, dict):
            return {name: self.resolved(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.resolved(item) for item in value]
        return NAMED.sub(lambda match: self._id_of(match[1]), value) if isinstance(value, str) else value

    def _id_of(self, name: str) -> str:
        known = {**self.names, **self.in_crm}
        if name in known:
            return known[name]
        rows = [
            row for table in ("users", "calendars", "workflows") for row in self.box.state("highlevel", table)
        ]
        return str(next(row["id"] for row in rows if row["name"] == name))


def somebody(label: str) -> Fields:
    """A contact with nothing special."""
    return {"first_name": label.title(), "email": f"{label.replace(' ', '.')}@example.com"}


def _parts(values: Fields) -> tuple[Fields, dict[tuple[str, str], Any]]:
    """A contact's own fields; and its notes, tasks and appointments by entity and label."""
    plain = {name: value for name, value in values.items() if name not in ACTIVITIES}
    if TEXT in plain:
        plain["notes"] = plain.pop(TEXT)
    items = {(entity, name): item for entity in ACTIVITIES for name, item in values.get(entity, {}).items()}
    return plain, items
