"""Reading and writing plans: computed once, sealed, and kept until they are applied or old."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, insert, select, update

from tasks.ledger.records import any_delivered
from tasks.ledger.tables import plan_items, plans

KEPT_SECONDS = 7 * 86_400.0
_MARGIN = 86_400.0
"""So long, at most, goes on what was begun while the plan was young enough."""
KEPT = 20
"""Plans of an account, the one that is made included."""
BLOCK = 200
"""Items read at a time."""
MAKING, MADE, APPLYING, APPLIED = "making", "made", "applying", "applied"
DROPPED = "dropped"
"""State of a plan that nobody finds any more: its rows go when the ledger is purged."""
OPEN, DONE = "open", "done"
"""States of a plan's items."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One row of ``plans``: what is known of a plan besides its items."""

    id: str
    account: str
    kind: str
    state: str
    created_at: float
    checksum: str
    about: Mapping[str, Any]


def begin(connection: Connection, plan: Plan) -> None:
    """Enter a plan whose items are to follow; what is old, surplus, or was never finished is dropped."""
    mine = plans.c.account == plan.account
    drop_old(connection, plan.account, plan.created_at)
    _drop(connection, mine, plans.c.state == MAKING)
    kept = select(plans.c.id).where(mine, plans.c.state.not_in((APPLYING, DROPPED)))
    surplus = kept.order_by(plans.c.created_at.desc()).offset(KEPT - 1)
    _drop(connection, plans.c.id.in_(list(connection.execute(surplus).scalars())))
    connection.execute(insert(plans), asdict(plan))


def drop_old(connection: Connection, account: str, now: float) -> None:
    """Drop an account's plans that are too old to be applied."""
    _drop(connection, is_old(connection, account, now))


def is_old(connection: Connection, account: str, now: float) -> ColumnElement[bool]:
    """Which plans are too old; that one was applied is remembered until something was delivered."""
    stay = (DROPPED,) if any_delivered(connection, account) else (DROPPED, APPLIED)
    old = plans.c.created_at < now - KEPT_SECONDS - _MARGIN
    return and_(plans.c.account == account, plans.c.state.not_in(stay), old)


def _drop(connection: Connection, *which: ColumnElement[bool]) -> None:
    connection.execute(update(plans).where(*which).values(state=DROPPED))


def add(connection: Connection, plan_id: str, first: int, items: Sequence[tuple[str, Any]]) -> None:
    """Enter (source contact, item), numbered from ``first``."""
    rows = [
        {"plan_id": plan_id, "number": number, "contact_id": contact_id, "state": OPEN, "item": item}
        for number, (contact_id, item) in enumerate(items, first)
    ]
    if rows:
        connection.execute(insert(plan_items), rows)


def finish(connection: Connection, plan: Plan) -> None:
    """The plan is whole."""
    values = {"state": plan.state, "checksum": plan.checksum, "about": plan.about}
    connection.execute(update(plans).where(plans.c.id == plan.id).values(values))


def find(connection: Connection, account: str, beginning: str) -> list[Plan]:
    """Return the whole plans of an account whose id begins so, the newest first."""
    query = select(plans).where(
        plans.c.account == account,
        plans.c.id.startswith(beginning, autoescape=True),
        plans.c.state.not_in((MAKING, DROPPED)),
    )
    return [_plan(row) for row in connection.execute(query.order_by(plans.c.created_at.desc()))]


def get(connection: Connection, plan_id: str) -> Plan | None:
    """Return a plan by its id."""
    row = connection.execute(select(plans).where(plans.c.id == plan_id)).first()
    return None if row is None else _plan(row)


def any_applied(connection: Connection, account: str) -> bool:
    """Tell whether a plan of an account was ever applied, of those that are kept."""
    query = select(plans.c.id).where(plans.c.account == account, plans.c.state == APPLIED)
    return connection.execute(query.limit(1)).first() is not None


def become(connection: Connection, plan_id: str, state: str) -> None:
    """Note how far a plan is."""
    connection.execute(update(plans).where(plans.c.id == plan_id).values(state=state))


def items(
    connection: Connection, plan_id: str, after: int = -1, *, state: str | None = None
) -> list[Row[Any]]:
    """Return the next items of a plan, in order: number, contact_id, state, item."""
    query = select(plan_items).where(plan_items.c.plan_id == plan_id, plan_items.c.number > after)
    if state is not None:
        query = query.where(plan_items.c.state == state)
    return list(connection.execute(query.order_by(plan_items.c.number).limit(BLOCK)))


def walk(connection: Connection, plan_id: str) -> Iterator[Row[Any]]:
    """Return all items of a plan, in order."""
    after = -1
    while block := items(connection, plan_id, after):
        yield from block
        after = block[-1].number


def item_of(connection: Connection, plan_id: str, contact_id: str) -> Any:  # noqa: ANN401 - any JSON
    """Return what a plan does about a source contact; None: nothing."""
    query = select(plan_items.c.item).where(
        plan_items.c.plan_id == plan_id, plan_items.c.contact_id == contact_id
    )
    return connection.execute(query).scalar()


def done(connection: Connection, plan_id: str, numbers: Iterable[int]) -> None:
    """Note that these items were carried out, as far as they could be."""
    chosen = plan_items.c.number.in_(list(numbers))
    connection.execute(update(plan_items).where(plan_items.c.plan_id == plan_id, chosen).values(state=DONE))


def _plan(row: Row[Any]) -> Plan:
    return Plan(**row._mapping)  # noqa: SLF001 - the public name of a row's mapping
