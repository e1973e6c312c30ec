"""Reading and writing effects: what a tag on a contact starts, from its recording to its end."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

from sqlalchemy import Connection, and_, func, not_, or_, select

from tasks.ledger.records import upsert
from tasks.ledger.tables import effects, records, undone

ENDED = ("left", "gone")
"""States of a contact that, where it is not at the destination, will not be there again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One row of ``effects``; the columns' meanings stand in `tasks.ledger.tables`."""

    account: str
    key: str
    source_id: str
    tag: str
    when: str
    action: str
    target: str
    at: float
    state: str = "pending"
    attempts: int = 0
    next_attempt_at: float | None = None
    tried: int = 0
    reason: str | None = None
    error: str | None = None


class Due(NamedTuple):
    """An effect that is to happen now, and the contact at the destination; None where it is gone for good."""

    effect: Effect
    contact_id: str | None


_COLUMNS = tuple(field.name for field in fields(Effect))


def save(connection: Connection, changed: Iterable[Effect]) -> None:
    """Write effects whole."""
    upsert(connection, effects, ({name: getattr(effect, name) for name in _COLUMNS} for effect in changed))


def due(
    connection: Connection,
    account: str,
    *,
    before: int,
    now: float,
    without: Collection[tuple[str, str]] = (),
    actions: Sequence[str],
    most: int,
) -> list[Due]:
    """Return open effects, the oldest first; one whose contact is not in, so far, waits with it.

    Args:
        connection: the ledger's.
        account: whose.
        before: number of the walk; what was tried in it is left out.
        now: instant at which they must be due.
        without: (action, target) that are left out.
        actions: the kinds that can be done.
        most: so many.
    """
    query = (
        select(*(effects.c[name] for name in _COLUMNS), records.c.destination_id, records.c.state.label("of"))
        .outerjoin(
            records,
            and_(
                records.c.account == effects.c.account,
                records.c.entity == "contacts",
                records.c.source_id == effects.c.source_id,
            ),
        )
        .where(
            effects.c.account == account,
            undone,
            effects.c.action.in_(actions),
            effects.c.tried < before,
            func.coalesce(effects.c.next_attempt_at, 0.0) <= now,
            or_(
                records.c.source_id.is_(None),
                records.c.destination_id.is_not(None),
                records.c.state.in_(ENDED),
            ),
            *(not_(and_(effects.c.action == kind, effects.c.target == target)) for kind, target in without),
        )
        .order_by(effects.c.at, effects.c.key)
        .limit(most)
    )
    return [
        Due(
            Effect(**{name: getattr(row, name) for name in _COLUMNS}),
            None if row.of == "left" else row.destination_id,
        )
        for row in connection.execute(query)
    ]


def open_of(connection: Connection, account: str, source_id: str) -> list[Effect]:
    """Return what a contact's tags started and has not happened for sure, the oldest first."""
    rows = connection.execute(
        select(*(effects.c[name] for name in _COLUMNS))
        .where(effects.c.account == account, effects.c.source_id == source_id, undone)
        .order_by(effects.c.at, effects.c.key)
    )
    return [Effect(**row._mapping) for row in rows]  # noqa: SLF001 - the public name of a row's mapping


def count_open(connection: Connection, account: str) -> list[tuple[str, str, int, str | None]]:
    """Return (action, reason, number, one's error) of what has not happened for sure."""
    reason = func.coalesce(effects.c.reason, effects.c.state)
    rows = connection.execute(
        select(effects.c.action, reason, func.count(), func.max(effects.c.error))
        .where(effects.c.account == account, undone)
        .group_by(effects.c.action, reason)
        .order_by(effects.c.action, reason)
    )
    return [(action, why, number, error) for action, why, number, error in rows]
