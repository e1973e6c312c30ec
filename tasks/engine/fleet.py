"""A fleet of accounts: whose turn it is, and which of them share a flow run.

What every account's last syncs were stands in the ledger; nobody is asked. The longest unsynced goes first;
an account that fails holds up nobody: it had its turn, and stands in line again.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import ColumnElement, Connection, ScalarSelect, String, column, select, values

from tasks.ledger.records import blocks
from tasks.ledger.tables import runs

START_SECONDS = 8.0
"""CPU and waiting that a flow run costs before it does anything: a process, Prefect's import, its states."""
START_SHARE = 0.1
"""The part of a flow run that its start may be."""
UNKNOWN_SECONDS = 30.0
"""What a sync is expected to take that never ended."""
AT_ONCE = 4
"""Accounts of one flow run that are synced at the same time, where nothing else is said."""
MOST_TOGETHER = 100
"""Accounts in one flow run, at most: each is a task run, of which Prefect's server keeps track of 200."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How an account's syncs went.

    Attributes:
        account: its name.
        tried_at: when the last sync was started, UTC seconds; None: never.
        synced_at: when the last one that was ok or degraded ended.
        seconds: how long that one took.
        status: how the last one ended, or ``running``; empty: there was none.
    """

    account: str
    tried_at: float | None = None
    synced_at: float | None = None
    seconds: float = UNKNOWN_SECONDS
    status: str = ""


def standings(connection: Connection, names: Collection[str]) -> list[Standing]:
    """How these accounts stand: a few index look-ups each, however long their history is."""
    found: dict[str, Standing] = {}
    good = ("ok", "degraded")
    for block in blocks(names):
        listed = values(column("name", String), name="names").data([(name,) for name in block]).cte()
        query = select(
            listed.c.name,
            _last(runs.c.started_at, listed.c.name).label("tried_at"),
            _last(runs.c.status, listed.c.name).label("status"),
            _last(runs.c.finished_at, listed.c.name, *good).label("synced_at"),
            _last(runs.c.finished_at - runs.c.started_at, listed.c.name, *good).label("seconds"),
        )
        for row in connection.execute(query):
            seconds = UNKNOWN_SECONDS if row.seconds is None else row.seconds
            found[row.name] = Standing(row.name, row.tried_at, row.synced_at, seconds, row.status or "")
    return list(found.values())


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


def due(found: Iterable[Standing], *, busy: Collection[str], every: float) -> list[Standing]:
    """Those whose turn it is, the longest unsynced first.

    Args:
        found: how the accounts stand.
        busy: accounts that a flow run is under way or waits for.
        every: seconds after which an account is to be synced again.
    """
    now = time.time()
    ready = [
        one
        for one in found
        if one.account not in busy and (one.tried_at is None or one.tried_at <= now - every)
    ]
    return sorted(ready, key=lambda one: (one.tried_at or 0.0, one.synced_at or 0.0, one.account))


def shards(ordered: Iterable[Standing], at_once: int = AT_ONCE) -> Iterator[tuple[str, ...]]:
    """Which accounts share a flow run, in their order: as many as make its start a small part of it.

    One that takes long enough by itself has a flow run of its own. Of those that share one, ``at_once`` are
    synced at the same time, so that it lasts so much shorter.
    """
    enough = START_SECONDS * (1 / START_SHARE - 1)
    together: list[str] = []
    takes = 0.0
    for one in ordered:
        if one.seconds >= enough:
            yield (one.account,)
            continue
        together.append(one.account)
        takes += one.seconds
        if takes >= enough * at_once or len(together) == MOST_TOGETHER:
            yield tuple(together)
            together, takes = [], 0.0
    if together:
        yield tuple(together)


def table(found: Sequence[Standing], most: int) -> list[dict[str, Any]]:
    """Rows for people, those in most need of attention first: failed ones, then the longest unsynced."""
    now = time.time()
    ordered = sorted(found, key=lambda one: (one.status != "failed", one.synced_at or 0.0, one.account))
    return [
        {
            "account": one.account,
            "last sync": one.status or "never",
            "minutes since one was good": None
            if one.synced_at is None
            else round((now - one.synced_at) / 60),
            "seconds it took": None if one.synced_at is None else round(one.seconds, 1),
        }
        for one in ordered[:most]
    ]


def _last(wanted: ColumnElement[Any], name: ColumnElement[str], *statuses: str) -> ScalarSelect[Any]:
    """A value of an account's last sync, of those that ended so."""
    query = select(wanted).where(runs.c.account == name, runs.c.kind == "sync")
    if statuses:
        query = query.where(runs.c.status.in_(statuses))
    return query.order_by(runs.c.started_at.desc()).limit(1).scalar_subquery()
