"""Records that the source no longer shows: which they are, and what becomes of those that hang on them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, delete, exists, func, not_, select, update

from tasks.ledger.records import blocks
from tasks.ledger.tables import directory, records, unsettled

SETTLED = ("left", "gone")
"""States of records of which nothing is to be deleted any more."""


def delivered(connection: Connection, account: str, entity: str) -> int:
    """Return how many records of an entity are at the destination."""
    rows = connection.execute(select(func.count()).where(_of(account, entity), _there()))
    return int(rows.scalar_one())


def contacts(connection: Connection, account: str, walk: int) -> list[str]:
    """Return the destination contacts of ours that no source contact was linked to since before ``walk``.

    Ours: one of the source contacts linked to it created it. None of them may have been met in that walk or
    later, or have anything open; nor may another account be linked to it.
    """
    of_contacts = _of(account, "contacts")
    unseen = select(records.c.destination_id).where(of_contacts, _there(), records.c.seen < walk)
    if connection.execute(unseen.limit(1)).first() is None:
        return []
    rows = connection.execute(
        select(records.c.destination_id)
        .where(of_contacts, records.c.destination_id.in_(unseen))
        .group_by(records.c.destination_id)
        .having(
            func.max(records.c.seen) < walk,
            func.count(records.c.intent) == 0,
            func.sum(case((records.c.origin == "created", 1), else_=0)) > 0,
        )
        .order_by(records.c.destination_id)
    )
    found = [row.destination_id for row in rows]
    shared = set[str]()
    for block in blocks(found):
        elsewhere = select(records.c.destination_id).where(
            records.c.account != account,
            records.c.entity == "contacts",
            records.c.destination_id.in_(block),
            _there(),
        )
        shared.update(row.destination_id for row in connection.execute(elsewhere))
    return [contact_id for contact_id in found if contact_id not in shared]


def met(connection: Connection, account: str, walk: int) -> str | None:
    """Return a delivered contact that a walk met, if it met any."""
    query = select(records.c.source_id).where(_of(account, "contacts"), _there(), records.c.seen == walk)
    found: str | None = connection.execute(query.limit(1)).scalar()
    return found


def activities(connection: Connection, account: str, entity: str, walk: int) -> list[str]:
    """Return the delivered activities that a walk missed, of contacts that are at the destination."""
    parents = select(records.c.source_id).where(_of(account, "contacts"), _there())
    rows = connection.execute(
        select(records.c.source_id)
        .where(
            _of(account, entity),
            _there(),
            records.c.intent.is_(None),
            records.c.missing == walk,
            records.c.parent_id.in_(parents),
        )
        .order_by(records.c.source_id)
    )
    return [row.source_id for row in rows]


def note_lists(
    connection: Connection,
    account: str,
    entity: str,
    parents: Collection[str],
    shown: Collection[str],
    walk: int | None,
    *,
    besides: Collection[str],
) -> int:
    """Hold the records of contacts whose lists were read whole against what the lists showed.

    Args:
        connection: to the ledger.
        account: whose.
        entity: of the lists.
        parents: the contacts whose list was read whole.
        shown: ids of what the lists showed.
        walk: of this run; None: nothing is noted as missing.
        besides: ends of source ids that are in no list.

    Returns:
        How many delivered records are missing.
    """
    known: list[Row[Any]] = []
    for block in blocks(parents):
        known += connection.execute(_NOTED.where(_of(account, entity), records.c.parent_id.in_(block)))
    judged = (
        (row, row.source_id in shown) for row in known if row.source_id.rpartition("/")[2] not in besides
    )
    return _note(connection, account, entity, judged, walk)


def known_of(connection: Connection, account: str, entity: str, ids: Collection[str]) -> set[str]:
    """Return which of these records are known and not settled."""
    found: set[str] = set()
    for block in blocks(ids):
        query = _NOTED.where(_of(account, entity), records.c.source_id.in_(block))
        found.update(row.source_id for row in connection.execute(query))
    return found


def note_ids(
    connection: Connection, account: str, entity: str, shown: Mapping[str, bool], walk: int | None
) -> int:
    """As `note_lists`, for records of an entity by their ids."""
    known: list[Row[Any]] = []
    for block in blocks(shown):
        known += connection.execute(_NOTED.where(_of(account, entity), records.c.source_id.in_(block)))
    return _note(connection, account, entity, ((row, shown[row.source_id]) for row in known), walk)


def bury(connection: Connection, account: str, contact_id: str, parents: Collection[str]) -> None:
    """After a contact was deleted: so were its activities, and the location no longer holds it."""
    connection.execute(
        delete(directory).where(directory.c.account == account, directory.c.contact_id == contact_id)
    )
    for block in blocks(parents):
        below = and_(
            records.c.account == account,
            records.c.entity != "contacts",
            records.c.parent_id.in_(block),
            records.c.state.not_in(SETTLED),
        )
        undelivered = and_(records.c.destination_id.is_(None), records.c.intent.is_(None))
        connection.execute(delete(records).where(below, undelivered))
        connection.execute(
            update(records)
            .where(below)
            .values(
                state="gone",
                reason="deleted",
                destination_id=None,
                fingerprint=None,
                content=None,
                withheld=None,
                withheld_email=None,
                content_hash=None,
                intent=None,
                error=None,
                status=None,
                payload=None,
                attempts=0,
                next_attempt_at=None,
                missing=None,
            )
        )


def settle(connection: Connection, account: str, walk: int) -> None:
    """Let go of what is refused or waits of contacts that no walk met from ``walk`` on.

    What was never delivered is forgotten; the rest stays as it is, and is looked at should it return.
    """
    contact_id = case((records.c.entity == "contacts", records.c.source_id), else_=records.c.parent_id)
    theirs = records.alias()
    met = exists().where(
        theirs.c.account == account,
        theirs.c.entity == "contacts",
        theirs.c.source_id == contact_id,
        theirs.c.seen >= walk,
    )
    stuck = and_(
        records.c.account == account,
        records.c.state.in_(("rejected", "waiting")),
        unsettled,
        records.c.intent.is_(None),
        not_(met),
    )
    connection.execute(delete(records).where(stuck, records.c.destination_id.is_(None)))
    calm = {"reason": None, "error": None, "status": None, "payload": None, "next_attempt_at": None}
    connection.execute(update(records).where(stuck).values(state="synced", fingerprint=None, **calm))


_NOTED = select(
    records.c.source_id,
    records.c.missing,
    records.c.destination_id.is_not(None).label("there"),
    records.c.intent.is_not(None).label("open"),
).where(records.c.state.not_in(SETTLED))


def _note(
    connection: Connection,
    account: str,
    entity: str,
    judged: Iterable[tuple[Row[Any], bool]],
    walk: int | None,
) -> int:
    """Note what is missing or back again; what was never delivered and is no longer there is forgotten."""
    missing, back, over = [], [], []
    for row, shown in judged:
        if shown:
            back += [row.source_id] if row.missing is not None else []
        elif row.there:
            missing.append(row.source_id)
        elif not row.open:
            over.append(row.source_id)
    for ids, value in ((missing if walk is not None else [], walk), (back, None)):
        for block in blocks(ids):
            chosen = update(records).where(_of(account, entity), records.c.source_id.in_(block))
            connection.execute(chosen.values(missing=value))
    for block in blocks(over):
        connection.execute(delete(records).where(_of(account, entity), records.c.source_id.in_(block)))
    return 0 if walk is None else len(missing)


def _of(account: str, entity: str) -> ColumnElement[bool]:
    return and_(records.c.account == account, records.c.entity == entity)


def _there() -> ColumnElement[bool]:
    return and_(records.c.destination_id.is_not(None), records.c.state.not_in(SETTLED))
