"""One run: its connections, its ledger, its findings, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection, insert, update

from tasks import logs, telemetry
from tasks.engine.report import Findings
from tasks.engine.signals import stop_on_signals
from tasks.engine.subject import Subject
from tasks.engine.vault import Vault
from tasks.errors import ConfigurationError, Fatal, NotPlanned
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.quota import Quota
from tasks.identity.directory import Directory
from tasks.identity.location import Location, complete, known, learn
from tasks.identity.needs import Needs
from tasks.ledger import facts, migrate, plans, records
from tasks.ledger.clock import ask
from tasks.ledger.database import Database, open_engine
from tasks.ledger.history import History
from tasks.ledger.journal import Journal
from tasks.ledger.lease import Lease, hold, step_aside
from tasks.ledger.records import Record
from tasks.ledger.retention import ROUTES_FROM, Terms
from tasks.ledger.sealing import Sealer
from tasks.ledger.tables import runs
from tasks.mapping.rules import Rules
from tasks.options import SyncOptions
from tasks.settings import ENTITIES, Account, Settings
from tasks.together import both
from tasks.transport import Transport
from tasks.voipstudio.client import VoipStudio
from tasks.webhook import Webhooks

if TYPE_CHECKING:
    from tasks.engine.plan_items import Foreseen
    from tasks.engine.shape import Bundle

log = logging.getLogger(__name__)


LANES = {"sync": 0, "link": 0, "retry": 1, "plan": 1, "apply": 1, "full": 2, "backfill": 2, "verify": 3}
"""Who goes first at a location: the live sync; what takes long steps aside for it between two batches."""


Key = tuple[str, str]
"""A record: entity and source id."""


class Rehearses(Protocol):
    """Takes notes of what a rehearsed run is given to write, and of what it deletes."""

    async def bundles(self, bundles: Sequence[Bundle]) -> None:
        """Note what is about to be written."""

    async def release(self, record: Record) -> None:
        """Note that a record is about to lose its place."""

    async def parting(self, leaving: Sequence[Record]) -> None:
        """Note what is about to be deleted, or tagged for it."""

    async def effect(self, foreseen: Foreseen) -> None:
        """Note what a route would start."""


class Stopped(Fatal):
    """The run was asked to stop; what it did is recorded and the next run continues."""


@dataclass(slots=True)
class Run:
    """Everything the steps of one run share."""

    id: str
    name: str
    kind: str
    account: Account
    options: SyncOptions
    rules: Rules
    state: Database
    """The ledger's database: where leases, runs and plans are kept, also while `database` is a stand-in."""
    terms: Terms
    """How long the ledger keeps what."""
    database: Database
    journal: Journal
    source: VoipStudio
    api: ContactsApi
    quota: Quota
    lease: Lease
    about: dict[str, Any]
    source_wire: Transport
    destination_wire: Transport
    webhooks: Webhooks
    walk: int
    routes_from: float | None
    """When the account's first sync was complete: whom we met before that is history to routes."""
    started: float
    """When it began, by the ledger's clock."""
    findings: Findings = field(default_factory=Findings)
    stop_reason: str | None = None
    undoing: bool = False
    """Whether what a run wrote is taken back: field rules have no say then, and nobody's edit is touched."""
    fires: bool = True
    """Whether routes fire: where they do not, what starts by a live change waits for the next sync."""
    fires_for_history: bool = False
    """Whether routes fire also for whom we met before there was a complete sync, whatever they say of it."""
    looks_up: bool = False
    """Whether a contact is looked up by key before it is created: where the location lets duplicates in, the
    lagging search index does not rule out that a person, or an earlier ledger, has just created it. The first
    sync into a location that we never wrote to does without: two requests a contact would cost too much."""
    source_total: int | None = None
    """How many contacts the source says it has."""
    newcomers: int = 0
    """Contacts of the batch under way that are to be resolved."""
    freed: set[str] = field(default_factory=set)
    """E-mail addresses and phone numbers that a contact of the location has no more."""
    rehearsal: Rehearses | None = None
    """Who takes notes, where nothing is really written (`tasks.engine.rehearsal`)."""
    left_out: dict[Key, str] = field(default_factory=dict)
    """Records that were left as they are, as the plan that is carried out does not foresee more, and why."""
    _location: Location | None = None
    _directory: Directory | None = None
    _learning: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def entities(self) -> tuple[str, ...]:
        """The entities this run writes."""
        return tuple(entity for entity in ENTITIES if not self.options.only or entity in self.options.only)

    @property
    def index_pages(self) -> int:
        """Pages of the location's search index that were read."""
        return self._directory.pages if self._directory else 0

    async def known_location(self) -> Location | None:
        """What is known of the location, by this run or, before it met it, by the ledger."""
        return self._location or await known(self.database, self.name)

    @property
    def full(self) -> bool:
        """Whether everything is looked at again, however unchanged it seems."""
        return self.options.mode == "full"

    @property
    def mode(self) -> str:
        """What reports call it: how a sync is done, or what is done instead of one."""
        return self.options.mode if self.kind == "sync" else self.kind

    @property
    def met_at(self) -> float:
        """Since when a contact that is met first is known: to a run that fires no routes it is history."""
        now = self.now()
        return now if self.fires or self.routes_from is None else min(now, self.routes_from - 1.0)

    def now(self) -> float:
        """The ledger's time, UTC seconds: of all that is stored with a time, or compared with one."""
        return self.state.now()

    async def leave_out(self, subject: Subject, before: Sequence[Record], error: NotPlanned) -> None:
        """Leave records as they were before, for the plan does not foresee what would be done.

        Where part of it was sent already, what is known of that is kept: a later run completes it.
        """
        key = (subject.entity, subject.source_id)
        self.left_out[key] = str(error)
        if subject.sent:
            return

        def restore(connection: Connection) -> None:
            records.forget(connection, self.name, *key)
            records.save(connection, before)

        await self.database.do(restore)

    def stop(self, reason: str) -> None:
        """Ask the run to take no new work."""
        self.stop_reason = reason

    def check(self) -> None:
        """Raise where the run was asked to stop.

        Raises:
            Stopped: no new work is to be taken.
        """
        if self.stop_reason:
            raise Stopped(self.stop_reason)

    async def step_aside(self, meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
        """Between two batches: let a run of a better lane go first, if one waits for the location.

        Args:
            meanwhile: where given, the location is let go whoever waits, until this returns.

        Raises:
            Stopped: the run was asked to stop while it waited.
        """
        if not self.lease.wanted and meanwhile is None:
            return
        if meanwhile is None:
            log.info("stepping aside for a more urgent run")
        usage = await step_aside(
            self.state,
            self.account.destination.location_id,
            self.lease,
            usage=self.quota.usage,
            about=self.about,
            meanwhile=meanwhile,
            check=self.check,
        )
        if usage:
            self.quota.adopt(usage)

    async def directory(self) -> Directory:
        """The location's contacts, brought up to date once a run, on first need."""
        async with self._learning:
            if self._directory is None:
                learnt = await self._learn()
                directory = Directory(self.database, self.name, learnt, freed=self.freed)
                lag = self.account.destination.search_lag_seconds
                refreshing = directory.refresh(
                    self.api, lag=lag, again=self.full, newcomers=await self._newcomers()
                )
                location, known = await both(complete(self.api, self.database, self.name, learnt), refreshing)
                seen = directory.whole and not (known or location.known_before)
                self.looks_up = location.allows_duplicates and not seen
                directory.location = self._location = location
                self._directory = directory
            return self._directory

    async def _newcomers(self) -> int:
        """How many contacts are to be resolved, for all we know: what the source has and we never met."""
        known = await self.database.look(lambda connection: records.count_known(connection, self.name))
        return max(self.newcomers, (self.source_total or 0) - known)

    async def location(self) -> Location:
        """What is known of the location, which holds our custom fields from then on."""
        async with self._learning:
            self._location = await complete(self.api, self.database, self.name, await self._learn())
            return self._location

    async def meet(self) -> None:
        """Learn a location that the ledger does not know yet, or of which the mapping wants something new.

        A mapping that does not fit is refused here, also where there is nothing to write.
        """
        before = await known(self.database, self.name)
        if before is None or before.needs != Needs.of(self.name, self.account).as_json():
            await self.learn()

    async def learn(self) -> Location:
        """What is known of the location, where nothing need be written there; the mapping fits it."""
        async with self._learning:
            return await self._learn()

    async def _learn(self) -> Location:
        if self._location is None:
            needs = Needs.of(self.name, self.account)
            self._location = await learn(
                self.api, self.source, self.database, self.name, needs, again=self.full
            )
            outside = {*self._location.users.values()} - {*self._location.team}
            if outside and self._location.team:
                self.findings.warn(
                    f"{len(outside)} of the users that the mapping names are not in the calendar's team: "
                    "their appointments are written without them"
                )
        return self._location


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
        await database.do(migrate.upgrade)
        run_id = dated(await database.look(ask))
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
            if lease.predecessor or lease.sent_until:  # one that died early has left no usage, and sent
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


UNPLANNED = frozenset({"plan", "apply", "link", "verify"})
"""Kinds of runs that write nothing on their own account, or what was planned."""


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
