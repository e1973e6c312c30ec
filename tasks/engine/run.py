"""One run: what its steps share, and what it has learnt of the location; `tasks.engine.opening` opens it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection

from tasks.engine.report import Findings
from tasks.engine.subject import Subject
from tasks.errors import Fatal, NotPlanned
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.quota import Quota
from tasks.identity.directory import Directory
from tasks.identity.location import Location, complete, known, learn
from tasks.identity.needs import Needs
from tasks.ledger import records
from tasks.ledger.database import Database
from tasks.ledger.journal import Journal
from tasks.ledger.lease import Lease, step_aside
from tasks.ledger.records import Record
from tasks.ledger.retention import Terms
from tasks.mapping.rules import Rules
from tasks.options import SyncOptions
from tasks.settings import ENTITIES, Account
from tasks.together import both
from tasks.transport import Transport
from tasks.voipstudio.client import VoipStudio
from tasks.webhook import Webhooks

if TYPE_CHECKING:
    from tasks.engine.plan_items import Foreseen
    from tasks.engine.shape import Bundle

log = logging.getLogger(__name__)


Key = tuple[str, str]
"""A record: entity and source id."""
LAST_SECONDS = 20.0
"""How long requests may still go on, and wait, in a run that was asked to stop."""


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
    silence: float
    """How long, in seconds, no sync may have ended well before the account is called silent."""
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

    @property
    def handed_over(self) -> float:
        """When the location's last owner may have sent at the latest, by the ledger's clock."""
        told = (self.lease.predecessor or {}).get("at", 0.0)
        return max(float(told), self.lease.sent_until or 0.0)

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
        """Ask the run to take no new work, and to be done soon with what is under way."""
        self.stop_reason = reason
        for wire in (self.source_wire, self.destination_wire):
            wire.ending.call(Stopped(reason), within=LAST_SECONDS)

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
        await step_aside(
            self.state,
            self.account.destination.location_id,
            self.lease,
            usage=self.quota.usage,
            about=self.about,
            meanwhile=meanwhile,
            check=self.check,
        )
        self.quota.adopt(self.lease.predecessor or {}, sent_until=self.lease.sent_until)

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
