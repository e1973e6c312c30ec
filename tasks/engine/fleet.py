"""A fleet of accounts: whose turn it is, and which of them share a flow run.

What every account's last syncs were stands in the ledger; nobody is asked. The longest unsynced goes first;
an account that fails holds up nobody: it had its turn, and stands in line again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    ScalarSelect,
    String,
    TextClause,
    column,
    func,
    select,
    values,
)

from tasks.engine.report import OPEN
from tasks.ledger import lease
from tasks.ledger.clock import now
from tasks.ledger.records import blocks
from tasks.ledger.tables import good, runs

START_SECONDS = 4.2
"""Processor seconds that a flow run costs besides what it does: the worker's part and the processes that it
starts, 3.1; Prefect's server, 1.1 (`python -m bench idle`, Prefect 3.8 on two processors)."""
START_SHARE = 0.1
"""The part of a flow run that its start may be."""
ENOUGH_SECONDS = START_SECONDS * (1 / START_SHARE - 1)
"""What one takes that has a flow run of its own."""
UNKNOWN_SECONDS = 30.0
"""What a sync is expected to take that never ended."""
AT_ONCE = 4
"""Accounts of one flow run that are synced at the same time, where nothing else is said."""
BEGIN_SECONDS = 15.0
"""Until a flow run that is due has begun with its accounts: a worker finds it and starts it."""
KEPT = 4
"""One of so many flow runs is kept from accounts that take long."""
DONE = ("created", "updated", "deleted")
"""What the table tells of an account's last sync."""
MOST_TOGETHER = 100
"""Accounts in one flow run, at most: each is a task run, of which Prefect's server keeps track of 200."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How an account's syncs went.

    Attributes:
        account: its name.
        tried_at: when the last sync was started, UTC seconds; None: never.
        synced_at: when the last one that was ok or degraded ended.
        seconds: how long that one took; where there was none, how long the last one took to fail.
        status: how the last one ended, or ``running``; empty: there was none.
        as_of: when that was looked up, by the ledger's clock.
    """

    account: str
    tried_at: float | None = None
    synced_at: float | None = None
    seconds: float = UNKNOWN_SECONDS
    status: str = ""
    as_of: float = 0.0

    @property
    def long(self) -> bool:
        """Whether its next sync takes long, or may."""
        return self.seconds >= ENOUGH_SECONDS or self.seconds == UNKNOWN_SECONDS

    def had_turn(self, within: float) -> bool:
        """Whether its last sync began in these last seconds, and has ended."""
        ended = self.status not in ("", "running")
        return ended and self.tried_at is not None and self.as_of - self.tried_at < within


def standings(connection: Connection, names: Collection[str]) -> list[Standing]:
    """How these accounts stand: a few index look-ups each, however long their history is."""
    found: dict[str, Standing] = {}
    at = now(connection)
    for block in blocks(names):
        listed = values(column("name", String), name="names").data([(name,) for name in block]).cte()
        query = select(
            listed.c.name,
            _last(runs.c.started_at, listed.c.name).label("tried_at"),
            _last(runs.c.status, listed.c.name).label("status"),
            _last(runs.c.finished_at, listed.c.name, good).label("synced_at"),
            func.coalesce(_last(_TOOK, listed.c.name, good), _last(_TOOK, listed.c.name, _ENDED)).label(
                "seconds"
            ),
        )
        for row in connection.execute(query):
            seconds = UNKNOWN_SECONDS if row.seconds is None else row.seconds
            found[row.name] = Standing(row.name, row.tried_at, row.synced_at, seconds, row.status or "", at)
    return list(found.values())


def at_work(connection: Connection) -> set[str]:
    """The accounts that any run works for now, or waits to, on whatever machine."""
    return {str(one["account"]) for one in lease.at_work(connection) if "account" in one}


def chosen(
    accounts: Mapping[str, Sequence[str]], patterns: Sequence[str] = (), tags: Collection[str] = ()
) -> list[str]:
    """The accounts whose name fits one of the patterns, and that have one of the tags; no wish fits all.

    Args:
        accounts: names, each with the account's tags.
        patterns: names, in which ``*`` and ``?`` stand for any text.
        tags: as in ``[accounts.NAME] tags``.
    """
    return [
        name
        for name, its in accounts.items()
        if (not patterns or any(fnmatchcase(name, pattern) for pattern in patterns))
        and (not tags or set(tags) & set(its))
    ]


def due(
    found: Iterable[Standing], *, busy: Collection[str], every: float, late: float = 0.0
) -> list[Standing]:
    """Those whose turn it is, the longest unsynced first.

    Args:
        found: how the accounts stand.
        busy: accounts that a flow run is under way or waits for.
        every: seconds after which an account is to be synced again.
        late: seconds after the fleet that started it that a sync may have begun: it is not to miss the next.
    """
    ready = [
        one
        for one in found
        if one.account not in busy and (one.tried_at is None or one.tried_at <= one.as_of - every + late)
    ]
    return sorted(ready, key=lambda one: (one.tried_at or 0.0, one.synced_at or 0.0, one.account))


def shards(ordered: Iterable[Standing], at_once: int = AT_ONCE) -> list[tuple[str, ...]]:
    """Which accounts share a flow run: as many as make its start a small part of it.

    One that takes long enough by itself has a flow run of its own, and those of whom nothing is known are not
    so many that any waits for another. Of those that share one, ``at_once`` are synced at the same time, so
    that it lasts so much shorter. A flow run stands where the first of its accounts did.
    """
    made: list[list[str]] = []
    filling: dict[int, tuple[list[str], float]] = {}
    for one in ordered:
        most = MOST_TOGETHER if one.seconds != UNKNOWN_SECONDS else at_once
        most = 1 if one.seconds >= ENOUGH_SECONDS else most
        together, takes = filling.pop(most, ([], 0.0))
        if not together:
            made.append(together)
        together.append(one.account)
        takes += one.seconds
        if takes < ENOUGH_SECONDS * at_once and len(together) < most:
            filling[most] = together, takes
    return [tuple(together) for together in made]


def fitting(
    made: Iterable[tuple[str, ...]],
    found: Collection[Standing],
    *,
    under_way: Collection[Collection[str]],
    most: int,
) -> list[tuple[str, ...]]:
    """Those of these flow runs for which there is a place, in their order.

    Where some accounts take a moment, the others never have all places: they may keep them for hours.

    Args:
        made: what accounts are to share a flow run.
        found: how all accounts stand.
        under_way: the accounts of each flow run that did not end yet.
        most: places that there are.
    """
    long = {one.account for one in found if one.long}
    places = most - (most // KEPT if len(long) < len(found) else 0)
    taken = sum(not long.isdisjoint(accounts) for accounts in under_way)
    chosen: list[tuple[str, ...]] = []
    for accounts in made:
        lasts = not long.isdisjoint(accounts)
        if len(under_way) + len(chosen) < most and not (lasts and taken >= places):
            taken += lasts
            chosen.append(accounts)
    return chosen


def neediest(found: Iterable[Standing], most: int) -> list[Standing]:
    """Those in most need of attention: failed ones, then the longest unsynced."""
    return sorted(found, key=lambda one: (one.status != "failed", one.synced_at or 0.0, one.account))[:most]


def last_reports(connection: Connection, names: Collection[str]) -> dict[str, dict[str, Any]]:
    """The report of the last sync of each that came to an end, as ``--json`` prints it."""
    found: dict[str, dict[str, Any]] = {}
    for block in blocks(names):
        listed = values(column("name", String), name="names").data([(name,) for name in block]).cte()
        last = _last(runs.c.report, listed.c.name, _ENDED).label("report")
        query = select(listed.c.name, last)
        found |= {row.name: row.report for row in connection.execute(query) if row.report}
    return found


def table(found: Iterable[Standing], reports: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows for people: how these accounts stand, and what their last syncs did."""
    return [
        {
            "account": one.account,
            "last sync": one.status or "never",
            "minutes since one was good": None
            if one.synced_at is None
            else round((one.as_of - one.synced_at) / 60),
            "seconds it took": None if one.synced_at is None else round(one.seconds, 1),
            **_did(reports.get(one.account)),
        }
        for one in found
    ]


def _did(report: Mapping[str, Any] | None) -> dict[str, int | None]:
    names = (*DONE, "open", "requests")
    if report is None:
        return dict.fromkeys(names)
    counts = report["entities"].values()
    done = {name: sum(one.get(name, 0) for one in counts) for name in (*DONE, *OPEN)}
    asked = sum(report["requests"].get(name, 0) for name in ("destination_reads", "destination_writes"))
    told = {name: done[name] for name in DONE} | {"open": sum(done[name] for name in OPEN)}
    return {**told, "requests": asked}


_TOOK = runs.c.finished_at - runs.c.started_at
_ENDED = runs.c.status.in_(("ok", "degraded", "failed"))


def _last(
    wanted: ColumnElement[Any],
    name: ColumnElement[str],
    which: ColumnElement[bool] | TextClause | None = None,
) -> ScalarSelect[Any]:
    """A value of an account's last sync, of those that ended so."""
    query = select(wanted).where(runs.c.account == name, runs.c.kind == "sync")
    if which is not None:
        query = query.where(which)
    return query.order_by(runs.c.started_at.desc()).limit(1).scalar_subquery()
