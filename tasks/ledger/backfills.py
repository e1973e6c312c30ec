"""What backfills still have to do: the contacts of each, with their dates, and what became of it.

The contacts that are staged are the checkpoint: who is done leaves the list, in a transaction of its own. Who
could not be read at the source stays in it, for the next run of the same backfill.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    delete,
    exists,
    func,
    literal,
    not_,
    select,
    true,
    tuple_,
    update,
)

from tasks.ledger.clock import now
from tasks.ledger.records import blocks, upsert
from tasks.ledger.tables import backfills, records, staged

ESTIMATE = "estimate"
"""The key of what is staged for an estimate alone."""


class Backfill(NamedTuple):
    """How a backfill stands; ``total`` is known once all of its contacts are staged."""

    total: int | None
    begun_by: str | None
    finished_at: float | None


class Rest(NamedTuple):
    """What is left of a backfill: how many contacts, and the oldest and the newest of their dates.

    The date of what has none is 0, older than all others; ``dated`` is the oldest of those.
    """

    number: int
    oldest: float
    newest: float
    dated: float


class Place(NamedTuple):
    """A staged contact's place in the order in which they are done: its date, then its source id."""

    at: float
    source_id: str


def find(connection: Connection, account: str, key: str) -> Backfill | None:
    """Return how a backfill stands, or None where there was never one."""
    row = connection.execute(select(backfills).where(_of(backfills, account, key))).first()
    return None if row is None else Backfill(row.total, row.begun_by, row.finished_at)


def begin(connection: Connection, account: str, key: str, by: str | None) -> None:
    """Enter a backfill, or begin it anew, on somebody's behalf."""
    forget(connection, account, key)
    row = {"account": account, "key": key, "total": None, "begun_by": by, "started_at": now(connection)}
    upsert(connection, backfills, [{**row, "finished_at": None}])


def forget(connection: Connection, account: str, key: str) -> None:
    """Let go of a backfill and of what was staged for it."""
    for table in (staged, backfills):
        connection.execute(delete(table).where(_of(table, account, key)))


def stage(connection: Connection, account: str, key: str, dates: Mapping[str, float]) -> None:
    """Note contacts that are to be done, by source id, with their dates."""
    rows = ({"account": account, "key": key, "source_id": one, "at": at} for one, at in dates.items())
    upsert(connection, staged, rows)


def all_staged(connection: Connection, account: str, key: str) -> int:
    """Note that all contacts are staged, and return how many."""
    total = rest(connection, account, key).number
    connection.execute(update(backfills).where(_of(backfills, account, key)).values(total=total))
    return total


def rest(connection: Connection, account: str, key: str, after: Place | None = None) -> Rest:
    """Return what is left to do, from after a place on."""
    at = staged.c.at
    query = select(func.count(), func.min(at), func.max(at), func.min(at).filter(at != 0.0))
    there = query.where(_of(staged, account, key), _from(after))
    number, oldest, newest, dated = connection.execute(there).one()
    return Rest(int(number), oldest or 0.0, newest or 0.0, dated or 0.0)


def not_in_yet(connection: Connection, account: str, key: str) -> int:
    """Return how many of the contacts that are left are not at the destination, for all that is known."""
    there = exists().where(
        records.c.account == account,
        records.c.entity == "contacts",
        records.c.source_id == staged.c.source_id,
        records.c.destination_id.is_not(None),
    )
    query = select(func.count()).where(_of(staged, account, key), not_(there))
    return int(connection.execute(query).scalar_one())


def sample(connection: Connection, account: str, key: str, number: int) -> list[str]:
    """Return some of the contacts that are left, spread evenly over their dates."""
    left = rest(connection, account, key).number
    ordered = select(staged.c.source_id).where(_of(staged, account, key)).order_by(*_ORDER).limit(1)
    places = sorted({left * one // number for one in range(number)}) if left else []
    return [str(connection.execute(ordered.offset(place)).scalar_one()) for place in places]


def take(
    connection: Connection, account: str, key: str, until: float, most: int, after: Place | None = None
) -> list[Place]:
    """Return the oldest of the contacts that are left, from after a place on, of dates before ``until``."""
    query = select(*_ORDER).where(_of(staged, account, key), _from(after), staged.c.at < until)
    return [Place(*row) for row in connection.execute(query.order_by(*_ORDER).limit(most))]


def done(connection: Connection, account: str, key: str, ids: Collection[str]) -> None:
    """These contacts are done."""
    for block in blocks(ids):
        connection.execute(delete(staged).where(_of(staged, account, key), staged.c.source_id.in_(block)))


def finish(connection: Connection, account: str, key: str) -> None:
    """A backfill is done."""
    over = update(backfills).where(_of(backfills, account, key)).values(finished_at=now(connection))
    connection.execute(over)


_ORDER = (staged.c.at, staged.c.source_id)


def _from(after: Place | None) -> ColumnElement[bool]:
    return true() if after is None else tuple_(*_ORDER) > tuple_(*map(literal, after))


def _of(table: Table, account: str, key: str) -> ColumnElement[bool]:
    return and_(table.c.account == account, table.c.key == key)
