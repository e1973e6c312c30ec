"""What the ledger lets go of once it is old, a small batch at a time.

Each batch is a transaction of its own that takes a moment; there is no order to keep and nothing to remember
between two of them, so whatever ends a purge, the next one goes on. None needs a location's lease: a row goes
only where no run can have a use for it any more, and that is asked again as it goes.

==============  ====================================================================================
kind            goes
==============  ====================================================================================
writes          journal rows older than ``history_days``
runs            older than ``runs_days``, but for an account's last few and its last good sync
plan_items      of plans that were dropped (`tasks.ledger.plans.drop_old`)
plans           those, once they have no items
staged          contacts of a backfill's estimate that was killed, after a day
backfills       finished ones, and such estimates, older than ``runs_days``
deviations      of a verification older than ``runs_days``
effects         done or dropped ones older than ``history_days``
tombstones      records of what was deleted at both sides, once the journal tells nothing of them any more
==============  ====================================================================================

What stays, however old: a record with a place at the destination, with an intent, left as a person decided,
or skipped: without it something would be written twice, or again. So do tombstones where no journal is kept,
as nobody knows how old they are, and those of contacts from before the first complete sync: to routes they
are history, and must not be news should they return.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    delete,
    exists,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
)
from sqlalchemy.types import UserDefinedType

from tasks.ledger import facts as known
from tasks.ledger import plans as kept_plans
from tasks.ledger.backfills import ESTIMATE
from tasks.ledger.deviations import COURSE
from tasks.ledger.tables import (
    backfills,
    credentials,
    deviations,
    directory,
    effects,
    facts,
    good,
    history,
    plan_items,
    plans,
    records,
    runs,
    staged,
    unsettled,
)
from tasks.settings import State

BATCH = 2_000
"""Rows that go in one transaction, at most."""
DAY = 86_400.0
LAST_RUNS = 5
"""Runs of an account that stay, however old they are."""
ROUTES_FROM = "routes_from"
"""Fact: learnt when a run first walked the whole source and came to its end."""
EACH_RUN = ("writes", "runs", "plan_items", "plans")
"""What every run lets go of at its end, a batch of each: more than most runs add."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long what is kept, in days; without ``history_days`` there is no journal."""

    history_days: int
    runs_days: int

    @classmethod
    def of(cls, state: State) -> Terms:
        """As they are configured."""
        return cls(state.history_days, state.runs_days)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Whose rows are looked at, when, and on which terms."""

    connection: Connection
    account: str
    now: float
    terms: Terms

    @property
    def journal(self) -> float:
        return self.now - self.terms.history_days * DAY

    @property
    def past(self) -> float:
        return self.now - self.terms.runs_days * DAY


def old(connection: Connection, kind: str, account: str, now: float, terms: Terms, most: int) -> list[Any]:
    """Return where some of an account's rows lie that may go, for `let_go`."""
    table, which = KINDS[kind]
    return _places(connection, table, which(_Asked(connection, account, now, terms)), most)


def let_go(
    connection: Connection,
    kind: str,
    account: str,
    now: float,
    terms: Terms,
    places: Sequence[Any] | None = None,
) -> int:
    """Drop a batch of one kind of an account's rows; return how many they were.

    Args:
        connection: to the ledger.
        kind: one of `KINDS`.
        account: whose.
        now: the instant, UTC seconds.
        terms: how long what is kept.
        places: where they lie; None: look for a batch.
    """
    table, which = KINDS[kind]
    condition = which(_Asked(connection, account, now, terms))
    found = _places(connection, table, condition, BATCH) if places is None else places
    return _drop(connection, table, condition, found)


def count(connection: Connection, kind: str, account: str, now: float, terms: Terms) -> int:
    """Return how many rows of a kind would go; plans that are only about to be dropped count with theirs."""
    table, which = KINDS[kind]
    asked = _Asked(connection, account, now, terms)
    condition = which(asked)
    if table is plans:
        condition = _dropped(asked, soon=True)
    elif table is plan_items:
        condition = plan_items.c.plan_id.in_(select(plans.c.id).where(_dropped(asked, soon=True)))
    elif table is backfills:
        condition = _over(asked)
    return int(connection.execute(select(func.count()).select_from(table).where(condition)).scalar_one())


def accounts(connection: Connection) -> list[str]:
    """Return the accounts that the ledger knows anything of."""
    every = select(facts.c.account).union(select(credentials.c.account))
    return sorted(name for name in connection.execute(every).scalars() if name)


def forget_account(connection: Connection, account: str) -> int:
    """Drop a batch of whatever the ledger knows of an account; return how many rows, 0 when none is left.

    Facts go last, so that the account is known by its name until the end.
    """
    for table, condition in _everything(account):
        if number := _drop(connection, table, condition, _places(connection, table, condition, BATCH)):
            return number
    return 0


def count_account(connection: Connection, account: str) -> dict[str, int]:
    """Return how many rows the ledger has of an account, by table."""
    return {
        table.name: int(
            connection.execute(select(func.count()).select_from(table).where(condition)).scalar_one()
        )
        for table, condition in _everything(account)
    }


def _everything(account: str) -> list[tuple[Table, ColumnElement[bool]]]:
    of_plans = plan_items.c.plan_id.in_(select(plans.c.id).where(plans.c.account == account))
    own = (
        credentials,
        plans,
        history,
        effects,
        deviations,
        staged,
        backfills,
        directory,
        records,
        runs,
        facts,
    )
    return [(plan_items, of_plans), *((table, table.c.account == account) for table in own)]


class _Place(UserDefinedType[Any]):
    """Where a row lies, as the database says it: looked up by keys, each may be compared with every other."""

    cache_ok = True


def _place(connection: Connection) -> ColumnElement[Any]:
    return literal_column("ctid" if connection.dialect.name == "postgresql" else "rowid", _Place())


def _places(connection: Connection, table: Table, which: ColumnElement[bool], most: int) -> list[Any]:
    some = select(_place(connection)).select_from(table).where(which).limit(most)
    return list(connection.execute(some).scalars())


def _drop(connection: Connection, table: Table, which: ColumnElement[bool], places: Sequence[Any]) -> int:
    """Drop rows; the condition is asked again of each, as another may lie there by now."""
    if not places:
        return 0
    return connection.execute(delete(table).where(_place(connection).in_(places), which)).rowcount


def _writes(asked: _Asked) -> ColumnElement[bool]:
    return and_(history.c.account == asked.account, history.c.at < asked.journal)


def _runs(asked: _Asked) -> ColumnElement[bool]:
    mine = select(runs.c.id).where(runs.c.account == asked.account).order_by(runs.c.started_at.desc())
    last_good = mine.where(good).limit(1)
    stay = [
        *asked.connection.execute(mine.limit(LAST_RUNS)).scalars(),
        *asked.connection.execute(last_good).scalars(),
    ]
    return and_(runs.c.account == asked.account, runs.c.started_at < asked.past, runs.c.id.not_in(stay))


def _items(asked: _Asked) -> ColumnElement[bool]:
    return plan_items.c.plan_id.in_(select(plans.c.id).where(_dropped(asked)))


def _plans(asked: _Asked) -> ColumnElement[bool]:
    return and_(_dropped(asked), not_(exists().where(plan_items.c.plan_id == plans.c.id)))


def _dropped(asked: _Asked, *, soon: bool = False) -> ColumnElement[bool]:
    which: ColumnElement[bool] = plans.c.state == kept_plans.DROPPED
    if soon:
        which = or_(which, kept_plans.is_old(asked.connection, asked.account, asked.now))
    return and_(plans.c.account == asked.account, which)


def _staged(asked: _Asked) -> ColumnElement[bool]:
    keys = select(backfills.c.key).where(_over(asked))
    return and_(staged.c.account == asked.account, staged.c.key.in_(keys))


def _backfills(asked: _Asked) -> ColumnElement[bool]:
    left = exists().where(staged.c.account == asked.account, staged.c.key == backfills.c.key)
    return and_(_over(asked), not_(left))


def _over(asked: _Asked) -> ColumnElement[bool]:
    """A backfill that is not gone on with: what is still staged for others is where they go on."""
    killed = and_(backfills.c.key == ESTIMATE, backfills.c.started_at < asked.now - DAY)
    return and_(backfills.c.account == asked.account, or_(backfills.c.finished_at < asked.past, killed))


def _deviations(asked: _Asked) -> ColumnElement[bool]:
    """A verification lets go of the former one's by itself, and notes when it got how far."""
    course = known.get(asked.connection, asked.account, COURSE)
    if course is None or course[1] >= asked.past:
        return false()
    return and_(deviations.c.account == asked.account, deviations.c.number <= course[0]["number"])


def _effects(asked: _Asked) -> ColumnElement[bool]:
    return and_(
        effects.c.account == asked.account,
        effects.c.state.in_(("done", "dropped")),
        effects.c.at < min(asked.journal, asked.now - DAY),
    )


def _tombstones(asked: _Asked) -> ColumnElement[bool]:
    if not asked.terms.history_days:
        return false()
    routes = known.get(asked.connection, asked.account, ROUTES_FROM)
    new = records.c.first_seen_at >= routes[1] if routes else false()
    told = exists().where(
        history.c.account == asked.account,
        history.c.entity == records.c.entity,
        history.c.source_id == records.c.source_id,
        history.c.at >= asked.journal,
    )
    return and_(
        records.c.account == asked.account,
        records.c.state == "gone",
        unsettled,
        records.c.reason == "deleted",
        records.c.destination_id.is_(None),
        records.c.intent.is_(None),
        func.coalesce(records.c.synced_at, records.c.first_seen_at) < asked.journal,
        or_(records.c.entity != "contacts", new),
        not_(told),
    )


KINDS: dict[str, tuple[Table, Callable[[_Asked], ColumnElement[bool]]]] = {
    "writes": (history, _writes),
    "runs": (runs, _runs),
    "plan_items": (plan_items, _items),
    "plans": (plans, _plans),
    "staged": (staged, _staged),
    "backfills": (backfills, _backfills),
    "deviations": (deviations, _deviations),
    "effects": (effects, _effects),
    "tombstones": (records, _tombstones),
}
"""What goes, in this order, from which table, and which of its rows."""
