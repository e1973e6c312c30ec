"""Verification: compares the destination with what was written there; writes nothing, there or in a record.

A sample is drawn anew by each run. A complete verification is one of several runs, should it be stopped: its
course is kept with what it found, chunk by chunk, and the next run goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection

from tasks.engine.each import each
from tasks.engine.estimate import in_words
from tasks.engine.opening import open_run
from tasks.engine.plan import PlanReport, plan_of
from tasks.engine.repair import items
from tasks.engine.run import Run
from tasks.engine.steps import Progress, Steps, watching
from tasks.engine.verify_activities import Activities
from tasks.engine.verify_contacts import SLICE, Contacts, Found
from tasks.engine.verify_course import Course, kept
from tasks.engine.verify_report import VerifyReport, conclude
from tasks.errors import ApiError, Fatal, VoipsyncError
from tasks.identity.index import Bookmark, page_at
from tasks.ledger import deviations
from tasks.mapping.rules import Rules
from tasks.options import SyncOptions, VerifyOptions
from tasks.settings import ACTIVITIES, ENTITIES, Settings, load

log = logging.getLogger(__name__)

STEPS = 100
"""Steps of a stage, about: each is a task run of Prefect's, which keeps only some hundreds of a run."""


class Verification:
    """One run of a verification, step by step.

    A plain class, as `Steps` is: Prefect looks through dataclasses that are handed to a task.

    Attributes:
        error: what ended the run early, if anything did.
        resumed: whether it goes on with what an earlier run began.
        shown: where the shell shows the progress, if it does.
    """

    def __init__(self, run: Run, options: VerifyOptions) -> None:
        self.run = run
        self.options = options
        self.course = Course(run.walk, self._entities({}), ())
        self.error: VoipsyncError | None = None
        self.resumed = False
        self.shown: object = None
        self.population = 0
        self.plan: PlanReport | None = None
        self.left: list[str] = []
        self.contacts: Contacts
        self.activities: Activities
        self._drawn: list[str] = []

    async def prepare(self) -> None:
        """Learn what is to be verified and what that costs, and tell."""
        run, look = self.run, self.run.database.look
        delivered = await look(partial(deviations.delivered, account=run.name))
        self.population = delivered.get("contacts", 0)
        entities = self._entities(delivered)
        before, unfinished = await look(partial(kept, account=run.name))
        if self.options.scope == "all" and before and unfinished and before.entities == entities:
            self.course, self.resumed = before, True
        else:
            self.course = Course(run.walk, entities, self._stages(entities) if self.population else ())
        keep = {self.course.number, *([before.number] if before and unfinished else ())}
        await run.database.do(partial(deviations.forget, account=run.name, keep=keep))
        if not self.course.stages:
            return
        if self.options.scope == "sample":
            self._drawn = await self._draw()
        self.contacts = Contacts(run, await run.learn(), max(0, self.options.questions - self.course.asked))
        lists = [entity for entity in self.course.entities if entity in ACTIVITIES]
        self.activities = Activities(run, self.contacts, lists)
        log.info("%s", self._cost())

    async def step(self) -> bool:
        """Do a part of what is to be done, after those in more of a hurry; False when all is done."""
        if not self.course.stages:
            return False
        many = 1 if self.course.stages[0] == "index" else max(1, self.population // (STEPS * SLICE))
        for _ in range(many):
            await self.run.step_aside()
            self.run.check()
            if not await self._chunk():
                break
            if watch := watching.get():
                watch(self.progress)
        return True

    async def mend(self) -> None:
        """Plan what mends the deviations, where that was asked for."""
        if not self.options.repair or self.course.stages:
            return
        mending, self.left = await items(self.run, self.course.number, recreate=self.options.recreate)
        if mending:
            self.plan = await plan_of(Steps(self.run), mending, kind="repair", told=self.left)

    async def conclude(self, error: BaseException | None = None) -> VerifyReport:
        """Keep the run's report."""
        report = await conclude(
            self.run,
            self.options,
            self.course,
            self.population,
            resumed=self.resumed,
            error=error or self.error,
        )
        report = replace(report, plan=self.plan, left=self.left)
        log.info("run %s of %s: %s", report.run_id, report.account, report.status)
        return report

    @property
    def progress(self) -> Progress:
        """How far it is, in contacts."""
        course = self.course
        whole = course.total if course.stages[:1] == ("index",) else self.population
        if self.options.scope == "sample":
            return Progress(course.sampled, len(self._drawn), course.sampled)
        return Progress(course.done, whole, course.done)

    async def _chunk(self) -> bool:
        """Do a chunk of the stage under way and keep what it came to; False where the stage is over."""
        course = self.course
        match course.stages[0]:
            case "index":
                found, going_on = await self._page()
            case "unmet":
                found, going_on = await self._unmet()
            case "activities":
                found, going_on = await self._lists()
            case _:
                found, going_on = await self._sampled()
        course.asked += found.asked
        course.unsure += found.unsure
        course.kept += found.kept
        course.unseen = sorted({*course.unseen, *found.unseen})
        if not going_on:
            course.stages, course.cursor, course.done = course.stages[1:], None, 0
        await self.run.database.do(partial(self._keep, found=found))
        return going_on

    def _keep(self, connection: Connection, found: Found) -> None:
        name, number = self.run.name, self.course.number
        deviations.save(connection, name, number, found.deviations)
        for entity, ids in found.looked_at.items():
            deviations.mark(connection, name, entity, ids, number)
        if self.options.scope == "all":
            self.course.save(connection, name)

    async def _page(self) -> tuple[Found, bool]:
        """A page of the search index."""
        course = self.course
        page, there = await page_at(self.run.api, "dateAdded", "asc", Bookmark(**(course.cursor or {})))
        if page is None:
            return Found(), False
        course.total = page.total or course.total
        found = await self.contacts.page(page.contacts)
        course.read += len(page.contacts)
        course.done = course.read
        course.cursor = asdict(there) if there else None
        return found, there is not None

    async def _unmet(self) -> tuple[Found, bool]:
        """Contacts of ours that the index did not show, or about which it left a doubt."""
        run, course = self.run, self.course
        unchecked = partial(deviations.contacts_unchecked, account=run.name, number=course.number)
        part = await run.database.look(partial(unchecked, after=course.cursor or "", most=SLICE))
        ids = list(dict.fromkeys(contact_id for _, contact_id in part))
        if not ids or len(ids) > self.contacts.left:
            return Found(), False
        course.cursor = part[-1][0]
        course.done += len(part)
        return await self.contacts.by_id(ids), True

    async def _lists(self) -> tuple[Found, bool]:
        """The activities of some contacts."""
        run, course = self.run, self.course
        after = partial(deviations.contacts_after, account=run.name, after=course.cursor or "", most=SLICE)
        if not (part := await run.database.look(after)):
            return Found(), False
        found = Found()
        ids = dict.fromkeys(contact_id for _, contact_id in part)
        await self._each(ids, self.activities.of, found)
        course.cursor = part[-1][0]
        course.done += len(part)
        return found, True

    async def _sampled(self) -> tuple[Found, bool]:
        """Some contacts of the sample, each with its activities."""
        course, found = self.course, Found()

        async def look(contact_id: str, one: Found) -> None:
            if "contacts" not in course.entities or await self.contacts.closely(contact_id, one):
                await self.activities.of(contact_id, one)
            course.deviating += bool(one.deviations)

        part = self._drawn[course.sampled : course.sampled + SLICE]
        await self._each(part, look, found)
        course.sampled += len(part)
        return found, course.sampled < len(self._drawn)

    async def _each(
        self,
        contact_ids: Collection[str],
        look: Callable[[str, Found], Coroutine[Any, Any, None]],
        found: Found,
    ) -> None:
        """Look at each of these contacts; of one that is not answered for, nothing is known."""
        run = self.run

        async def work(contact_id: str) -> None:
            one = Found()
            try:
                await look(contact_id, one)
            except ApiError as error:
                run.findings.remark("contacts", f"could not be read at the destination ({error.reason})")
                one = Found(unsure=1)
            found.join(one)

        await each(run, contact_ids, work, run.account.destination.concurrency)

    async def _draw(self) -> list[str]:
        """Draw contacts at random: the same for the same run and ledger."""
        run, many = self.run, min(self.options.sample, self.population)
        rng = random.Random(run.id)  # noqa: S311 - no secret
        places = sorted(rng.sample(range(self.population), many))
        drawn, after, passed = list[str](), "", 0
        while places and (
            part := await run.database.look(
                partial(deviations.contacts_after, account=run.name, after=after, most=1_000)
            )
        ):
            while places and places[0] < passed + len(part):
                drawn.append(part[places.pop(0) - passed][1])
            after, passed = part[-1][0], passed + len(part)
        rng.shuffle(drawn)  # so that those looked at before a stop are a sample as well
        return drawn

    def _stages(self, entities: Collection[str]) -> tuple[str, ...]:
        if self.options.scope == "sample":
            return ("sample",)
        contacts, lists = "contacts" in entities, any(entity in ACTIVITIES for entity in entities)
        return (*(("index", "unmet") if contacts else ()), *(("activities",) if lists else ()))

    def _entities(self, delivered: dict[str, int]) -> tuple[str, ...]:
        """What is verified: what was asked for, else of a sample everything that was ever written."""
        if self.options.only:
            return tuple(entity for entity in ENTITIES if entity in self.options.only)
        if self.options.scope == "all":
            return ("contacts",)
        return tuple(entity for entity in ENTITIES if entity == "contacts" or delivered.get(entity))

    def _cost(self) -> str:
        """What it is going to cost at least, in words."""
        course, quota = self.course, self.run.quota
        lists = len([entity for entity in course.entities if entity in ACTIVITIES])
        if self.options.scope == "sample":
            requests = len(self._drawn) * (lists + (2 if "contacts" in course.entities else 0))
            what = f"a sample of {len(self._drawn):,} of {self.population:,} contacts"
        else:
            requests = self.population * lists * ("activities" in course.stages)
            what = f"all {self.population:,} contacts" + (", going on where it was stopped" * self.resumed)
            if "index" in course.stages:
                requests += -(-self.population // 500)
        seconds = requests / quota.limit * quota.window
        return (
            f"verifying {', '.join(course.entities)} of {what}: at least {requests:,} "
            f"request{'s' * (requests != 1)}, about {in_words(seconds)} where nobody is in more of a hurry"
        )


@asynccontextmanager
async def open_verification(
    account: str, options: VerifyOptions, settings: Settings | None = None
) -> AsyncIterator[Verification]:
    """Open a verification of an account; whatever goes wrong inside, the ledger records that it ended."""
    settings = settings or load()
    rules = Rules.of(account, settings.account(account)).policies.values()
    # what the source keeps equal is to be compared, although nothing changed there
    again = options.repair and any(rule.policy == "source" for rule in rules)
    as_sync = SyncOptions(mode="full" if again else "incremental", wait_seconds=options.wait_seconds)
    async with open_run(account, settings, as_sync, kind="verify") as run:
        verification = Verification(run, options)
        try:
            yield verification
        except BaseException as error:
            await asyncio.shield(verification.conclude(error))
            raise


async def verify_once(account: str, options: VerifyOptions, settings: Settings | None = None) -> VerifyReport:
    """Do a whole verification without Prefect and return its report."""
    async with open_verification(account, options, settings) as verification:
        try:
            await verification.prepare()
            while await verification.step():
                pass
            await verification.mend()
        except (Fatal, ApiError) as error:
            verification.error = error
        return await verification.conclude()
