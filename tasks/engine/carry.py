"""Carries out items, those of a plan or those that are to become one: the same writers, fed from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from tasks.engine import outcome
from tasks.engine.deeds import deed
from tasks.engine.gone import release
from tasks.engine.parting import Parting
from tasks.engine.plan_items import Item, Key
from tasks.engine.shape import Bundle
from tasks.engine.steps import Steps
from tasks.ledger import records
from tasks.ledger.records import Record


@dataclass(frozen=True, slots=True)
class Carrier:
    """Carries out items in the order in which they come: release, write, delete; then what routes start.

    Attributes:
        steps: of the run.
        deletes: whether what goes is deleted, also where the configuration has it tagged.
    """

    steps: Steps
    deletes: bool = False

    async def block(self, items: Sequence[Item]) -> None:
        """Carry out some items, at the same time as far as they are independent."""
        run = self.steps.run
        if run.rehearsal:
            await run.rehearsal.bundles([item.bundle for item in items])
        ready = [await self._released(item) for item in items]
        if run.rehearsal:
            await run.rehearsal.bundles([ready[n] for n, item in enumerate(items) if item.release])
        bundles = [one for one in ready if one.contact is not None or one.children]
        await self.steps.writer.load(bundles, advance=self.steps.advance)
        for item in items:
            await self._part(item.part)
        await self.steps.effects.perform()

    async def end(self) -> None:
        """After the last: who waited for another one, and what is free now."""
        await self.steps.writer.finish(advance=self.steps.advance)
        await self.steps.writer.give_back()
        await self.steps.effects.perform()

    async def _released(self, item: Item) -> Bundle:
        """Take an item's records out of their places; return its bundle, with all to be placed anew."""
        run, bundle = self.steps.run, item.bundle
        children = {entity: list(several) for entity, several in bundle.children.items()}
        fingerprints = dict(bundle.fingerprints)
        for record in await self._load(item.release):
            if record.destination_id is None:
                continue
            if run.rehearsal:
                await run.rehearsal.release(record)
            if record.entity != "contacts":
                anew = outcome.released(record)
                told = deed(anew, "released", place=record.destination_id)
                await run.journal.save(anew, deeds=[told])
                continue
            placed = await release(run, record, dict(record.content or {}))
            for one, mark in placed.activities:
                if (one.entity, one.source_id) not in fingerprints:
                    fingerprints[one.entity, one.source_id] = mark
                    children.setdefault(one.entity, []).append(one)
        return replace(bundle, children=children, fingerprints=fingerprints)

    async def _part(self, keys: Sequence[Key]) -> None:
        parting = Parting(self.steps.run, deletes=self.deletes)
        found = await self._load(keys)
        places: dict[str, list[Record]] = {}
        for record in found:
            if record.destination_id is not None and record.intent is None:
                places.setdefault(record.destination_id, []).append(record)
        for several in places.values():
            if several[0].entity == "contacts":
                await parting.contact(several)
                continue
            for record in several:
                for parent in await self._load([("contacts", record.parent_id or "")]):
                    await parting.activity(record, parent)

    async def _load(self, keys: Sequence[Key]) -> list[Record]:
        run = self.steps.run
        found: list[Record] = []
        for entity, source_id in keys:
            load = partial(records.load, account=run.name, entity=entity, ids=[source_id])
            found += (await run.database.look(load)).values()
        return found
