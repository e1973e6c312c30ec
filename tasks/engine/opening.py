"""Opens a run: the lease on its location, its connections, its row in the ledger; closes them at the end."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert, update

from tasks import logs, telemetry
from tasks.engine.run import Run
from tasks.engine.signals import stop_on_signals
from tasks.engine.vault import Vault
from tasks.errors import ConfigurationError
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.quota import Quota
from tasks.ledger import facts, migrate, plans, records
from tasks.ledger.clock import ask
from tasks.ledger.database import Database, open_engine
from tasks.ledger.history import History
from tasks.ledger.journal import Journal
from tasks.ledger.lease import Lease, hold
from tasks.ledger.retention import ROUTES_FROM, Terms
from tasks.ledger.sealing import Sealer
from tasks.ledger.tables import runs
from tasks.mapping.rules import Rules
from tasks.options import SyncOptions
from tasks.settings import Settings
from tasks.transport import Transport
from tasks.voipstudio.client import VoipStudio
from tasks.webhook import Webhooks

log = logging.getLogger(__name__)

LANES = {"sync": 0, "link": 0, "retry": 1, "plan": 1, "apply": 1, "full": 2, "backfill": 2, "verify": 3}
"""Who goes first at a location: the live sync; what takes long steps aside for it between two batches."""

UNPLANNED = frozenset({"plan", "apply", "link", "verify"})
"""Kinds of runs that write nothing on their own account, or what was planned."""


@asynccontextmanager
async def open_run(
    name: str, settings: Settings, options: SyncOptions, *, kind: str = "sync"
) -> AsyncIterator[Run]:
    """Open an account's connections and ledger for one run; everything is closed at the end.

    Raises:
        ConfigurationError: unknown account, missing secret, unusable database URL.
        LedgerUnavailable: the state database cannot be used.
    """
    account = settings.account(name)
    telemetry.start()
    async with AsyncExitStack() as closing:
        database = Database(open_engine(settings.state.url, Sealer.of_ledger(settings.state)))
        closing.callback(database.close)
        webhooks = Webhooks(
            account.mapping.routes, where=f"accounts.{name}.mapping.routes", clock=database.now
        )
        closing.push_async_callback(webhooks.close)
        run_id = dated(await database.do(_ready))
        where = f"accounts.{name}.destination.quota"
        quota = Quota(account.destination.quota, where=where, wall=database.now)
        if account.first_run == "plan" and kind not in UNPLANNED:
            await database.look(lambda connection: _check_first(connection, name))
        vault = Vault(name, settings, database)
        source, destination = await asyncio.to_thread(lambda: (vault.source(), vault.destination()))
        async with hold(
            database,
            account.destination.location_id,
            run_id,
            wait=options.wait_seconds,
            usage=lambda: quota.usage(ahead=quota.limit),
            tell=log.warning,
            about=(about := {"run": run_id, "account": name, "kind": kind, "mode": options.mode}),
            lane=LANES["full" if (kind, options.mode) == ("sync", "full") else kind],
        ) as lease:
            # one that died early has left no usage, and sent
            quota.adopt(lease.predecessor or {}, sent_until=lease.sent_until)
            source_wire = Transport(
                "VoIPstudio", account.source.base_url, source, connections=account.source.concurrency + 1
            )
            destination_wire = Transport(
                "HighLevel",
                account.destination.base_url,
                destination,
                pacer=LeasedQuota(quota, lease),
                connections=account.destination.concurrency,
            )
            try:
                run = Run(
                    id=run_id,
                    name=name,
                    kind=kind,
                    account=account,
                    options=options,
                    rules=Rules.of(name, account),
                    state=database,
                    terms=(terms := Terms.of(settings.state)),
                    database=database,
                    journal=Journal(database, History(name, run_id, terms.history_days)),
                    source=VoipStudio(source_wire, account=name),
                    api=ContactsApi(
                        destination_wire,
                        location_id=account.destination.location_id,
                        version=account.destination.api_version,
                    ),
                    quota=quota,
                    lease=lease,
                    about=about,
                    source_wire=source_wire,
                    destination_wire=destination_wire,
                    webhooks=webhooks,
                    walk=await database.do(lambda connection: _begin_walk(connection, name)),
                    routes_from=await database.look(lambda connection: _routes_from(connection, name)),
                    started=database.now(),
                    silence=60.0 * settings.state.silence_minutes,
                )
                await database.do(lambda connection: _begin(connection, run))
                about_it = {"run": run_id, "account": name}
                with (
                    stop_on_signals(run.stop),
                    logs.about(**about_it),
                    telemetry.span(f"run {kind}", kind=kind, **about_it),
                ):
                    yield run
            finally:
                await source_wire.close()
                await destination_wire.close()


def _ready(connection: Connection) -> float:
    """Bring the ledger to the current schema; return its time."""
    migrate.upgrade(connection)
    return ask(connection)


def dated(at: float) -> str:
    """Make an id of a run or plan that says when it was made, in UTC: they sort in that order."""
    return f"{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


@dataclass(frozen=True, slots=True)
class LeasedQuota:
    """The pacer of a location whose lease we hold: nothing leaves without it."""

    quota: Quota
    lease: Lease

    async def permit(self) -> int:
        """Wait for the quota; raise where the lease was lost meanwhile."""
        number = await self.quota.permit()
        self.lease.check()
        return number

    def observe(self, permit: int, status: int, headers: Mapping[str, str]) -> None:
        """Hand an answer on to the quota."""
        self.quota.observe(permit, status, headers)


def _check_first(connection: Connection, account: str) -> None:
    """Refuse to write before the account's first plan was applied, where it is configured so."""
    if not records.any_delivered(connection, account) and not plans.any_applied(connection, account):
        raise ConfigurationError(
            f'accounts.{account}.first_run is "plan": look at `voipsync plan {account}`, and '
            f"`voipsync apply {account} PLAN` it; from then on it is synced"
        )


def _begin_walk(connection: Connection, account: str) -> int:
    known = facts.get(connection, account, "walk")
    number = (known[0] if known else 0) + 1
    facts.put(connection, account, "walk", number)
    return int(number)


def _routes_from(connection: Connection, account: str) -> float | None:
    known = facts.get(connection, account, ROUTES_FROM)
    return known[1] if known else None


def _begin(connection: Connection, run: Run) -> None:
    """Enter the run; one that is still called running is dead, for we hold the lease."""
    dead = update(runs).where(runs.c.account == run.name, runs.c.status == "running")
    connection.execute(dead.values(status="failed", finished_at=run.started))
    row: dict[str, Any] = {
        "id": run.id,
        "account": run.name,
        "kind": run.kind,
        "mode": run.mode,
        "status": "running",
        "started_at": run.started,
        "owner": f"{socket.gethostname()}:{os.getpid()}",
    }
    connection.execute(insert(runs), row)
