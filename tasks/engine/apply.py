"""Carries out a plan, and only it: the same writers, before a destination that takes what the plan foresees.

A write passes if the plan has it for this record and it would send the same, or what is left to do of it. All
else is refused before it leaves, and the record stays as it was. A record that holds something else than when
the plan was made is noticed where it is read, before anything is noted or sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row

from tasks.engine.book import Book, Checked
from tasks.engine.carry import Carrier
from tasks.engine.choose import choose
from tasks.engine.plan import UNDO
from tasks.engine.plan_items import Item, Key, bundle_from_json
from tasks.engine.report import Findings, Report, entity_counts
from tasks.engine.steps import Steps, open_steps
from tasks.errors import ApiError, Fatal, NotPlanned
from tasks.highlevel.caller import Caller
from tasks.highlevel.client import ContactsApi
from tasks.ledger import facts, migrate, plans, records
from tasks.ledger.database import opened
from tasks.ledger.plans import Plan
from tasks.ledger.records import Record
from tasks.ledger.retention import ROUTES_FROM
from tasks.ledger.sealing import Sealer
from tasks.mapping.desired import Mapped
from tasks.options import ApplyOptions, SyncOptions
from tasks.settings import Settings, load

log = logging.getLogger(__name__)

NAMED = 50
"""Records left out that a report names."""
RETURNED = "was to be deleted, and is at the source again or has become somebody else's"
SUPERSEDED = "was synced by another run since the plan was made"
REQUESTS = (
    "source",
    "destination_reads",
    "destination_writes",
    "destination_least",
    "throttled",
    "retried",
)


class Application:
    """One carrying out of a plan, block by block; a plain class, as `Steps` is.

    Attributes:
        steps: of the run.
        plan: that is carried out.
    """

    def __init__(self, steps: Steps, plan: Plan) -> None:
        self.steps = steps
        self.plan = plan
        self._after = -1
        steps.expected = plan.about["items"]
        self._carrier = Carrier(steps, deletes=plan.kind != "plan")
        run, book = steps.run, Book(steps.run, plan)
        service = Caller(run.api.transport, location_id=run.api.location_id, version=run.api.version)
        run.api = ContactsApi(
            run.api.transport,
            location_id=run.api.location_id,
            version=run.api.version,
            calls=Checked(run, book, service),
        )
        steps.effects.allows = book.allows

    async def block(self) -> int:
        """Carry out the next items; return how many there were."""
        run, plan_id = self.steps.run, self.plan.id
        await run.step_aside()  # before the items are held against the ledger: another run may change it
        rows = await run.state.look(
            partial(plans.items, plan_id=plan_id, after=self._after, state=plans.OPEN)
        )
        if not rows:
            return 0
        run.check()
        await run.state.do(partial(plans.become, plan_id=plan_id, state=plans.APPLYING))
        run.undoing = self.plan.kind == UNDO
        await self._carrier.block([await self._item(row) for row in rows])
        waiting = {one.contact_id for one in self.steps.writer.resolver.put_off}
        done = [row.number for row in rows if row.contact_id not in waiting]
        await run.state.do(partial(plans.done, plan_id=plan_id, numbers=done))
        self._after = rows[-1].number
        return len(rows)

    async def finish(self) -> int:
        """What waited for its turn, what is unknown, what routes start; then the plan is applied."""
        run, plan = self.steps.run, self.plan
        await self._carrier.end()
        settled = await self.steps.settle()

        def end(connection: Connection) -> None:
            plans.become(connection, plan.id, plans.APPLIED)
            if plan.about["first"] and facts.get(connection, run.name, ROUTES_FROM) is None:
                facts.put(connection, run.name, ROUTES_FROM, run.walk)

        await run.state.do(end)
        return settled

    def tell(self) -> None:
        """Name in the run's report what was left out."""
        findings, left = self.steps.run.findings, self.steps.run.left_out
        for (entity, source_id), why in list(left.items())[:NAMED]:
            findings.warn(f"left out: {entity} {source_id} {why}", degrades=True)
        if len(left) > NAMED:
            findings.warn(f"left out: {len(left) - NAMED} more")

    async def _item(self, row: Row[Any]) -> Item:
        """An item, without what another run has done, or undone, meanwhile."""
        kept, run = row.item, self.steps.run
        bundle = bundle_from_json(kept["bundle"])
        met = {(entity, source_id): mark for entity, source_id, mark in kept["met"]}
        known = await run.database.look(partial(records.outlines, account=run.name, keys=bundle.fingerprints))
        planned = {(one["entity"], one["source_id"]) for one in kept["operations"]}

        def is_current(mapped: Mapped) -> bool:
            key = (mapped.entity, mapped.source_id)
            now = known.get(key)
            if now is None or now.fingerprint in (None, met.get(key), bundle.fingerprints[key]):
                return True
            if key in planned:
                run.left_out[key] = SUPERSEDED
            return False

        contact = bundle.contact if bundle.contact is None or is_current(bundle.contact) else None
        children = {
            entity: [one for one in several if is_current(one)] for entity, several in bundle.children.items()
        }
        return Item(
            replace(bundle, contact=contact, children=children),
            release=tuple(one.key for one in await self._in_place(kept["release"])),
            part=await self._parting(kept["part"]),
        )

    async def _parting(self, places: Sequence[Sequence[str]]) -> tuple[Key, ...]:
        """What is still to be deleted: nothing that the source shows again, or somebody else is linked to."""
        run, found = self.steps.run, await self._in_place(places)
        contact_ids = {one.destination_id or "" for one in found if one.entity == "contacts"}
        linked = await run.database.look(
            lambda connection: records.linked_to(connection, run.name, *contact_ids)
        )
        back = [one for one in found if self.plan.kind == "plan" and one.seen >= self.plan.about["walk"]]
        if back or {one.key for one in linked} - {one.key for one in found}:
            run.left_out |= {one.key: RETURNED for one in found}
            return ()
        return tuple(one.key for one in found)

    async def _in_place(self, places: Sequence[Sequence[str]]) -> list[Record]:
        """Those of these records that still have the place at the destination that they had."""
        run, found = self.steps.run, list[Record]()
        for entity, source_id, destination_id in places:
            load_one = partial(records.load, account=run.name, entity=entity, ids=[source_id])
            record = (await run.database.look(load_one)).get(source_id)
            if record is not None and record.destination_id == destination_id:
                found.append(record)
        return found


@asynccontextmanager
async def open_application(
    account: str, options: ApplyOptions, settings: Settings | None = None
) -> AsyncIterator[Application | Report]:
    """Open a plan to be carried out; where that is done already, its report takes its place.

    Raises:
        ConfigurationError: there is no such plan.
        Refused: it may not be applied.
    """
    settings = settings or load()
    plan = await asyncio.to_thread(chosen, account, options.plan, settings)
    if plan.state == plans.APPLIED:
        yield applied_already(plan)
        return
    made = SyncOptions(**{**plan.about["options"], "wait_seconds": options.wait_seconds})
    async with open_steps(account, made, settings, kind="apply") as steps:
        yield Application(steps, plan)


def chosen(account: str, which: str, settings: Settings) -> Plan:
    """Return the plan of an account that may be applied now, or was already."""
    with opened(settings.state.url, Sealer.of_ledger(settings.state)) as database:
        database.now_do(migrate.upgrade)
        return choose(database, account, settings.account(account), which)


def applied_already(plan: Plan) -> Report:
    """The report where there is nothing left to do."""
    none = dict.fromkeys(REQUESTS, 0)
    told = [f"plan {plan.id} was applied already"]
    counts = entity_counts(Findings(), {})
    return Report(plan.account, plan.about["run_id"], "apply", "ok", counts, none, told, 0.0)


async def apply_once(account: str, options: ApplyOptions, settings: Settings | None = None) -> Report:
    """Carry out a plan without Prefect."""
    async with open_application(account, options, settings) as application:
        if isinstance(application, Report):
            return application
        try:
            await application.steps.prepare()
            while await application.block():
                pass
            await application.finish()
        except (Fatal, ApiError, NotPlanned) as error:
            application.steps.error = error
        application.tell()
        return await application.steps.conclude()
