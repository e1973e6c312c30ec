"""A rehearsal: the same run, with a copy of the ledger, before a destination that pretends to be written.

Reads go through, within the quota and under the lease. A write is noted and answered as the service would
answer it; from then on what was read again shows it. So whatever a run decides is decided by the same code,
and what it would send is known to the last field. What cannot be foreseen is what the service refuses.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydantic import BaseModel

from tasks.engine.foreseen import ANSWERS, MANY, ONE, PLANNED, facing, foresee, form_of
from tasks.engine.plan_items import Foreseen, bundle_as_json, contact_of
from tasks.engine.pretence import askable, holding, written
from tasks.engine.report import Findings
from tasks.engine.run import Run
from tasks.engine.shape import Bundle
from tasks.engine.subject import Subject, subject
from tasks.errors import ConfigurationError, DuplicateContact, NotFound
from tasks.highlevel.answers import Contact, ContactTags, CustomField, Done, Duplicate, SearchPage
from tasks.highlevel.caller import Caller
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.operations import OPERATIONS
from tasks.highlevel.requests import CreateCustomField, Request, SearchContacts
from tasks.identity.directory import Directory
from tasks.identity.location import Location
from tasks.ledger import records, scratch
from tasks.ledger.journal import Journal
from tasks.ledger.records import Record

REMEMBERED = 512
"""Records last read, so that a write need not read what it changes once more."""


@dataclass(slots=True)
class Rehearsal:
    """Stands before the destination, and takes notes.

    Attributes:
        fields: labels of custom fields that would be made.
        operations: how many writing requests would leave, by operation.
        source: digest of what was read at the source.
        reads_before: requests that had read at the destination when this began.
    """

    run: Run
    service: Caller
    fields: list[str] = field(default_factory=list)
    operations: Counter[str] = field(default_factory=Counter)
    source: Any = field(default_factory=hashlib.sha256)
    reads_before: int = 0
    _read: OrderedDict[tuple[str, str], BaseModel] = field(default_factory=OrderedDict)
    _made: int = 0

    async def call(
        self,
        name: str,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Request | Mapping[str, Any] | None = None,
    ) -> BaseModel:
        """Run an operation that reads; pretend to run one that writes."""
        asked = path or {}
        if OPERATIONS[name].writes:
            if not isinstance(body, Request | None):
                raise ConfigurationError(f"{name} cannot be rehearsed")
            return await self._write(name, asked, body)
        if name in ONE:
            return await self._one(name, asked)
        if name in MANY:
            return await self._many(name, asked)
        if name == "find-duplicate":
            return await self._duplicate(query or {})
        if name == "search-contacts" and isinstance(body, SearchContacts):
            wanted = askable(body)
            if wanted is None:
                return SearchPage(contacts=[], total=0)
            return await self.service.call(name, body=wanted)
        return await self.service.call(name, path=path, query=query, body=body)

    # notes

    async def bundles(self, bundles: Sequence[Bundle]) -> None:
        """Note what is about to be written."""
        keys = [key for one in bundles for key in one.fingerprints]
        known = await self.run.database.look(partial(records.outlines, account=self.run.name, keys=keys))
        rows = []
        for one in bundles:
            self.source.update(repr(sorted(one.fingerprints.items())).encode())
            met = [[*key, known[key].fingerprint] for key in one.fingerprints if key in known]
            rows.append((one.contact_id, "bundle", {"bundle": bundle_as_json(one), "met": met}))
        await self._note(*rows)

    async def release(self, record: Record) -> None:
        """Note that a record is about to lose its place."""
        place = [record.entity, record.source_id, record.destination_id]
        await self._note((contact_of(record.source_id), "release", place))

    async def parting(self, leaving: Sequence[Record]) -> None:
        """Note what is about to be deleted, or tagged for it."""
        contact_id = contact_of(leaving[0].source_id)
        parts = [[one.entity, one.source_id, one.destination_id] for one in leaving]
        await self._note((contact_id, "part", parts))

    async def effect(self, foreseen: Foreseen) -> None:
        """Note what a route would start beside the destination."""
        self.operations[foreseen.name] += 1
        await self._note((foreseen.source_id, "operation", foreseen.as_json()))

    async def _note(self, *rows: tuple[str, str, Any]) -> None:
        await self.run.database.do(partial(scratch.note, rows=rows))

    # reads

    async def _one(self, name: str, path: Mapping[str, str]) -> BaseModel:
        entity, one_id = ONE[name], list(path.values())[-1]
        known = await self._pretended(entity, [one_id])
        if one_id not in known:
            return await self._seen(entity, one_id, await self.service.call(name, path=path))
        shown = known[one_id]
        if shown is None:
            raise NotFound(f"{name}: it would be deleted by then", status=404, reason="not_found")
        return await self._seen(entity, one_id, ANSWERS[entity].model_construct(**shown))

    async def _many(self, name: str, path: Mapping[str, str]) -> BaseModel:
        entity, contact_id, answer = MANY[name], path["contactId"], OPERATIONS[name].answer
        plural = next(iter(answer.model_fields))
        rows: list[Any] = []
        if not contact_id.startswith(PLANNED):
            rows = getattr(await self.service.call(name, path=path), plural)
        known = await self._pretended(entity, [row.id for row in rows], parent=contact_id)
        made = {one_id: ANSWERS[entity].model_construct(**shown) for one_id, shown in known.items() if shown}
        whole = [made.pop(row.id, row) for row in rows if row.id in made or row.id not in known]
        whole += made.values()
        for row in whole:
            await self._seen(entity, row.id, row)
        return answer.model_construct(None, **{plural: whole})

    async def _duplicate(self, query: Mapping[str, Any]) -> BaseModel:
        if found := await self._holder(query):
            return Duplicate.model_construct(contact=found)
        answer = await self.service.call("find-duplicate", query=query)
        contact = answer.contact if isinstance(answer, Duplicate) else None
        if contact is not None and contact.id in await self._pretended("contacts", [contact.id]):
            return Duplicate.model_construct(contact=None)  # not any more: else it would have been found
        return answer

    async def _holder(self, query: Mapping[str, Any]) -> Contact | None:
        """Who would hold an e-mail or number, of those who would be written."""
        location = await self._location()
        book = Directory(self.run.database, self.run.name, location)
        wanted = {"email": query.get("email"), "phone": query.get("number")}
        content = {name: str(value).casefold() for name, value in wanted.items() if value}
        ids = [one.contact_id for one in await book.candidates([content])]
        for shown in (await self._pretended("contacts", ids)).values():
            if shown is not None and (found := holding(shown, content, location)) is not None:
                return found
        return None

    async def _seen(self, entity: str, one_id: str, answer: BaseModel) -> BaseModel:
        self._read[entity, one_id] = answer
        self._read.move_to_end((entity, one_id))
        if len(self._read) > REMEMBERED:
            self._read.popitem(last=False)
        if (now := subject()) is not None and (location := await self.run.known_location()) is not None:
            now.seen.setdefault(one_id, form_of(answer, location) or {})
        return answer

    # writes

    async def _write(self, name: str, path: Mapping[str, str], body: Request | None) -> BaseModel:
        if isinstance(body, CreateCustomField):
            self.fields.append(body.name)
            self.operations[name] += 1
            return CustomField.model_construct(id=self._id(), name=body.name, data_type=body.data_type)
        now = subject()
        if now is None:
            raise ConfigurationError(f"{name} cannot be rehearsed: it is about no record")
        foreseen = foresee(name, now, path, body, await self._location())
        if name == "enrol-in-workflow":
            await self.effect(foreseen)
            return Done(succeeded=True)
        entity = now.entity
        if name.startswith("create-"):
            return await self._create(foreseen, body)
        one_id = foreseen.target or ""
        current = await self._current(entity, one_id, path)
        foreseen = facing(foreseen, form_of(current, await self._location()) or {})
        shown = None if name.startswith("delete-") else written(current, name, body)
        await self._keep(foreseen, one_id, shown, now)
        if shown is None:
            return Done(succeeded=True)
        answer = ANSWERS[entity].model_construct(**shown)
        return ContactTags(tags=shown["tags"]) if name.endswith("-tags") else answer

    async def _create(self, foreseen: Foreseen, body: Request | None) -> BaseModel:
        entity, now = foreseen.entity, subject()
        if entity == "contacts" and not (await self._location()).allows_duplicates:
            for key, asked in (("email", "email"), ("phone", "number")):
                held = await self._holder({asked: foreseen.write.get(key)})
                if held is not None:
                    told = "another planned contact has it"
                    raise DuplicateContact(told, status=400, contact_id=held.id, field=key)
        made = self._id()
        parent = foreseen.target
        shown = written(ANSWERS[entity].model_construct(id=made), foreseen.name, body)
        shown |= {} if entity == "contacts" else {"contact_id": parent}
        await self._keep(foreseen, made, shown, now, parent)
        return ANSWERS[entity].model_construct(**shown)

    async def _current(self, entity: str, one_id: str, path: Mapping[str, str]) -> BaseModel:
        """A record as it would be shown now."""
        if (known := (await self._pretended(entity, [one_id])).get(one_id)) is not None:
            return ANSWERS[entity].model_construct(**known)
        if (entity, one_id) in self._read:
            return self._read[entity, one_id]
        name = next(name for name, of in ONE.items() if of == entity)
        wanted = {"contactId": one_id} if entity == "contacts" else path
        return await self._seen(entity, one_id, await self.service.call(name, path=wanted))

    async def _keep(
        self,
        foreseen: Foreseen,
        one_id: str,
        shown: dict[str, Any] | None,
        now: Subject | None,
        parent: str | None = None,
    ) -> None:
        """Note a write, what its target held, and what would be shown from now on."""
        self.operations[foreseen.name] += 1
        contact_id = contact_of(foreseen.source_id)
        rows = [(contact_id, "operation", foreseen.as_json())]
        if now is not None and one_id in now.seen:
            stood = {"entity": now.entity, "source_id": now.source_id, "target": one_id}
            rows.append((contact_id, "stood", {**stood, "form": now.seen[one_id]}))
        above = parent or (shown or {}).get("contact_id")

        def keep(connection: Any) -> None:  # noqa: ANN401 - a connection
            scratch.note(connection, rows)
            scratch.pretend(connection, foreseen.entity, one_id, shown, above)

        await self.run.database.do(keep)

    async def _pretended(
        self, entity: str, ids: Sequence[str], parent: str | None = None
    ) -> dict[str, dict[str, Any] | None]:
        look = partial(scratch.pretended, kind=entity, ids=ids, parent=parent)
        return await self.run.database.look(look)

    async def _location(self) -> Location:
        location = await self.run.known_location()
        assert location is not None  # noqa: S101 - it is met before anything is written
        return location

    def _id(self) -> str:
        self._made += 1
        return f"{PLANNED}{self._made}"


@asynccontextmanager
async def rehearsing(run: Run) -> AsyncIterator[Rehearsal]:
    """While inside, the run's ledger is a copy and its destination pretends; afterwards all is as before."""
    opening = scratch.scratch(run.state, run.name)
    database = await asyncio.to_thread(opening.__enter__)
    api = run.api
    inner = Caller(api.transport, location_id=api.location_id, version=api.version)
    rehearsal = Rehearsal(run, inner, reads_before=run.destination_wire.tally.reads)
    try:
        with _standing_in(
            run,
            database=database,
            journal=Journal(database),
            api=ContactsApi(api.transport, location_id=api.location_id, version=api.version, calls=rehearsal),
            findings=Findings(),
            freed=set(),
            rehearsal=rehearsal,
            _location=None,
            _directory=None,
        ):
            yield rehearsal
    finally:
        await asyncio.to_thread(opening.__exit__, None, None, None)


@contextmanager
def _standing_in(run: Run, **parts: Any) -> Any:  # noqa: ANN401 - a generator
    before = {name: getattr(run, name) for name in parts}
    for name, value in parts.items():
        setattr(run, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(run, name, value)
