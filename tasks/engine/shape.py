"""From changed source rows to what the destination should hold: parse, map, and put together by contact.

Pure: no ledger, no network. pandas takes 0.3 s to import, and most runs find nothing changed: it is imported
where the first frame is made, or by `get_ready` while there is something to wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tasks.engine.batch import Batch
from tasks.highlevel.custom_values import as_stored
from tasks.mapping import appointment, contact, crm_task, note, stand_ins
from tasks.mapping.desired import Desired, Mapped, Refused, Skipped
from tasks.mapping.rules import Rules
from tasks.voipstudio.models import Appointment, Contact, CrmTask, Note, parse_rows

if TYPE_CHECKING:
    import pandas as pd

ACTIVITY: dict[str, tuple[type[Any], Callable[[Sequence[Any], Rules], list[Mapped]]]] = {
    "notes": (Note, note.notes),
    "tasks": (CrmTask, crm_task.crm_tasks),
    "appointments": (Appointment, appointment.appointments),
}
"""Per entity: how a row is read, and how it is mapped."""
PORTION = 200
"""Contacts mapped at a time, so that the models of a whole batch are never there together."""


@dataclass(slots=True)
class Bundle:
    """One source contact's changes: its own, if any, and those of its activities, oldest first."""

    contact_id: str
    contact: Mapped | None = None
    children: dict[str, list[Mapped]] = field(default_factory=dict)
    fingerprints: dict[tuple[str, str], str] = field(default_factory=dict)
    compared: dict[tuple[str, str], str | None] = field(default_factory=dict)
    """As `Batch.compared`."""


class Work:
    """The bundles of one batch, and whose activities count as read when they are written."""

    def __init__(self, bundles: list[Bundle], read: frozenset[str] = frozenset()) -> None:
        self.bundles = bundles
        self.read = read


def get_ready() -> None:
    """Import what `bundles` needs; in a thread of its own it holds nobody up."""
    import pandas as pd  # noqa: F401, PLC0415


def bundles(batch: Batch, rules: Rules) -> list[Bundle]:
    """Map a batch of rows, one bundle a contact."""
    import pandas as pd  # noqa: PLC0415

    found: dict[str, Bundle] = {}

    def bundle(contact_id: str) -> Bundle:
        return found.setdefault(contact_id, Bundle(contact_id))

    for source_id, fingerprint, mapped, model in _contacts(pd.DataFrame(batch.contacts), rules):
        one = bundle(source_id)
        one.contact = mapped
        one.fingerprints["contacts", source_id] = fingerprint
        if model is not None and not isinstance(mapped, Skipped):
            for child in stand_ins.stand_ins(model, rules):
                if child.entity in batch.stand_ins:
                    one.children.setdefault(child.entity, []).append(child)
                    one.fingerprints[child.entity, child.source_id] = fingerprint
    if batch.activities:
        for entity, rows in pd.DataFrame(batch.activities).groupby("entity", sort=False):
            for parent, source_id, fingerprint, mapped in _activities(str(entity), rows, rules):
                one = bundle(parent)
                one.children.setdefault(str(entity), []).append(mapped)
                one.fingerprints[str(entity), source_id] = fingerprint
    for one in found.values():
        one.compared = {key: batch.compared[key] for key in one.fingerprints if key in batch.compared}
    return list(found.values())


def _contacts(frame: pd.DataFrame, rules: Rules) -> Iterator[tuple[str, str, Mapped, Contact | None]]:
    for start in range(0, len(frame), PORTION):
        rows = frame.iloc[start : start + PORTION]
        models, refused = _parse("contacts", Contact, rows)
        mapped = contact.contacts(contact.frame_of(list(models.values())), rules)
        by_id = refused | {one.source_id: _stored(one, rules) for one in mapped}
        for source_id, fingerprint in zip(rows["source_id"], rows["fingerprint"], strict=True):
            yield source_id, fingerprint, by_id[source_id], models.get(source_id)


def _stored(mapped: Mapped, rules: Rules) -> Mapped:
    """With its custom fields in the form in which the location will show them."""
    if not isinstance(mapped, Desired) or not rules.kinds:
        return mapped
    known = rules.kinds
    content = {
        name: as_stored(known[name], value) if name in known else value
        for name, value in mapped.content.items()
    }
    return replace(mapped, content=content)


def _activities(entity: str, frame: pd.DataFrame, rules: Rules) -> list[tuple[str, str, str, Mapped]]:
    model, mapping = ACTIVITY[entity]
    models, refused = _parse(entity, model, frame)
    items = [
        (parent, models[source_id], fallback)
        for parent, source_id, fallback in zip(
            frame["contact_id"], frame["source_id"], frame["fallback"], strict=True
        )
        if source_id in models
    ]
    by_id: dict[str, Mapped] = refused | {one.source_id: one for one in mapping(items, rules)}
    columns = zip(frame["contact_id"], frame["source_id"], frame["fingerprint"], strict=True)
    return [(parent, source_id, fingerprint, by_id[source_id]) for parent, source_id, fingerprint in columns]


def _parse(entity: str, model: type[Any], frame: pd.DataFrame) -> tuple[dict[str, Any], dict[str, Mapped]]:
    """Read rows one by one: a bad one is refused alone."""
    models: dict[str, Any] = {}
    refused: dict[str, Mapped] = {}
    parents: Sequence[str | None] = (
        list(frame["contact_id"]) if "contact_id" in frame else [None] * len(frame)
    )
    for source_id, parent, row in zip(frame["source_id"], parents, frame["row"], strict=True):
        good, bad = parse_rows(model, [row])
        if good:
            models[source_id] = good[0]
        else:
            refused[source_id] = Refused(entity, source_id, parent, bad[0].reason, bad[0].message)
    return models, refused
