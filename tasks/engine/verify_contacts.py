"""Asks the location for contacts, to be judged: through the search index, or one by one.

The index lags behind writes by up to a minute (measured by integrators), so it accuses nobody: whatever looks
wrong in it is asked for by id, in which there is no lag, and judged anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydantic.alias_generators import to_camel

from tasks.engine.each import each
from tasks.engine.merge import Policies
from tasks.engine.run import Run
from tasks.engine.seek import Seeker
from tasks.engine.verify_compare import Judgement, Known, gone, judge, verifiable
from tasks.errors import ApiError
from tasks.highlevel.answers import Contact
from tasks.highlevel.requests import SearchContacts
from tasks.identity.directory import Directory, key_filters, normal_form
from tasks.identity.index import PAGE
from tasks.identity.location import Location
from tasks.identity.resolve import Candidate
from tasks.ledger import records
from tasks.ledger.deviations import Deviation
from tasks.ledger.records import Record

SLICE = 50
"""Contacts asked for by id between two looks whether somebody is in more of a hurry."""
_ATTRIBUTES = {to_camel(name): name for name in Contact.model_fields}
"""Under which name an answer has a field of our contents."""


@dataclass(slots=True)
class Found:
    """What a chunk of a verification came to, to be kept with its progress in one transaction.

    Attributes:
        looked_at: the source ids that were looked at, by entity.
        asked: contacts and activities that looked wrong and were asked for by id.
        unsure: those that were not, as there were too many of them.
        kept: records in which somebody else's value stands by rule.
        unseen: mapped fields that the search does not show.
    """

    deviations: list[Deviation] = field(default_factory=list)
    looked_at: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    asked: int = 0
    unsure: int = 0
    kept: int = 0
    unseen: set[str] = field(default_factory=set)

    def add(self, linked: Iterable[Record], made: Judgement) -> None:
        """Enter a contact that was judged for good."""
        self.deviations += made.deviations
        self.kept += made.kept
        self.looked_at["contacts"] |= {record.source_id for record in linked if verifiable(record)}

    def join(self, other: Found) -> None:
        """Take in what another came to."""
        self.deviations += other.deviations
        for entity, ids in other.looked_at.items():
            self.looked_at[entity] |= ids
        self.asked += other.asked
        self.unsure += other.unsure
        self.kept += other.kept
        self.unseen |= other.unseen


@dataclass(slots=True)
class Contacts:
    """Judges contacts of one location.

    Attributes:
        left: how many more may be asked for by id because they look wrong.
    """

    run: Run
    location: Location
    left: int
    book: Directory = field(init=False)
    seek: Seeker = field(init=False)
    policies: Policies = field(init=False)

    def __post_init__(self) -> None:
        self.seek = Seeker(self.run)
        self.book = self.seek.book(self.location)
        self.policies = self.run.rules.policies

    async def page(self, contacts: Sequence[Contact]) -> Found:
        """Judge a page of the search index; the directory learns what it shows."""
        await self.book.enter(contacts)
        there = set[str]().union(*(contact.model_fields_set for contact in contacts))
        fields = self.location.fields

        def shows(name: str) -> bool:
            return ("custom_fields" if name in fields else _ATTRIBUTES.get(name, name)) in there

        found, doubtful = Found(), dict[str, set[str]]()
        found.unseen |= {name for name in self.policies if not shows(name)}
        known, forms = await self._around(contacts)
        for contact_id, theirs in forms.items():
            made, linked = (
                judge(contact_id, theirs, known, self.policies, shows),
                known.linked.get(contact_id, ()),
            )
            if made.deviations:
                doubtful[contact_id] = made.others
            else:
                found.add(linked, made)
        unasked = await self._confirm(doubtful, found)
        # those of ours are counted when all pages are read, as long as nobody has looked at them
        found.unsure += sum(not any(map(verifiable, known.linked.get(one, ()))) for one in unasked)
        return found

    async def by_id(self, contact_ids: Collection[str]) -> Found:
        """Judge contacts of ours that the index did not show."""
        found = Found()
        await self._confirm({contact_id: set() for contact_id in contact_ids}, found)
        return found

    async def closely(self, contact_id: str, found: Found) -> bool:
        """Judge one contact by its id, and whom the search shows under its keys; tell whether it is there."""
        contact = await self.seek.fresh(contact_id)
        if contact is None:
            await self.missing(contact_id, found)
            return False
        filters = key_filters(normal_form(contact, self.location), self.location)
        if filters:
            group: dict[str, Any] = {"group": "OR", "filters": filters}
            page = await self.run.api.search_contacts(SearchContacts(pageLimit=PAGE, page=1, filters=[group]))
            await self.book.enter([one for one in page.contacts if one.id != contact_id])
        await self.book.enter([contact])
        known, forms = await self._around([contact])
        made = judge(contact_id, forms[contact_id], known, self.policies)
        if made.others:
            await self._confirm({contact_id: made.others}, found, bounded=False)
        else:
            found.add(known.linked.get(contact_id, ()), made)
        return True

    async def _confirm(
        self, doubtful: Mapping[str, set[str]], found: Found, *, bounded: bool = True
    ) -> list[str]:
        """Ask for those who look wrong, and for those beside them, and judge them by what is there now.

        Return those that were not asked for any more.
        """
        waiting = list(doubtful)
        for start in range(0, len(waiting), SLICE):
            if start:
                await self.run.step_aside()
            part = waiting[start : start + SLICE]
            wanted = list(dict.fromkeys([*part, *(other for one in part for other in doubtful[one])]))
            if bounded and len(wanted) > self.left:
                return waiting[start:]
            self.left -= len(wanted) if bounded else 0
            found.asked += len(wanted)
            there, absent = await self._fetch(wanted)
            await self.book.enter(list(there.values()))
            for contact_id in wanted:
                if contact_id in absent:
                    await self.missing(contact_id, found)
            known, forms = await self._around([there[one] for one in part if one in there], only=there)
            for contact_id, theirs in forms.items():
                found.add(known.linked.get(contact_id, ()), judge(contact_id, theirs, known, self.policies))
        return []

    async def _fetch(self, contact_ids: Sequence[str]) -> tuple[dict[str, Contact], set[str]]:
        """Those that are there, and those that are not; of one that is not answered for, nothing is known."""
        there, absent = dict[str, Contact](), set[str]()

        async def fetch(contact_id: str) -> None:
            with suppress(ApiError):
                contact = await self.seek.fresh(contact_id)
                if contact is None:
                    absent.add(contact_id)
                else:
                    there[contact_id] = contact

        await each(self.run, contact_ids, fetch, self.run.account.destination.concurrency)
        return there, absent

    async def missing(self, contact_id: str, found: Found) -> None:
        """A contact is not there: whoever is linked to it, and all that was under it."""
        await self.book.remove(contact_id)
        linked = (await self._linked([contact_id])).get(contact_id, [])
        for record in filter(verifiable, linked):
            under = partial(records.children_of, account=self.run.name, contact_id=record.source_id)
            found.deviations += gone(record, await self.run.database.look(under))
        found.add(linked, Judgement())

    async def _around(
        self, contacts: Collection[Contact], only: Collection[str] | None = None
    ) -> tuple[Known, dict[str, dict[str, Any]]]:
        """What the ledger knows around these contacts, and they themselves in normal form.

        Args:
            contacts: as they were shown.
            only: the contacts that count as being beside them; None: all that the directory has.
        """
        forms = {contact.id: normal_form(contact, self.location) for contact in contacts}
        near = defaultdict[tuple[str, str], list[Candidate]](list)
        candidates = await self.book.candidates(list(forms.values())) if forms else []
        for one in candidates:
            if only is None or one.contact_id in only:
                for name, value in (("id", one.source_id), ("email", one.email), ("phone", one.phone)):
                    near[name, value or ""].append(one)
        ids = {str(form["id"]) for form in forms.values() if form.get("id")}
        look = partial(records.load, account=self.run.name, entity="contacts", ids=ids)
        named = await self.run.database.look(look)
        linked = await self._linked([*forms, *(one.contact_id for one in candidates)])
        return Known(linked, near, named), forms

    async def _linked(self, contact_ids: Collection[str]) -> dict[str, list[Record]]:
        """The records of source contacts that have a place at these contacts."""
        name, ids = self.run.name, list(dict.fromkeys(contact_ids))
        found = defaultdict[str, list[Record]](list)
        for record in await self.run.database.look(
            lambda connection: records.linked_to(connection, name, *ids)
        ):
            found[record.destination_id or ""].append(record)
        return dict(found)
