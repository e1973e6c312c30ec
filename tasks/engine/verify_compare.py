"""Whether what stands at the destination is what was written there, and who stands there besides. Pure.

A difference is nobody's edit where a rule lets it stand: a field that is only filled where it is empty, what
somebody had written into a contact before it was linked, what another source contact of the same contact
wrote, and the company's name, which the API sets on creation alone (HighLevel OpenAPI).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.engine.merge import BESIDES, Policies, same
from tasks.identity.resolve import KEYS, Candidate
from tasks.ledger.deviations import Deviation
from tasks.ledger.records import Record

Content = Mapping[str, Any]
OWN_FIELDS = frozenset({"id", "other_phones"})
"""Fields that we keep ourselves: they need no rule."""
EVERYTHING: Callable[[str], bool] = lambda _name: True  # noqa: E731 - a constant of a function's type


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger knows around some contacts of the location.

    Attributes:
        linked: the source contacts linked to a contact, by its id.
        near: contacts that share a key with one of them, by (key's name, value).
        named: the records of the source ids that contacts carry.
    """

    linked: Mapping[str, Sequence[Record]]
    near: Mapping[tuple[str, str], Sequence[Candidate]]
    named: Mapping[str, Record]


@dataclass(slots=True)
class Judgement:
    """What was found about one contact, or about one contact's activities.

    Attributes:
        deviations: what is not as it was written.
        others: further contacts that must be asked for before that is believed.
        kept: records in which somebody else's value stands by rule.
    """

    deviations: list[Deviation] = field(default_factory=list)
    others: set[str] = field(default_factory=set)
    kept: int = 0


def verifiable(record: Record) -> bool:
    """Whether the destination should hold a record as the ledger says."""
    return record.state == "synced" and record.destination_id is not None and record.intent is None


def judge(
    contact_id: str,
    theirs: Content,
    known: Known,
    policies: Policies,
    shows: Callable[[str], bool] = EVERYTHING,
) -> Judgement:
    """Judge one contact of the location, as it was shown.

    Args:
        contact_id: its id.
        theirs: its content in normal form.
        known: what the ledger knows around it.
        policies: who has the last word on a field.
        shows: whether the answer at hand has a field at all: the search has fewer than a contact.
    """
    made, linked = Judgement(), known.linked.get(contact_id, ())
    for record in filter(verifiable, linked):
        others = [other.content or {} for other in linked if other.source_id != record.source_id]
        fields, kept = differing(record, theirs, others, policies, shows)
        made.kept += bool(kept)
        if fields:
            made.deviations.append(_deviation("edited", record.source_id, contact_id, contact_id, fields))
    for (source_id, spare, ours), fields in _shared(contact_id, theirs, known).items():
        made.deviations.append(_deviation("duplicated", source_id, spare, ours, fields))
        made.others |= {spare, ours} - {contact_id}
    if not linked and not made.deviations and theirs.get("id"):
        made.deviations += _orphaned(theirs["id"], contact_id, known)
    return made


def differing(
    record: Record,
    theirs: Content,
    others: Sequence[Content],
    policies: Policies,
    shows: Callable[[str], bool],
) -> tuple[list[str], list[str]]:
    """The fields of a contact in which not what we wrote stands: those edited, and those kept so by rule."""
    edited, kept = list[str](), list[str]()
    ours = record.content or {}
    for name, value in ours.items():
        there = theirs.get(name)
        if name in BESIDES or not shows(name) or same(name, there, value):
            continue
        if name == "other_phones" and set(_numbers(value)) <= set(_numbers(there)):
            continue
        if there and any(same(name, there, other.get(name)) for other in others):
            continue
        (kept if _stands(record, name, there, policies) else edited).append(name)
    if shows("tags") and set(ours.get("tags") or ()) - set(theirs.get("tags") or ()):
        edited.append("tags")
    return edited, kept


def edited_fields(ours: Content, theirs: Content) -> list[str]:
    """The fields of an activity in which not what we wrote stands."""
    return [
        name
        for name, value in ours.items()
        if name not in BESIDES and not same(name, theirs.get(name), value)
    ]


def gone(record: Record, activities: Iterable[Record]) -> list[Deviation]:
    """A contact that is not there any more, and the activities that were under it."""
    place = record.destination_id or ""
    return [
        _deviation("missing", record.source_id, place, place),
        *(
            Deviation(
                entity=child.entity,
                kind="detached",
                source_id=child.source_id,
                destination_id=child.destination_id or "",
                contact_id=place,
            )
            for child in filter(verifiable, activities)
        ),
    ]


def _stands(record: Record, name: str, there: Any, policies: Policies) -> bool:  # noqa: ANN401 - a field's value
    rule = policies.get(name)
    if rule is None and name not in OWN_FIELDS:
        return True  # it is not mapped any more
    if name == "companyName":
        return True
    if there in (None, ""):
        return False
    if rule is not None and rule.policy == "fill":
        return True
    return record.origin == "adopted" and (rule is None or rule.policy != "source")


def _shared(contact_id: str, theirs: Content, known: Known) -> dict[tuple[str, str, str], list[str]]:
    """(source id, the contact that is too many, ours) → the keys that they share."""
    found: dict[tuple[str, str, str], list[str]] = {}
    mine = known.linked.get(contact_id, ())
    for name in KEYS:
        if not (value := theirs.get(name)):
            continue
        for one in known.near.get((name, value), ()):
            other = known.linked.get(one.contact_id, ())
            if one.contact_id == contact_id or bool(mine) == bool(other):
                continue  # two that are linked are two persons, as far as the ledger knows
            if name == "phone" and one.email and theirs.get("email") not in (None, one.email):
                continue  # two persons on one line
            owner = (mine or other)[0].source_id
            pair = (owner, one.contact_id, contact_id) if mine else (owner, contact_id, one.contact_id)
            found.setdefault(pair, []).append(name)
    return found


def _orphaned(source_id: str, contact_id: str, known: Known) -> list[Deviation]:
    """A contact that carries our id, and is linked to nobody: nobody's, or one too many."""
    record = known.named.get(source_id)
    if record is not None and record.destination_id:
        return [_deviation("duplicated", source_id, contact_id, record.destination_id, ["id"])]
    if record is None or record.state == "gone":
        return [_deviation("orphaned", source_id, contact_id, contact_id)]
    return []  # it is still to be brought there, or asked about


def _deviation(
    kind: str, source_id: str, destination_id: str, contact_id: str, fields: Collection[str] = ()
) -> Deviation:
    return Deviation(
        entity="contacts",
        kind=kind,
        source_id=source_id,
        destination_id=destination_id,
        contact_id=contact_id,
        fields=tuple(fields),
    )


def _numbers(field: str | None) -> list[str]:
    return [number for number in (field or "").split(", ") if number]
