"""What has changed since it was last told: one event a change, and not one a run, for whoever is alerted.

What was told last is a fact of the account. A change and its event are recorded in one transaction, and the
event stays there until Prefect has taken it: one that was cut off is emitted again under the same id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, select

from tasks.engine.effects import Event
from tasks.engine.keyring import DAY, ageing, standings
from tasks.engine.report import Report
from tasks.engine.run import Run
from tasks.ledger import facts
from tasks.ledger.tables import good, leases, runs

STATE, REJECTS, QUOTA, CREDENTIAL, SYNCED = (
    "voipsync.account.state-changed",
    "voipsync.rejects.grew",
    "voipsync.quota.low",
    "voipsync.credential.ageing",
    "voipsync.account.synced",
)
QUOTA_LOW = 0.1
"""The part of the day's requests under which they are called nearly spent."""
REJECTS_PAUSE = 3_600.0
"""How often growing rejects are told, at most."""
KEPT = 20
"""Events that wait for Prefect, at most: who was away so long looks at `voipsync status`."""
_FACT = "told"


@dataclass(frozen=True, slots=True)
class Told:
    """What was told last."""

    status: str = "ok"
    rejected: int = 0
    rejected_at: float = 0.0
    quota_low: bool = False
    aged: Mapping[str, float] = field(default_factory=dict)
    """Service → when its credential's age was told."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How an account stands now."""

    status: str | None
    """Of its standing sync; None where the run was another one, which says nothing of that."""
    why: str
    rejected: int
    quota: tuple[int, int] | None
    """Requests of the day: limit, left."""
    aged: Mapping[str, str]
    """Service → what is to be said of its credential's age."""
    silent: bool
    """Before this run no sync had ended well for long."""
    broke: bool = False
    """The sync before this one failed, and could not record that."""


Change = tuple[str, dict[str, str]]
"""An event's name and payload."""


def compare(told: Told, now: Standing, at: float) -> tuple[list[Change], Told]:
    """Return what is to be told, and what is told then."""
    found, after = list[Change](), told
    before = "failed" if now.broke else "silent" if now.silent and now.status != "failed" else told.status
    if now.status is not None and now.status != before:
        found.append((STATE, {"from": before, "to": now.status, "message": now.why}))
    if now.status is not None:
        after = replace(after, status=now.status)
    if now.rejected > told.rejected and now.status in (None, told.status):
        if at - told.rejected_at >= REJECTS_PAUSE:
            found.append((REJECTS, {"from": str(told.rejected), "to": str(now.rejected)}))
            after = replace(after, rejected=now.rejected, rejected_at=at)
    else:  # fewer, or told as the reason of the change of state
        after = replace(after, rejected=now.rejected)
    if now.quota is not None:
        limit, left = now.quota
        low = left < limit * QUOTA_LOW
        if low and not told.quota_low:
            found.append((QUOTA, {"left": str(left), "limit": str(limit)}))
        after = replace(after, quota_low=low)
    for service, says in now.aged.items():
        if at - told.aged.get(service, 0.0) >= DAY:
            found.append((CREDENTIAL, {"service": service, "message": says}))
            after = replace(after, aged={**after.aged, service: at})
    return found, after


async def note(run: Run, report: Report, *, broke: bool = False) -> list[Event]:
    """Record what changed with this run, and return all events that Prefect has not taken yet.

    Args:
        run: which has ended.
        report: how it ended.
        broke: whether the sync before it failed, as Prefect has it.
    """
    at = run.now()

    def record(connection: Connection) -> list[dict[str, Any]]:
        kept = (facts.get(connection, run.name, _FACT) or ({}, 0.0))[0]
        now = replace(_standing(connection, run, report), broke=broke)
        found, after = compare(Told(**kept.get("told", {})), now, at)
        waiting = [*kept.get("waiting", ()), *({"id": str(uuid4()), "at": at, "is": one} for one in found)]
        facts.put(connection, run.name, _FACT, {"told": asdict(after), "waiting": waiting[-KEPT:]})
        return waiting[-KEPT:]

    location = _location(run.account.destination.location_id)
    events = [
        _event(run.name, location, one["id"], one["at"], *one["is"]) for one in await run.database.do(record)
    ]
    if _stands(run) and report.status != "failed":
        synced = {"status": report.status}
        events.append(_event(run.name, location, str(uuid4()), at, SYNCED, synced))
    return events


def broken(account: str, before: str, why: str, at: float) -> Event:
    """The event of a sync that failed at ``at`` and could not record it: only its account's name is known."""
    change = {"from": before, "to": "failed", "message": why}
    return _event(account, _location("unknown"), str(uuid4()), at, STATE, change)


async def taken(run: Run) -> None:
    """Record that Prefect has them all."""

    def record(connection: Connection) -> None:
        kept = (facts.get(connection, run.name, _FACT) or ({}, 0.0))[0]
        facts.put(connection, run.name, _FACT, {**kept, "waiting": []})

    await run.database.do(record)


def aged(connection: Connection, run: Run) -> dict[str, str]:
    """Return what is to be said of the ages of an account's credentials, by service."""
    every = {one.service: ageing(one, run.now()) for one in standings(connection, run.name, run.account)}
    return {service: f"{one.says}: {one.remedy}" for service, one in every.items() if one}


def _stands(run: Run) -> bool:
    """Whether this is the account's standing sync, which says how the account is."""
    return run.kind == "sync" and not run.full


def _standing(connection: Connection, run: Run, report: Report) -> Standing:
    before: float | None = connection.execute(
        select(runs.c.finished_at)
        .where(runs.c.account == run.name, runs.c.id != run.id, good)
        .order_by(runs.c.started_at.desc())
        .limit(1)
    ).scalar()
    location = run.account.destination.location_id
    usage = connection.execute(select(leases.c.usage).where(leases.c.name == location)).scalar() or {}
    day: Sequence[int] | None = usage.get("day")
    return Standing(
        status=report.status if _stands(run) else None,
        why=report.warnings[0] if report.warnings and report.status != "ok" else f"run {report.run_id}",
        rejected=sum(counts.get("rejected", 0) for counts in report.entities.values()),
        quota=(int(day[0]), int(day[1])) if day else None,
        aged=aged(connection, run),
        silent=before is not None and run.started - before > run.silence,
    )


def _location(identity: str) -> dict[str, str]:
    return {"prefect.resource.id": f"voipsync.location.{identity}", "prefect.resource.role": "location"}


def _event(
    account: str, location: dict[str, str], identity: str, at: float, name: str, payload: Mapping[str, str]
) -> Event:
    return Event(
        id=identity,
        name=name,
        at=datetime.fromtimestamp(at, UTC),
        resource={"prefect.resource.id": f"voipsync.account.{account}", "prefect.resource.name": account},
        location=location,
        payload={"account": account, **payload},
    )
