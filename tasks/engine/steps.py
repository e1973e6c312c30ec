"""The steps of a sync, each a method: the machine that flows turn, and tests without Prefect."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from tasks.engine.batch import Batch
from tasks.engine.conclude import conclude
from tasks.engine.effects import Effects, Emitter
from tasks.engine.opening import open_run
from tasks.engine.parting import Parting
from tasks.engine.read import Reader
from tasks.engine.report import Report
from tasks.engine.run import Run
from tasks.engine.settle import settle
from tasks.engine.shape import Work, bundles
from tasks.engine.write import Writer
from tasks.errors import ApiError, Fatal, VoipsyncError
from tasks.ledger import facts
from tasks.ledger.retention import ROUTES_FROM
from tasks.options import SyncOptions
from tasks.settings import Settings, load
from tasks.telemetry import traced
from tasks.together import together

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, and what of.

    Attributes:
        read: looked at so far.
        total: how many there are, as far as is known.
        done: settled so far.
        refused: of those, how many the destination refused.
        quota_left: requests left of the location's day.
        what: is counted.
    """

    read: int = 0
    total: int | None = None
    done: int = 0
    refused: int = 0
    quota_left: int | None = None
    what: str = "contacts"


Watcher = Callable[[Progress], None]
watching: ContextVar[Watcher | None] = ContextVar("watching", default=None)
"""Who is told of a run's progress: the command line sets it around a flow."""


class Tally(Protocol):
    """How far a feed is.

    Attributes:
        rows: contacts handed out so far.
        total: contacts that there are, as far as is known.
    """

    rows: int
    total: int | None

    @property
    def complete(self) -> bool:
        """Whether every contact of the source was seen."""


class Feed(Protocol):
    """What hands a run its batches: a walk over the whole source, or single contacts that were chosen."""

    @property
    def walk(self) -> Tally:
        """How far it is."""

    async def next(self) -> Batch | None:
        """Return the next batch, possibly empty of changes; None after the last."""

    async def written(self, read: frozenset[str]) -> None:
        """Note that what was read of these contacts' activities is written, or kept for a later run."""

    async def mirror(self) -> None:
        """Delete what vanished, where this saw all that there is."""


class Steps:
    """One sync, step by step: prepare, then read, map and write batch after batch, then finish.

    A plain class, as `Batch` and `Work` are: Prefect looks through dataclasses that are handed to a task,
    field by field, and this one leads to everything.

    Attributes:
        done: contacts brought to the destination.
        error: what ended the run early, if anything did.
        expected: how many contacts are to be brought there, where that is known from the beginning.
        met: whether the location was looked at; where contacts were chosen, there need not be any.
        shown: where the shell shows the progress, if it does.
        walks: whether the whole source is walked over, one batch ahead of what is written.
    """

    def __init__(self, run: Run, feed: Feed | None = None) -> None:
        self.run = run
        self.reader = feed or Reader(run)
        self.writer = Writer(run)
        self.effects = Effects(run)
        self.done = 0
        self.expected: int | None = None
        self.error: VoipsyncError | None = None
        self.shown: object = None
        self.walks = isinstance(self.reader, Reader)
        # where others may still come, some wait for them
        self.met = self.writer.resolver.at_end = not self.walks

    @traced
    async def prepare(self) -> int:
        """Establish the truth about what an earlier run left unknown."""
        await Parting(self.run).settle()
        return await self.settle()

    async def settle(self) -> int:
        """Establish the truth about writes whose outcome is not recorded; return how many there were."""
        return await settle(self.run, self.writer)

    @traced
    async def read(self) -> Batch | None:
        """Read on until there is a batch of changes; None at the end. The location is met meanwhile."""
        if self.met:
            return await self.reader.next()
        self.met = True
        batch, _ = await together([self.reader.next(), self.run.meet()])
        return batch

    @traced
    async def map(self, batch: Batch) -> Work:
        """What the destination should hold; the mapping is checked against the location before that."""
        location = await self.run.learn()
        return Work(bundles(batch, self.run.rules.at(location.users, location.kinds)), batch.read)

    @traced
    async def write(self, work: Work) -> int:
        """Bring it there, after those in more of a hurry where it was read ahead."""
        if self.walks:
            await self.run.step_aside()
        self.run.source_total = self.reader.walk.total
        if self.run.rehearsal:
            await self.run.rehearsal.bundles(work.bundles)
        await self.writer.load(work.bundles, advance=self.advance)
        await self.reader.written(work.read - {one.contact_id for one in self.writer.resolver.put_off})
        await self.effects.perform()
        how = self.progress
        log.info("%s contacts done, %s of %s read", how.done, how.read, how.total or "?")
        return len(work.bundles)

    @traced
    async def finish(self) -> int:
        """Delete what vanished, establish the truth about what is unknown, do what routes have open."""
        await self.writer.finish(advance=self.advance)
        await self.reader.mirror()
        await self.writer.give_back()
        settled = await self.settle()
        await self._end_history()
        await self.effects.perform()
        return settled

    async def _end_history(self) -> None:
        """Where this was the account's first complete sync: what is met from now on is new to routes."""
        run = self.run
        if self.ends_history:
            await run.database.do(lambda connection: facts.put(connection, run.name, ROUTES_FROM, run.walk))

    @property
    def ends_history(self) -> bool:
        """Whether this is the account's first complete sync."""
        walked = self.reader.walk.complete and "contacts" in self.run.entities
        return self.run.routes_from is None and walked

    @property
    def progress(self) -> Progress:
        """How far the run is."""
        refused, left = self.run.findings.refused, self.run.quota.day_left
        if self.expected is not None:
            return Progress(self.done, self.expected, self.done, refused, left)
        return Progress(self.reader.walk.rows, self.reader.walk.total, self.done, refused, left)

    @traced
    async def conclude(self) -> Report:
        """Keep the run's report."""
        report = await conclude(self.run, self.error)
        log.info("run %s of %s: %s", report.run_id, report.account, report.status)
        return report

    def advance(self, number: int) -> None:
        """Note that so many more contacts are there, and tell whoever watches."""
        self.done += number
        if watch := watching.get():
            watch(self.progress)


@asynccontextmanager
async def open_steps(
    account: str,
    options: SyncOptions,
    settings: Settings | None = None,
    *,
    kind: str = "sync",
    feed: Callable[[Run], Feed] = Reader,
) -> AsyncIterator[Steps]:
    """Open a run of an account; whatever goes wrong inside, the ledger records that it ended."""
    async with open_run(account, settings or load(), options, kind=kind) as run:
        steps = Steps(run, feed(run))
        try:
            yield steps
        except BaseException as error:
            await asyncio.shield(conclude(run, error))
            raise


async def turn(steps: Steps) -> None:
    """Do a whole sync, batch after batch, without Prefect; reading is one batch ahead of writing."""
    await steps.prepare()
    ahead = asyncio.create_task(steps.read())
    try:
        while (batch := await ahead) is not None:
            ahead = asyncio.create_task(steps.read())
            if len(batch):
                await steps.write(await steps.map(batch))
    finally:
        ahead.cancel()
        await asyncio.wait([ahead])
    await steps.finish()


async def sync_once(
    account: str,
    options: SyncOptions,
    settings: Settings | None = None,
    *,
    emit: Emitter | None = None,
    end: Callable[[Steps], Awaitable[Report]] = Steps.conclude,
) -> Report:
    """Run one sync of an account, all steps one after the other, tell of it and return its report."""
    async with open_steps(account, options, settings) as steps:
        steps.effects.emit = emit
        try:
            await turn(steps)
        except (Fatal, ApiError) as error:
            steps.error = error
        return await end(steps)
