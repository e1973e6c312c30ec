"""Decides what goes at the destination as it vanished at the source: only what is certain, ours, and few.

A contact: missing in two complete walks one after the other, not found when asked for by its id, and so with
every other source contact linked to the same contact, which one of them created. An activity: missing in its
contact's list, which was read whole in this run. More than the configured number, or part, of an entity are
taken for a mistake at the source: then none of them goes. A source that holds less than half of the contacts
of the last complete walk has most likely lost them: then nothing goes at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from tasks.engine.each import each
from tasks.engine.parting import Parting
from tasks.engine.run import Run
from tasks.errors import ApiError
from tasks.ledger import facts, records, vanished
from tasks.ledger.records import Record
from tasks.settings import ACTIVITIES
from tasks.voipstudio.walk import Walk

FACT = "complete_walk"
"""The last complete walk's number, and how many contacts it met."""
PERCENT_FROM = 20
"""Delivered records of an entity from which on the percentage counts."""


@dataclass(frozen=True, slots=True)
class Deletes:
    """What one run deletes."""

    run: Run

    async def mirror(self, walk: Walk, missing: Mapping[str, int]) -> None:
        """Delete, or tag, what vanished; ``missing`` says how many activities of each entity did."""
        run = self.run
        known = await run.database.look(lambda connection: facts.get(connection, run.name, FACT))
        last = known[0] if known else None
        if last and walk.rows * 2 < last["contacts"] and not run.options.accept_fewer:
            self._tell_collapsed(walk.rows, last["contacts"])
            return
        newer = last is not None and last["walk"] > run.walk  # whoever went first has decided by now
        if "contacts" in run.entities and walk.complete and not newer:
            now = {"walk": run.walk, "contacts": walk.rows}
            await run.database.do(lambda connection: facts.put(connection, run.name, FACT, now))
            if last:
                await self._contacts(last["walk"])
        if run.account.mapping.activity_deletes == "delete":
            for entity in ACTIVITIES:
                if missing.get(entity):
                    await self._activities(entity)
        if number := await Parting(run).settle():
            run.findings.warn(
                f"{number} deletions had no effect: the next run decides on them anew", degrades=True
            )

    async def _contacts(self, since: int) -> None:
        run = self.run
        await run.database.do(lambda connection: vanished.settle(connection, run.name, since))
        if run.account.mapping.deletes == "ignore":
            return
        missing = await run.database.look(lambda connection: vanished.contacts(connection, run.name, since))
        if not missing:
            return
        allowed = await self._allowed("contacts")
        if not await self._source_can_tell():
            run.findings.warn(
                f"contacts: {len(missing)} are missing at the source, and it does not find one that is there "
                "either when it is asked for by its id: none was deleted",
                degrades=True,
            )
            return
        gone: list[list[Record]] = []

        async def ask(contact_id: str) -> None:
            if len(gone) <= allowed:
                gone.extend(await self._gone(contact_id))

        await each(run, missing, ask, run.account.source.concurrency)
        if len(gone) > allowed:
            self._tell_too_many("contacts", len(missing))
            return
        await each(run, gone, Parting(run).contact, run.account.destination.concurrency)

    async def _gone(self, contact_id: str) -> list[list[Record]]:
        """The records linked to a contact, where the source finds none of them; else nothing."""
        run = self.run
        linked = await run.database.look(
            lambda connection: records.linked_to(connection, run.name, contact_id)
        )
        for record in linked:
            source_id = record.source_id
            try:
                found = await run.source.contact(source_id)
            except ApiError as error:
                run.findings.warn(
                    f"contacts: whether those missing at the source are gone could not be asked ({error}): "
                    "they are left",
                    degrades=True,
                )
                return []
            if found is not None:
                met = partial(records.mark_seen, account=run.name, entity="contacts", ids=[source_id])
                await run.database.do(partial(met, walk=run.walk))
                return []
        return [[record for record in linked if record.state != "left"]]

    async def _source_can_tell(self) -> bool:
        """Whether the source answers for a contact that it listed, so that a "not found" means something."""
        run = self.run
        there = await run.database.look(lambda connection: vanished.met(connection, run.name, run.walk))
        try:
            return there is not None and await run.source.contact(there) is not None
        except ApiError:
            return False

    async def _activities(self, entity: str) -> None:
        run = self.run
        missing = await run.database.look(
            lambda connection: vanished.activities(connection, run.name, entity, run.walk)
        )
        if len(missing) > await self._allowed(entity):
            self._tell_too_many(entity, len(missing))
            return
        found = await run.database.look(
            lambda connection: records.load(connection, run.name, entity, missing)
        )
        parents = await run.database.look(
            lambda connection: records.load(
                connection, run.name, "contacts", {record.parent_id or "" for record in found.values()}
            )
        )
        parting = Parting(run)

        async def delete(record: Record) -> None:
            await parting.activity(record, parents[record.parent_id or ""])

        await each(run, list(found.values()), delete, run.account.destination.concurrency)

    async def _allowed(self, entity: str) -> int:
        """How many of an entity may go in this run."""
        mapping, run = self.run.account.mapping, self.run
        number = await run.database.look(lambda connection: vanished.delivered(connection, run.name, entity))
        if number < PERCENT_FROM:
            return mapping.max_deletes
        return min(mapping.max_deletes, int(round(mapping.max_delete_percent * number / 100, 6)))

    def _tell_too_many(self, entity: str, number: int) -> None:
        mapping, where = self.run.account.mapping, f"accounts.{self.run.name}.mapping"
        self.run.findings.warn(
            f"{entity}: {number} are missing at the source, more than may be deleted in a run (max_deletes "
            f"{mapping.max_deletes}, max_delete_percent {mapping.max_delete_percent:g} from {PERCENT_FROM} "
            f"delivered up): none was deleted; if they are to go, raise {where}.max_deletes and "
            f"{where}.max_delete_percent, else restore them at the source",
            degrades=True,
        )

    def _tell_collapsed(self, number: int, before: int) -> None:
        self.run.findings.warn(
            f"the source lists {number} contacts, less than half of the {before} of the last complete read: "
            "nothing was deleted; if that is right, run voipsync sync "
            f"{self.run.name} --accept-fewer once",
            degrades=self.run.account.mapping.deletes != "ignore",
        )
