"""What a verification found: which records it looked at, and what is not as it was written."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, fields

from sqlalchemy import ColumnElement, Connection, Select, delete, func, literal, or_, select, tuple_, update

from tasks.ledger.records import blocks, upsert
from tasks.ledger.tables import deviations, records

_THERE = (
    records.c.state == "synced",
    records.c.destination_id.is_not(None),
    records.c.intent.is_(None),
)
"""What makes a record one that the destination should hold as the ledger says."""

COURSE = "verification"
"""Fact: how far the last verification is (`tasks.engine.verify_course`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """One thing that is not as it was written.

    Attributes:
        kind: ``missing`` · ``edited`` (by a person; ``fields`` says where) · ``duplicated`` (another one
            beside ours; ``fields`` says what they share) · ``orphaned`` (it carries our id or marker, and the
            ledger does not know it there, or under another ``contact``, as ``fields`` says then) ·
            ``detached`` (an activity whose contact is gone).
        source_id: of the record that it is about.
        destination_id: of what was found, or looked for.
        contact_id: of a duplicate, ours; of an activity, the contact under which it stands.
    """

    entity: str
    kind: str
    source_id: str
    destination_id: str
    contact_id: str
    fields: tuple[str, ...] = ()


_NAMES = tuple(field.name for field in fields(Deviation))
_ORDER = tuple(deviations.c[name] for name in _NAMES[:4])


def save(connection: Connection, account: str, number: int, found: Iterable[Deviation]) -> None:
    """Keep deviations; one that is known already is found once."""
    kept = {
        (one.entity, one.kind, one.source_id, one.destination_id): {
            **asdict(one), "fields": list(one.fields), "account": account, "number": number
        }
        for one in found
    }  # fmt: skip
    upsert(connection, deviations, kept.values())


def forget(connection: Connection, account: str, keep: Collection[int]) -> None:
    """Drop what other verifications of the account found."""
    gone = delete(deviations).where(deviations.c.account == account, deviations.c.number.not_in(keep))
    connection.execute(gone)


def count(connection: Connection, account: str, number: int) -> dict[tuple[str, str], int]:
    """Return how many deviations there are, by entity and kind."""
    rows = connection.execute(
        select(deviations.c.entity, deviations.c.kind, func.count())
        .where(deviations.c.account == account, deviations.c.number == number)
        .group_by(deviations.c.entity, deviations.c.kind)
    )
    return {(entity, kind): number for entity, kind, number in rows}


def listed(
    connection: Connection, account: str, number: int, *, most: int, after: Deviation | None = None
) -> list[Deviation]:
    """Return some deviations in their order, from the first on or from after one of them."""
    query = select(*(deviations.c[name] for name in _NAMES)).where(
        deviations.c.account == account, deviations.c.number == number
    )
    if after is not None:
        place = (after.entity, after.kind, after.source_id, after.destination_id)
        query = query.where(tuple_(*_ORDER) > tuple_(*map(literal, place)))
    rows = connection.execute(query.order_by(*_ORDER).limit(most))
    return [Deviation(**{**row._mapping, "fields": tuple(row.fields)}) for row in rows]  # noqa: SLF001 - public


# which records were looked at


def mark(connection: Connection, account: str, entity: str, ids: Collection[str], number: int) -> None:
    """Note that a verification looked at these records."""
    for block in blocks(ids):
        connection.execute(
            update(records)
            .where(records.c.account == account, records.c.entity == entity, records.c.source_id.in_(block))
            .values(checked=number)
        )


def checked(connection: Connection, account: str, number: int) -> dict[str, int]:
    """Return how many records of each entity a verification, or a later one, looked at."""
    rows = connection.execute(
        select(records.c.entity, func.count())
        .where(records.c.account == account, records.c.checked >= number)
        .group_by(records.c.entity)
    )
    return {row.entity: row[1] for row in rows}


def delivered(connection: Connection, account: str) -> dict[str, int]:
    """Return how many records of each entity the destination should hold."""
    rows = connection.execute(
        select(records.c.entity, func.count())
        .where(records.c.account == account, *_THERE)
        .group_by(records.c.entity)
    )
    return {row.entity: row[1] for row in rows}


def contacts_after(connection: Connection, account: str, after: str, most: int) -> list[tuple[str, str]]:
    """Return (source id, destination id) of delivered contacts, in the order of source ids."""
    query = _contacts(account).where(records.c.source_id > after)
    rows = connection.execute(query.order_by(records.c.source_id).limit(most))
    return [(source_id, contact_id) for source_id, contact_id in rows]


def contacts_unchecked(
    connection: Connection, account: str, number: int, *, after: str, most: int
) -> list[tuple[str, str]]:
    """As `contacts_after`, of those that a verification did not look at yet."""
    query = _contacts(account).where(records.c.source_id > after, _unchecked(number))
    rows = connection.execute(query.order_by(records.c.source_id).limit(most))
    return [(source_id, contact_id) for source_id, contact_id in rows]


def count_unchecked(connection: Connection, account: str, number: int) -> int:
    """Return how many delivered contacts a verification did not look at."""
    query = select(func.count()).select_from(_contacts(account).where(_unchecked(number)).subquery())
    return int(connection.execute(query).scalar_one())


def _unchecked(number: int) -> ColumnElement[bool]:
    return or_(records.c.checked.is_(None), records.c.checked < number)


def _contacts(account: str) -> Select[tuple[str, str]]:
    return select(records.c.source_id, records.c.destination_id).where(
        records.c.account == account, records.c.entity == "contacts", *_THERE
    )
