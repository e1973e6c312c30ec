"""One writer per location: a lease in the ledger, by the database's clock.

The owner renews it every two seconds and hands its request usage on with it, so that the next owner goes
on where the last one stopped and the two never exceed the quota together. A lease that was not renewed
for ten seconds is free; one whose owner ran on this machine and is gone is free at once.

Who waits stands in a lane: the better lane goes first, within a lane who came first. An owner learns that a
better lane waits for it, and a long job then steps aside between two pieces of its work.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, or_, select, text, update

from tasks.errors import Busy, Fatal, LedgerUnavailable
from tasks.ledger.clock import ask, boot_clock
from tasks.ledger.database import Database
from tasks.ledger.processes import identity, is_gone
from tasks.ledger.records import upsert
from tasks.ledger.tables import leases, waiters

RENEW_SECONDS = 2.0
EXPIRY_SECONDS = 10.0
POLL_SECONDS = 0.5
GONE_SECONDS = 5.0
"""Not seen for so long, a waiter has given up."""
FAR_SECONDS = 2 * EXPIRY_SECONDS
"""An instant so far ahead was noted by a clock that has been set back since: it says nothing of now."""


class LeaseLost(Fatal):
    """The lease could not be renewed in time: another run may hold the location, so nothing more is sent."""


@dataclass(slots=True)
class Lease:
    """A lease while it is held."""

    owner: str
    lane: int
    predecessor: dict[str, Any] | None
    """The request usage that the last owner left, if any."""
    sent_until: float | None
    """Where its last owner did not give it back: when that may have sent at the latest, by the
    ledger's clock."""
    wanted: bool = False
    """Somebody in a better lane waits for it."""
    _renewed: float = 0.0

    def check(self) -> None:
        """Raise where the lease may be somebody else's by now.

        Raises:
            LeaseLost: it was not renewed in time.
        """
        if boot_clock() - self._renewed > EXPIRY_SECONDS - RENEW_SECONDS:
            raise LeaseLost("the lease on the location could not be renewed in time; the next run continues")

    def renewed(self, asked: float) -> None:
        """Note a renewal that was asked for at ``asked`` on the boot clock."""
        self._renewed = asked

    def lost(self) -> None:
        """Note that it is somebody else's."""
        self._renewed = -math.inf

    def resume(self, again: Lease) -> None:
        """Note that it was taken again, as it was then."""
        self._renewed, self.wanted = again._renewed, False
        self.predecessor, self.sent_until = again.predecessor, again.sent_until


@dataclass(slots=True)
class _Watch:
    """Another's lease, as whoever waits for it sees it."""

    until: float = -math.inf
    since: float = 0.0

    def outlasted(self, until: float) -> bool:
        """Whether it was not renewed for as long as one lasts, by our own clock.

        Then it is free, however far ahead it ends: it was taken before the database's clock was set back.
        """
        at = boot_clock()
        if until != self.until:
            self.until, self.since = until, at
        return at - self.since >= EXPIRY_SECONDS


@asynccontextmanager
async def hold(
    database: Database,
    name: str,
    owner: str,
    *,
    wait: float,
    usage: Callable[[], dict[str, Any]],
    tell: Callable[[str], None],
    about: dict[str, Any],
    lane: int = 0,
) -> AsyncIterator[Lease]:
    """Hold a location's lease.

    Args:
        database: the ledger's.
        name: what is leased.
        owner: who asks, unique.
        wait: seconds to wait for another owner.
        usage: the pacer's usage, handed on to the next owner.
        tell: is told once for whom we wait.
        about: what others are told of us.
        lane: 0 is the best.

    Raises:
        Busy: another run held it for longer than ``wait``.
    """
    try:
        lease = await _acquire(database, name, owner, wait=wait, tell=tell, about=about, lane=lane)
    except asyncio.CancelledError:
        # it may be taken by now; after this, closing the database waits for it to be given back
        await asyncio.shield(_give_back(database, name, owner))
        raise
    renewing = asyncio.create_task(_renew(database, name, lease, usage))
    try:
        yield lease
    finally:
        renewing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await renewing
        await asyncio.shield(_give_back(database, name, owner, usage=usage()))


async def _acquire(
    database: Database,
    name: str,
    owner: str,
    *,
    wait: float,
    tell: Callable[[str], None],
    about: dict[str, Any],
    lane: int,
    check: Callable[[], None] = lambda: None,
) -> Lease:
    until, told, watch = time.monotonic() + wait, False, _Watch()
    while True:
        check()
        asked = boot_clock()
        held = await database.do(lambda connection: _try(connection, name, owner, about, lane, watch))
        if isinstance(held, Lease):
            held.renewed(asked)
            return held
        by = described(held)
        if time.monotonic() >= until:
            await database.do(partial(_leave, name=name, owner=owner))
            raise Busy(f"the location is held by {by}" + (f", for longer than {wait:.0f} s" if wait else ""))
        if not told:
            tell(f"waiting for {by} to finish")
            told = True
        await asyncio.sleep(POLL_SECONDS)


def holder(connection: Connection, name: str) -> dict[str, Any] | None:
    """Return who holds a location's lease now, or None where it is free."""
    row = connection.execute(select(leases).where(leases.c.name == name)).first()
    if row is None or row.owner is None or not _lasts(row, ask(connection)):
        return None
    return dict(row.holder or {})


def in_line(connection: Connection, name: str) -> list[dict[str, Any]]:
    """Return who waits for a location now."""
    there = waiters.c.name == name, _seen(ask(connection))
    return [dict(row.about or {}) for row in connection.execute(select(waiters.c.about).where(*there))]


def holders(connection: Connection) -> list[dict[str, Any]]:
    """Return all who hold a location now."""
    now, held = ask(connection), select(leases).where(leases.c.owner.is_not(None))
    return [dict(row.holder or {}) for row in connection.execute(held) if _lasts(row, now)]


def at_work(connection: Connection) -> list[dict[str, Any]]:
    """Return all who hold a location now or wait for one."""
    there = select(waiters.c.about).where(_seen(ask(connection)))
    return holders(connection) + [dict(row.about or {}) for row in connection.execute(there)]


def described(held: Mapping[str, Any]) -> str:
    """A holder in words."""
    return f"run {held.get('run', '?')} (process {held.get('pid', '?')} on {held.get('host', '?')})"


async def step_aside(
    database: Database,
    name: str,
    lease: Lease,
    *,
    usage: Callable[[], dict[str, Any]],
    about: dict[str, Any],
    meanwhile: Callable[[], Awaitable[None]] | None = None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Let those of better lanes have the lease, and return when it is ours again, with what they left.

    Nothing may be under way while this waits. Whatever ``meanwhile`` or ``check`` raises ends it without the
    lease: the one is awaited before we stand in line again, the other asked again and again in line.
    """
    lease.wanted = True  # that it is not ours meanwhile is meant
    await _give_back(database, name, lease.owner, usage=usage())
    if meanwhile is not None:
        await meanwhile()
    again = await _acquire(
        database,
        name,
        lease.owner,
        wait=math.inf,
        tell=lambda _: None,
        about=about,
        lane=lease.lane,
        check=check,
    )
    lease.resume(again)


def _try(
    connection: Connection,
    name: str,
    owner: str,
    about: dict[str, Any],
    lane: int = 0,
    watch: _Watch | None = None,
) -> Lease | dict[str, Any]:
    """Take the lease if it is free and nobody goes first; else get in line and return who holds it."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": name})
    # locked, so that the last owner cannot renew it between here and the end
    row = connection.execute(select(leases).where(leases.c.name == name).with_for_update()).first()
    now = ask(connection)
    abandoned = row is not None and row.owner not in {None, owner}
    held = (
        row is not None
        and abandoned
        and row.expires_at > now
        and not is_gone(row.holder or {})
        and not (watch and watch.outlasted(row.expires_at))
    )
    before_us = _in_line(connection, name, owner, about, lane, now)
    if row is not None and held:
        return dict(row.holder or {})
    if before_us is not None:
        return {"run": before_us}
    _leave(connection, name=name, owner=owner)
    values = {
        "name": name,
        "owner": owner,
        "holder": {**about, **identity()},
        "expires_at": now + EXPIRY_SECONDS,
        "usage": row.usage if row is not None else None,
    }
    upsert(connection, leases, [values])
    sent_until = min(now, row.expires_at - RENEW_SECONDS) if row is not None and abandoned else None
    return Lease(owner, lane, row.usage if row is not None else None, sent_until)


def _in_line(
    connection: Connection, name: str, owner: str, about: dict[str, Any], lane: int, now: float
) -> str | None:
    """Stand in line, and return who goes before us, if anybody does."""
    mine = waiters.c.name == name, waiters.c.owner == owner
    since = connection.execute(select(waiters.c.since).where(*mine)).scalar()
    place = {
        "name": name,
        "owner": owner,
        "about": about,
        "lane": lane,
        "since": now if since is None else since,
        "seen_at": now,
    }
    upsert(connection, waiters, [place])
    first = connection.execute(
        select(waiters.c.owner)
        .where(waiters.c.name == name, _seen(now))
        .order_by(waiters.c.lane, waiters.c.since, waiters.c.owner)
        .limit(1)
    ).scalar_one()
    return None if first == owner else str(first)


def _leave(connection: Connection, *, name: str, owner: str) -> None:
    """Leave the line, and sweep out those who left without a word."""
    gone = waiters.c.seen_at < ask(connection) - 100 * GONE_SECONDS
    connection.execute(delete(waiters).where(waiters.c.name == name, or_(waiters.c.owner == owner, gone)))


async def _renew(database: Database, name: str, lease: Lease, usage: Callable[[], dict[str, Any]]) -> None:
    """Renew until cancelled; a failure is no more than a renewal missed: the lease's own check decides."""
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        asked, used = boot_clock(), usage()
        with contextlib.suppress(LedgerUnavailable):
            ours, wanted = await database.do(partial(_extend, name=name, lease=lease, usage=used))
            if ours:
                lease.renewed(asked)
                lease.wanted = wanted
            elif not lease.wanted:  # while it steps aside it is not ours, and that is meant
                lease.lost()


def _extend(connection: Connection, name: str, lease: Lease, usage: dict[str, Any]) -> tuple[bool, bool]:
    """Renew a lease; tell whether it is still ours, and whether a better lane waits for it."""
    now = ask(connection)
    extended = (
        update(leases)
        .where(leases.c.name == name, leases.c.owner == lease.owner)
        .values(expires_at=now + EXPIRY_SECONDS, usage=usage)
    )
    better = select(waiters.c.owner).where(waiters.c.name == name, waiters.c.lane < lease.lane, _seen(now))
    ours = connection.execute(extended).rowcount == 1
    return ours, connection.execute(better.limit(1)).first() is not None


async def _give_back(
    database: Database, name: str, owner: str, *, usage: dict[str, Any] | None = None
) -> None:
    """Free the lease, where it is still ours; without a usage that of the last owner stays."""
    values = {"owner": None, "holder": None, "expires_at": 0.0} | ({} if usage is None else {"usage": usage})
    free = update(leases).where(leases.c.name == name, leases.c.owner == owner).values(values)
    with contextlib.suppress(LedgerUnavailable):
        await database.do(lambda connection: connection.execute(free))


def _lasts(row: Row[Any], now: float) -> bool:
    """Whether a lease that somebody took is still theirs, for all that one look tells."""
    return now < row.expires_at <= now + FAR_SECONDS and not is_gone(row.holder or {})


def _seen(now: float) -> ColumnElement[bool]:
    """Whether a waiter is there."""
    return waiters.c.seen_at.between(now - GONE_SECONDS, now + FAR_SECONDS)
