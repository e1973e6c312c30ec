"""Brings history: contacts and activities of a range of days, or of chosen contacts, window by window.

The source's contacts are walked over once, and those that may have something of the range are staged in the
ledger with their dates. Then they are read one by one, the oldest first: a window of days at a time, and of a
window so few at a time that a live sync which waits has its turn soon. Who is done is no longer staged: a
backfill that ended in whatever way goes on there, and whatever it had done before is known to the ledger. Who
could not be read stays staged: the backfill is not done before the source gave all of them.

A contact is of the range by when it was created; so is an activity, but for appointments, which are by when
they start. What has no date counts as older than everything. A window takes the contacts that were created
in it, each with all of its activities of the range, so that nobody's lists are read twice; who was created
before the range comes first, for what happened since. Of who was created after it nothing is looked for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from tasks.engine.chosen import ALWAYS, OLDEST, Chosen, Span, date_of
from tasks.engine.estimate import Estimate, estimate, in_words
from tasks.engine.lists import due, source_id
from tasks.engine.merge import digest
from tasks.engine.report import Report
from tasks.engine.run import Run
from tasks.engine.steps import Steps, open_steps
from tasks.errors import ApiError, Fatal
from tasks.ledger import backfills, records
from tasks.ledger.backfills import Place
from tasks.options import BackfillOptions, SyncOptions
from tasks.settings import Settings
from tasks.voipstudio import times
from tasks.voipstudio.client import row_id
from tasks.voipstudio.walk import Walk

log = logging.getLogger(__name__)

DAY = 86_400.0
FIRST, LEAST, MOST = 20, 5, 50
"""Contacts brought at a time: at first, and the bounds; who is in already tells nothing of who is new."""
AIM_SECONDS = 8.0
"""How long that is to take: so long may a live sync have to wait."""
WINDOWS = 150
"""Windows of one backfill, about: Prefect keeps track of no more task runs. Else they are made longer."""

UNREAD = (
    "{} contacts were not given by the source when they were asked for: the backfill is not done, and run "
    "again it asks for these alone; where they are no longer there, --restart looks anew who is"
)

Between = Callable[[], Awaitable[None]]
"""What the shell does between two chunks; it may ask the run to stop."""


async def _nothing() -> None:
    pass


class Backfill:
    """One backfill: survey, then window after window, then the steps' finish.

    Attributes:
        steps: of its run.
        total: contacts it began with, once that is known.
        left: contacts that are left.
        windows: that were begun by this run.
        unread: contacts that the source did not give when they were asked for.
        told: the estimate, once it was made.
        halted: why it goes on another time, where it was asked to.
    """

    def __init__(self, steps: Steps, options: BackfillOptions) -> None:
        assert isinstance(steps.reader, Chosen)  # noqa: S101 - `open_backfill` makes it
        self.steps = steps
        self.run = steps.run
        self.feed = steps.reader
        self.options = options
        self.key = digest([sorted(options.ids), str(options.since), str(options.until), sorted(options.only)])
        self.total = 0
        self.left = 0
        self.windows = 0
        self.unread = 0
        self.told: Estimate | None = None
        self.halted: str | None = None
        self._length = options.window * DAY
        self._size = FIRST
        self._started = time.monotonic()
        self._began_with = 0
        self._after: Place | None = None

    async def survey(self, *, by: str | None = None) -> bool:
        """Stage the contacts, where that was not done before, and estimate; tell whether there is work.

        Args:
            by: on whose behalf: what was begun anew for that already is not begun anew once more.
        """
        known = await self._look(backfills.find)
        restart = self.options.restart and not (known and by and known.begun_by == by)
        if known and known.finished_at is not None and not restart:
            when = f"{datetime.fromtimestamp(known.finished_at, UTC):%Y-%m-%d %H:%M} UTC"
            self.run.findings.warn(f"this backfill was finished at {when}: --restart does it again")
            return False
        anew = known is None or known.total is None or restart
        if anew and self.options.estimate:
            self.key = backfills.ESTIMATE  # what was begun, or done, stays as it is
        if known is None or anew:
            await self._do(partial(backfills.begin, by=by))
            await self._stage()
            self.total = await self._do(backfills.all_staged)
        else:
            self.total = known.total or 0
        rest = await self._look(backfills.rest)
        self.left = self._began_with = rest.number
        self.run.source_total = self.feed.walk.total = self.total
        self.feed.walk.rows = self.total - self.left
        self.steps.advance(self.total - self.left)
        self._length = max(self._length, (rest.newest - rest.dated) / WINDOWS)
        self.told = await estimate(self.run, self.feed, self.key, self._length)
        log.info("%s", self.told)
        self._started = time.monotonic()
        if self.key == backfills.ESTIMATE:
            await self._do(backfills.forget)
        return not self.options.estimate

    async def next(self) -> float | None:
        """Return the end of the next window, or None where all are done, or it was halted."""
        rest = await self._look(partial(backfills.rest, after=self._after))
        self.left = rest.number
        if rest.number and not self.halted:
            self.windows += 1
            return (DAY if rest.oldest == OLDEST else rest.oldest) + self._length
        if self.unread:
            self.run.findings.warn(UNREAD.format(self.unread), degrades=True)
        elif not rest.number:
            await self._do(backfills.finish)
        self.feed.streams.tell()
        return None

    async def fill(self, until: float, between: Between = _nothing) -> int:
        """Bring the contacts of a window, and what of theirs is in the range; return how many.

        Raises:
            Fatal: the run cannot go on, or was asked to stop; what is done is recorded.
        """
        number = 0
        while True:
            await between()
            await self.run.step_aside()
            self.run.check()
            take = partial(backfills.take, until=until, most=self._size, after=self._after)
            places = await self._look(take)
            if self.halted or not places:
                return number
            started = time.monotonic()
            await self._bring([place.source_id for place in places])
            self._after = places[-1]
            number += len(places)
            taken = max(0.001, time.monotonic() - started)
            self._size = max(LEAST, min(MOST, int(len(places) * min(2.0, AIM_SECONDS / taken))))

    def halt(self, why: str) -> None:
        """Go on another time: nothing more is begun, and that is no failure."""
        self.halted = why
        self.run.findings.warn(why)

    @property
    def seconds_left(self) -> float | None:
        """How long it still takes, going by how it went so far; None before anything was done."""
        done = self._began_with - self.left
        return (time.monotonic() - self._started) / done * self.left if done else None

    def markdown(self) -> str:
        """How far it is, for people."""
        done, seconds = self.total - self.left, self.seconds_left
        written = (
            f"{number:,} {entity}"
            for entity, counts in self.run.findings.counts.items()
            if (number := counts["created"] + counts["adopted"] + counts["updated"])
        )
        rows = {
            "contacts looked at": f"{done:,} of {self.total:,}"
            + (f" ({100 * done // self.total} %)" if self.total else ""),
            "written by this run": ", ".join(written) or "nothing yet",
            "not given by the source": f"{self.unread:,}" if self.unread else "",
            "time left": "done" if not self.left else in_words(seconds) if seconds else "not known yet",
            "window": f"{self.windows} of about {self.told.windows}" if self.told else "",
            "requests of the day left": f"{self.run.quota.day_left:,}",
        }
        lines = [f"| {name} | {value} |" for name, value in rows.items() if value]
        told = [f"Expected: {self.told}", ""] if self.told else []
        return "\n".join(
            [*told, "| so far | |", "| --- | --- |", *lines, "", *([self.halted] if self.halted else [])]
        )

    async def _bring(self, ids: Sequence[str]) -> None:
        before, batch = self.steps.done, await self.feed.read(ids)
        self.feed.walk.rows += len(ids)
        if len(batch):
            await self.steps.write(await self.steps.map(batch))
        await self._do(partial(backfills.done, ids=[one for one in ids if one not in self.feed.unread]))
        self.unread += len(self.feed.unread)
        self.left -= len(ids)
        self.steps.advance(before + len(ids) - self.steps.done)

    async def _stage(self) -> None:
        """Note whom to look at: page by page, so that memory does not grow with the account."""
        if self.options.ids:
            await self._do(partial(backfills.stage, dates={str(one): OLDEST for one in self.options.ids}))
            return
        walk = Walk(self.run.source, limit=self.run.account.source.page_size)
        async for page in walk:
            await self.run.step_aside()
            self.run.check()
            await self._do(partial(backfills.stage, dates=await self._chosen(page)))
        if not walk.complete:
            self.run.findings.warn(
                "the list of contacts changed while it was read (" + "; ".join(walk.disturbed) + "): who was "
                "missed is found by the next sync"
            )

    async def _chosen(self, page: list[Any]) -> dict[str, float]:
        """Who of a page may have something of the range, with their dates."""
        run, span, salt = self.run, self.feed.span, self.feed.streams.salt
        people = {
            source_id(row, "contacts"): row for row in page if row_id(row, "id", "contactId", "contact_id")
        }
        dates = {one: date_of("contacts", row, run.rules.zone) for one, row in people.items()}
        if self.feed.streams.wanted():
            return {one: at for one, at in dates.items() if span.until is None or at < span.until}
        find = partial(records.outline, account=run.name, entity="contacts", ids=people)
        known, now = await run.database.look(find), run.now()
        return {
            one: at
            for one, at in dates.items()
            if span.holds(at) and due(run, known.get(one), digest([salt, people[one]]), now)
        }

    async def _look(self, work: Callable[..., Any]) -> Any:  # noqa: ANN401 - what the work returns
        return await self.run.database.look(partial(work, account=self.run.name, key=self.key))

    async def _do(self, work: Callable[..., Any]) -> Any:  # noqa: ANN401
        return await self.run.database.do(partial(work, account=self.run.name, key=self.key))


@asynccontextmanager
async def open_backfill(
    account: str, options: BackfillOptions, settings: Settings | None = None
) -> AsyncIterator[Backfill]:
    """Open a run that brings history; whatever goes wrong inside, the ledger records that it ended."""
    how = SyncOptions(only=options.only, wait_seconds=options.wait_seconds)

    def feed(run: Run) -> Chosen:
        run.fires = run.fires_for_history = options.routes
        return Chosen(run, span=_span(options, run))

    async with open_steps(account, how, settings, kind="backfill", feed=feed) as steps:
        yield Backfill(steps, options)


async def backfill_once(
    account: str, options: BackfillOptions, settings: Settings | None = None, between: Between = _nothing
) -> Report:
    """Run a backfill without Prefect and return its report."""
    async with open_backfill(account, options, settings) as work:
        try:
            await work.steps.prepare()
            if await work.survey():
                while (until := await work.next()) is not None:
                    await work.fill(until, between)
                await work.steps.finish()
        except (Fatal, ApiError) as error:
            work.steps.error = error
        return await work.steps.conclude()


def _span(options: BackfillOptions, run: Run) -> Span:
    """The range of days, by the clocks of the source."""
    if options.ids:
        return ALWAYS
    zone, since, until = run.rules.zone, options.since, options.until
    first = times.instant(since.isoformat(), zone) if since else None
    last = times.next_midnight(until.isoformat(), zone) if until and until < date.max else None
    return Span(first.timestamp() if first else None, last.timestamp() if last else None)
