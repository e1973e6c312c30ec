"""How an account stands, from the ledger alone: last runs, what is open and why, quota, freshness."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy import Connection, select

from tasks.engine.report import OPEN
from tasks.errors import Busy
from tasks.ledger import effects, migrate, records
from tasks.ledger.database import opened
from tasks.ledger.lease import described, holder, in_line
from tasks.ledger.sealing import Sealer
from tasks.ledger.tables import leases, runs
from tasks.settings import Account, State

LAST_RUNS = 5


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


def status(connection: Connection, name: str, account: Account) -> dict[str, Any]:
    """Return what ``voipsync status --json`` shows of one account."""
    last = connection.execute(
        select(runs).where(runs.c.account == name).order_by(runs.c.started_at.desc()).limit(LAST_RUNS)
    ).all()
    succeeded = connection.execute(
        select(runs.c.finished_at)
        .where(
            runs.c.account == name,
            runs.c.kind.not_in(("link", "plan")),
            runs.c.status.in_(("ok", "degraded")),
        )
        .order_by(runs.c.finished_at.desc())
        .limit(1)
    ).scalar()
    counts = records.count_by_state(connection, name)
    location = account.destination.location_id
    usage = connection.execute(select(leases.c.usage).where(leases.c.name == location)).scalar() or {}
    return {
        "account": name,
        "synced_seconds_ago": None if succeeded is None else round(time.time() - succeeded, 1),
        "records": {
            entity: {state: number for (one, state), number in sorted(counts.items()) if one == entity}
            for entity in sorted({entity for entity, _ in counts})
        },
        "open": sum(number for (_, state), number in counts.items() if state in OPEN),
        "open_effects": sum(number for _, _, number, _ in effects.count_open(connection, name)),
        "rejected": [
            {"entity": entity, "reason": reason, "records": number}
            for entity, reason, number in records.count_rejects(connection, name)
        ],
        "quota": {"day_limit": usage["day"][0], "day_left": usage["day"][1]} if usage.get("day") else None,
        "running": (holder(connection, location) or {}).get("run"),
        "runs": [
            {
                "run_id": run.id,
                "kind": run.kind,
                "mode": run.mode,
                "status": run.status,
                "started_at": run.started_at,
                "seconds": None if run.finished_at is None else round(run.finished_at - run.started_at, 3),
                "warnings": (run.report or {}).get("warnings", []),
            }
            for run in last
        ],
    }
