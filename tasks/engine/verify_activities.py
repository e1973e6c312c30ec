"""Judges the activities of a contact: its list at the destination beside what the ledger says is there.

A list may be behind, or leave something out (a contact's list of appointments has been seen empty for known
ones), so it accuses nobody either: what looks wrong in it is read by its id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tasks.engine.children import source_of
from tasks.engine.entities.child import Child, Place
from tasks.engine.run import Run
from tasks.engine.verify_compare import edited_fields, verifiable
from tasks.engine.verify_contacts import Contacts, Found
from tasks.engine.write import CHILDREN
from tasks.errors import NotFound
from tasks.ledger import records
from tasks.ledger.deviations import Deviation
from tasks.ledger.records import Record


@dataclass(frozen=True, slots=True)
class Activities:
    """Judges what stands under contacts of one location."""

    run: Run
    contacts: Contacts
    entities: Collection[str]

    async def of(self, contact_id: str, found: Found) -> None:
        """Judge the activities of one contact of ours."""
        name, place = self.run.name, Place(contact_id, self.run.account.destination.calendar_id)
        linked = await self.run.database.look(
            lambda connection: records.linked_to(connection, name, contact_id)
        )
        known = await self.run.database.look(
            lambda connection: [
                child
                for parent in linked
                if verifiable(parent)
                for child in records.children_of(connection, name, parent.source_id)
            ]
        )
        for entity in self.entities:
            try:
                await self._entity(
                    CHILDREN[entity], place, [one for one in known if one.entity == entity], found
                )
            except NotFound:
                if await self.contacts.seek.fresh(contact_id) is not None:
                    raise
                await self.contacts.missing(contact_id, found)
                return

    async def _entity(self, kind: Child, place: Place, known: Sequence[Record], found: Found) -> None:
        listing = dict(await kind.listing(self.run.api, place, {}))
        for record in filter(verifiable, known):
            found.deviations += await self._judge(
                kind, place, record, listing.get(record.destination_id or ""), found
            )
            found.looked_at[kind.entity].add(record.source_id)
        ours = {record.destination_id for record in known}
        marked = defaultdict[str, list[str]](list)
        for child_id, theirs in listing.items():
            source_id = source_of(kind, theirs, self.run.rules.origin)
            if source_id is not None and child_id not in ours:
                marked[source_id].append(child_id)
        if marked:
            await self._strangers(kind, place, marked, found)

    async def _judge(
        self, kind: Child, place: Place, record: Record, listed: dict[str, Any] | None, found: Found
    ) -> list[Deviation]:
        ours, child_id = record.content or {}, record.destination_id or ""
        if listed is not None and not edited_fields(ours, listed):
            return []
        found.asked += 1
        try:
            fields = edited_fields(ours, await kind.read(self.run.api, place, child_id))
        except NotFound:
            return [_deviation("missing", kind, record.source_id, child_id, place)]
        return [_deviation("edited", kind, record.source_id, child_id, place, fields)] if fields else []

    async def _strangers(self, kind: Child, place: Place, marked: dict[str, list[str]], found: Found) -> None:
        """Activities that carry our marker, and are not those that the ledger has under this contact."""
        load = partial(records.load, account=self.run.name, entity=kind.entity, ids=list(marked))
        known = await self.run.database.look(load)
        for source_id, children in marked.items():
            record = known.get(source_id)
            if record is not None and record.destination_id is None and record.state != "gone":
                continue  # it is still to be brought there: who knows whether this is it
            for child_id in children:
                found.asked += 1
                try:
                    await kind.read(self.run.api, place, child_id)
                except NotFound:
                    continue
                moved = record is not None and record.destination_id == child_id
                second = record is not None and record.destination_id and not moved
                what, fields = "duplicated" if second else "orphaned", ["contact"] if moved else []
                found.deviations.append(_deviation(what, kind, source_id, child_id, place, fields))


def _deviation(
    what: str, kind: Child, source_id: str, child_id: str, place: Place, fields: Sequence[str] = ()
) -> Deviation:
    return Deviation(
        entity=kind.entity,
        kind=what,
        source_id=source_id,
        destination_id=child_id,
        contact_id=place.contact_id,
        fields=tuple(fields),
    )
