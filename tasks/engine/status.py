"""How an account stands, from the ledger alone: last runs, what is open and why, quota, freshness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, select

from tasks.engine import attention
from tasks.engine.remedies import remedy
from tasks.engine.report import OPEN, sent, written
from tasks.errors import Busy
from tasks.ledger import effects, migrate, records
from tasks.ledger.clock import now
from tasks.ledger.database import opened
from tasks.ledger.lease import described, holder, in_line
from tasks.ledger.retention import LAST_RUNS
from tasks.ledger.sealing import Sealer
from tasks.ledger.tables import good, leases, runs
from tasks.settings import Account, State

_HOUR, _DAY = 3_600.0, 86_400.0


def refuse_if_held(url: str, account: Account) -> None:
    """For those who will not wait for another run on the location.

    Raises:
        Busy: there is one.
    """
    with opened(url) as database:
        if database.now_look(migrate.level) != migrate.HEAD:
            return
        held = database.now_look(lambda connection: holder(connection, account.destination.location_id))
    if held is not None:
        raise Busy(f"the location is held by {described(held)}")


def sync_under_way(state: State, name: str, account: Account) -> str | None:
    """Return the run that syncs the account incrementally, or waits to, if there is one.

    It reads what is new at the source when its turn comes, and what is new after that the next one reads.
    """
    location = account.destination.location_id
    with opened(state.url) as database:
        if database.now_look(migrate.level) != migrate.HEAD:
            return None
        held = database.now_look(lambda connection: holder(connection, location))
        waiting = database.now_look(lambda connection: in_line(connection, location))
    ours = {"account": name, "kind": "sync", "mode": "incremental"}
    for one in ([held] if held else []) + waiting:
        if {key: one.get(key) for key in ours} == ours:
            return str(one.get("run"))
    return None


def standings(state: State, accounts: Mapping[str, Account]) -> list[dict[str, Any]]:
    """Return how each of these accounts stands in the ledger."""
    with opened(state.url, Sealer.of_ledger(state)) as database:
        if database.now_look(migrate.level) != migrate.HEAD:
            database.now_do(migrate.upgrade)
        return [
            database.now_look(partial(status, name=name, account=account))
            for name, account in accounts.items()
        ]


def status(
    connection: Connection, name: str, account: Account, *, day: Sequence[float] | None = None
) -> dict[str, Any]:
    """Return what ``voipsync status --json`` shows of one account.

    Args:
        connection: the ledger's.
        name: the account's.
        account: its configuration.
        day: what is known of the location's day; None: what the last run left of it.
    """
    last = connection.execute(
        select(runs).where(runs.c.account == name).order_by(runs.c.started_at.desc()).limit(LAST_RUNS)
    ).all()
    synced = connection.execute(
        select(runs.c.started_at, runs.c.finished_at)
        .where(runs.c.account == name, good)
        .order_by(runs.c.started_at.desc())
        .limit(1)
    ).first()
    counts = records.count_by_state(connection, name)
    location = account.destination.location_id
    if day is None:
        usage = connection.execute(select(leases.c.usage).where(leases.c.name == location)).scalar() or {}
        day = usage.get("day")
    return {
        "account": name,
        "synced_seconds_ago": None if synced is None else round(now(connection) - synced.finished_at, 1),
        "as_of": None if synced is None else synced.started_at,
        "records": {
            entity: {state: number for (one, state), number in sorted(counts.items()) if one == entity}
            for entity in sorted({entity for entity, _ in counts})
        },
        "open": sum(number for (_, state), number in counts.items() if state in OPEN),
        "open_effects": sum(number for _, _, number, _ in effects.count_open(connection, name)),
        "rejected": [
            {"entity": entity, "reason": reason, "records": number, "remedy": remedy(reason)}
            for entity, reason, number in records.count_rejects(connection, name)
        ],
        "attention": attention.shown(account, attention.cases(connection, name)),
        "quota": None if day is None else _quota(day, now(connection)),
        "requests_by_hour": _requests_by_hour(connection, name),
        "running": (holder(connection, location) or {}).get("run"),
        "runs": [
            {
                "run_id": run.id,
                "kind": run.kind,
                "mode": run.mode,
                "status": run.status,
                "started_at": run.started_at,
                "seconds": None if run.finished_at is None else round(run.finished_at - run.started_at, 3),
                "written": written(run.report or {}),
                "warnings": (run.report or {}).get("warnings", []),
            }
            for run in last
        ],
    }


def _quota(day: Sequence[float], at: float) -> dict[str, Any]:
    """The location's day: all of it is left where the one that is known is over."""
    limit, left, ends = int(day[0]), int(day[1]), day[2]
    over = ends <= at
    return {"day_limit": limit, "day_left": limit if over else left, "day_ends_at": None if over else ends}


def _requests_by_hour(connection: Connection, name: str) -> list[int]:
    """Requests to the destination by hour of the day in UTC, as far as it is over."""
    at = now(connection)
    midnight = at - at % _DAY
    hours = [0] * (int((at - midnight) // _HOUR) + 1)
    of_today = select(runs.c.started_at, runs.c.report).where(
        runs.c.account == name, runs.c.started_at >= midnight, runs.c.report.is_not(None)
    )
    for started_at, report in connection.execute(of_today):
        hours[int((started_at - midnight) // _HOUR)] += sent(report)
    return hours
