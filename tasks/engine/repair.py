"""What mends the deviations that a verification found, as items of a plan; and what a person has to do.

Nothing is guessed: what is there too often, or stands where the ledger does not know it, is told and left.
A person's edit stands, except in fields that the source is to keep equal.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from tasks.engine.each import each
from tasks.engine.plan_items import Item, Key
from tasks.engine.run import Run
from tasks.engine.seek import Seeker
from tasks.engine.shape import Bundle
from tasks.engine.twins import restored
from tasks.engine.verify_compare import verifiable
from tasks.identity.directory import MEMORY
from tasks.ledger import deviations, records
from tasks.ledger.deviations import Deviation
from tasks.ledger.records import Record
from tasks.mapping.desired import Desired

BLOCK = 500
"""Deviations looked at together."""
NAMED = 20
"""Records that are told by their ids, of each entity and kind."""

TOLD = {
    "left": "deleted in HighLevel by somebody, and left so (mapping.deleted_contacts): --recreate plans it",
    "ask": "deleted in HighLevel by somebody: the next sync asks what becomes of it (voipsync review)",
    "merged": "merged in HighLevel into the contact in brackets: the next sync of a change links it there",
    "moved": "it stands under another contact than it was written to, as after a merge: it is left there",
    "edited": "a person's edit stands",
    "duplicated": "there is a second one: look at both in HighLevel, merge or delete what is too many",
    "orphaned": "it carries our mark, and the ledger does not know it there: delete it if nobody wants it",
    "copied": "it is missing, and a copy of it stands elsewhere: settle the copy first",
    "changed": "it has changed since it was looked at: verify again",
}
"""What is not planned, and why."""


@dataclass(slots=True)
class Repair:
    """The items of a repair, one for each source contact, and what is not in it."""

    run: Run
    recreates: bool
    merged: dict[str, str] = field(default_factory=dict)
    """Source contacts whose contact was merged into another one, and into which."""
    found: dict[str, Item] = field(default_factory=dict)
    _told: defaultdict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    _many: Counter[tuple[str, str]] = field(default_factory=Counter)
    _copied: set[Key] = field(default_factory=set)

    def take(self, several: Iterable[Deviation], known: dict[Key, Record]) -> None:
        """Decide about some deviations; records of what is missing or edited are ``known``."""
        for one in several:
            record = known.get(_key(one))
            match one.kind:
                case "detached":
                    continue  # it follows what becomes of its contact
                case "orphaned" if one.fields:
                    self._tell(one, "moved")
                case "duplicated" | "orphaned":
                    self._tell(one, one.kind)
                case _ if record is None or not _is_current(record, one):
                    self._tell(one, "changed")
                case "missing":
                    self._missing(one, record)
                case _:
                    self._edited(one, record)

    def _missing(self, one: Deviation, record: Record) -> None:
        if record.entity != "contacts":
            if record.key in self._copied:
                self._tell(one, "copied")
            else:
                self._activity(record)
        elif record.source_id in self.merged:
            self._tell(one, "merged", [self.merged[record.source_id]])
        elif self.recreates:
            self._contact(record, release=True)
        else:
            self._tell(one, "ask" if self.run.account.mapping.deleted_contacts == "ask" else "left")

    def _edited(self, one: Deviation, record: Record) -> None:
        equal = {name for name, rule in self.run.rules.policies.items() if rule.policy == "source"}
        planned = equal & {*one.fields} if record.entity == "contacts" else set[str]()
        if planned:
            self._contact(record, release=False)
        if stands := sorted({*one.fields} - planned):
            self._tell(one, "edited", stands)

    def copies(self, several: Iterable[Deviation]) -> None:
        """Note of which activities there are copies: were they created anew, there would be more."""
        self._copied |= {_key(one) for one in several if one.kind in ("duplicated", "orphaned")}

    @property
    def told(self) -> list[str]:
        """A sentence for each record that is not in it, for the first of each kind; then how many more."""
        sentences = []
        for (entity, why), names in sorted(self._told.items()):
            sentences += [f"{entity} {name}: {TOLD[why]}" for name in names]
            if (more := self._many[entity, why] - len(names)) > 0:
                sentences.append(f"{entity}: {more} more: {TOLD[why]}")
        return sentences

    def _contact(self, record: Record, *, release: bool) -> None:
        item = self._item(record.source_id)
        item.bundle.contact = Desired("contacts", record.source_id, None, restored(record.content or {}))
        self._planned(item, record, release=release)

    def _activity(self, record: Record) -> None:
        item = self._item(record.parent_id or "")
        content = {name: value for name, value in (record.content or {}).items() if name not in MEMORY}
        desired = Desired(record.entity, record.source_id, record.parent_id, content)
        item.bundle.children.setdefault(record.entity, []).append(desired)
        self._planned(item, record, release=True)

    def _item(self, contact_id: str) -> Item:
        return self.found.setdefault(contact_id, Item(Bundle(contact_id)))

    def _planned(self, item: Item, record: Record, *, release: bool) -> None:
        item.bundle.fingerprints[record.key] = record.fingerprint or ""
        keys = (*item.release, record.key) if release else item.release
        self.found[item.contact_id] = Item(item.bundle, keys, item.part)

    def _tell(self, one: Deviation, why: str, fields: Iterable[str] = ()) -> None:
        names = self._told[one.entity, why]
        self._many[one.entity, why] += 1
        if len(names) < NAMED:
            said = f" ({', '.join(fields)})" if fields else ""
            names.append(f"{one.source_id}, {one.destination_id}{said}")


async def items(run: Run, number: int, *, recreate: bool) -> tuple[list[Item], list[str]]:
    """What mends what a verification found, and sentences about what is left as it is.

    Args:
        run: that is open.
        number: of the verification.
        recreate: plan deleted contacts anew whatever the configuration says.
    """
    recreates = recreate or run.account.mapping.deleted_contacts == "recreate"
    repair = Repair(run, recreates)
    async for several in _blocks(run, number):
        repair.copies(several)
    async for several in _blocks(run, number):
        known = await _known(run, several)
        if recreates:
            gone = [known[key] for one in several if one.kind == "missing" and (key := _key(one)) in known]
            repair.merged |= await _survivors(run, [record for record in gone if record.entity == "contacts"])
        repair.take(several, known)
    return list(repair.found.values()), repair.told


async def _blocks(run: Run, number: int) -> AsyncIterator[list[Deviation]]:
    listed = partial(deviations.listed, account=run.name, number=number, most=BLOCK)
    several = await run.database.look(listed)
    while several:
        yield several
        several = await run.database.look(partial(listed, after=several[-1]))


async def _known(run: Run, several: Iterable[Deviation]) -> dict[Key, Record]:
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for one in several:
        if one.kind in ("missing", "edited"):
            wanted[one.entity].add(one.source_id)
    found: dict[Key, Record] = {}
    for entity, ids in wanted.items():
        load = partial(records.load, account=run.name, entity=entity, ids=ids)
        found |= {record.key: record for record in (await run.database.look(load)).values()}
    return found


async def _survivors(run: Run, gone: Sequence[Record]) -> dict[str, str]:
    """The contacts into which these were merged, as far as each is certain, by source id."""
    seek, found = Seeker(run), dict[str, str]()

    async def ask(record: Record) -> None:
        survivor = await seek.survivor(record, restored(record.content or {}))
        if survivor is not None:
            found[record.source_id] = survivor

    await each(run, gone, ask, run.account.destination.concurrency)
    return found


def _key(one: Deviation) -> Key:
    return (one.entity, one.source_id)


def _is_current(record: Record, one: Deviation) -> bool:
    """Whether a record still is what was looked at."""
    return verifiable(record) and record.destination_id == one.destination_id
