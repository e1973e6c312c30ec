"""The journal of writes: what was done about each record, kept in the same transaction as its new state.

A deed says what it changed and nothing else: ``before`` and ``after`` hold the fields concerned, as they
stood at the destination and as they were left; of tags, those taken away and those put there. Rows are
numbered within their run; old ones go by `tasks.ledger.retention`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select, tuple_

from tasks.ledger.clock import now
from tasks.ledger.tables import history, runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What was done about one record; the actions are words of `tasks.engine.deeds`."""

    account: str
    entity: str
    source_id: str
    action: str
    destination_id: str | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    why: str | None = None
    reason: str | None = None
    status: int | None = None
    at: float | None = None
    """When, UTC seconds; None: when it is kept."""


class Told(NamedTuple):
    """A deed as it was kept, and the run that did it; its kind is None where its row is gone."""

    deed: Deed
    run_id: str
    number: int
    kind: str | None
    mode: str | None


@dataclass(slots=True)
class History:
    """Keeps the deeds of one run; with ``days`` 0 none are kept."""

    account: str
    run_id: str
    days: int
    _number: int = 0

    def write(self, connection: Connection, deeds: Iterable[Deed]) -> None:
        """Keep deeds with whatever else this transaction does; where it is repeated, numbers are left out."""
        if not self.days:
            return
        rows, at = [], now(connection)
        for deed in deeds:
            self._number += 1
            row = {name: getattr(deed, name) for name in _COLUMNS}
            rows.append(
                row
                | {"run_id": self.run_id, "number": self._number, "at": at if deed.at is None else deed.at}
            )
        if rows:
            connection.execute(_INSERT, rows)


def of_record(connection: Connection, account: str, entity: str, source_id: str) -> list[Told]:
    """Return what was done about a record, the oldest first."""
    query = _TOLD.where(
        history.c.account == account, history.c.entity == entity, history.c.source_id == source_id
    )
    return _told(connection, query.order_by(history.c.at, history.c.run_id, history.c.number))


def of_run(connection: Connection, account: str, run_id: str) -> list[Told]:
    """Return what a run did, in order."""
    query = _TOLD.where(history.c.account == account, history.c.run_id == run_id)
    return _told(connection, query.order_by(history.c.number))


def runs_like(connection: Connection, account: str, begin: str) -> list[str]:
    """Return the runs that wrote something and whose ids begin so: two of them, at most."""
    query = (
        select(history.c.run_id)
        .where(history.c.account == account, history.c.run_id.startswith(begin, autoescape=True))
        .distinct()
        .order_by(history.c.run_id)
        .limit(2)
    )
    return list(connection.execute(query).scalars())


def since_run(connection: Connection, account: str, run_id: str) -> list[Told]:
    """Return what other runs did, since a run began to write, about the records that it wrote."""
    mine = select(history.c.entity, history.c.source_id).where(
        history.c.account == account, history.c.run_id == run_id
    )
    first = select(func.min(history.c.at)).where(history.c.account == account, history.c.run_id == run_id)
    query = _TOLD.where(
        history.c.account == account,
        history.c.run_id != run_id,
        history.c.at >= first.scalar_subquery(),
        tuple_(history.c.entity, history.c.source_id).in_(mine),
    )
    return _told(connection, query.order_by(history.c.at, history.c.run_id, history.c.number))


def _told(connection: Connection, query: Any) -> list[Told]:  # noqa: ANN401 - SQLAlchemy's statement
    return [
        Told(
            Deed(**{name: getattr(row, name) for name in _COLUMNS}),
            row.run_id,
            row.number,
            row.run_kind,
            row.run_mode,
        )
        for row in connection.execute(query)
    ]


_COLUMNS: Sequence[str] = tuple(Deed.__dataclass_fields__)
_INSERT = insert(history)
_TOLD = select(history, runs.c.kind.label("run_kind"), runs.c.mode.label("run_mode")).outerjoin(
    runs, runs.c.id == history.c.run_id
)
