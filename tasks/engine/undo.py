"""The reverse of a run, as items of a plan: every field still as the run left it goes back to what it was.

What the run created is deleted where it is as we left it and nothing of others hangs on it; activities that
it deleted are created again. What a person, or a later run, changed since stays, and is told, as is what
nobody can take back: what a workflow or a webhook has done, and a contact that was deleted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection

from tasks.engine.deeds import WITH_CONTACT, changes_in, is_creation
from tasks.engine.entities.child import Place
from tasks.engine.merge import same
from tasks.engine.plan_items import Item, Key, contact_of
from tasks.engine.run import Run
from tasks.engine.shape import Bundle
from tasks.engine.standing import edited, in_the_way
from tasks.engine.write import CHILDREN
from tasks.errors import ApiError, ConfigurationError, NotFound
from tasks.identity.directory import normal_form
from tasks.ledger import history, records
from tasks.ledger.history import Deed, Told
from tasks.ledger.records import Record
from tasks.mapping.desired import Desired
from tasks.together import together

AGAIN = (
    "what is undone stays so until it changes at the source: then, and in a full sync, it is written again; "
    "to keep it, change the mapping or the source first"
)
NEEDED = frozenset({"id", "companyName"})
"""Fields that stay: our id is how the contact is known, the company is only set on creation."""
_ONE = {"contacts": "contact", "notes": "note", "tasks": "task", "appointments": "appointment"}


async def reverse_of(run: Run, run_id: str) -> tuple[list[Item], list[str]]:
    """Return what takes a run back, contact by contact, and a sentence for all that cannot be taken back.

    Raises:
        ConfigurationError: nothing is known of such a run's writes.
    """
    run_id = await run.database.look(partial(chosen_run, account=run.name, which=run_id))
    done = await run.database.look(partial(history.of_run, account=run.name, run_id=run_id))
    since = await run.database.look(partial(history.since_run, account=run.name, run_id=run_id))
    reverse = Reverse(run, _by_record(done), _by_record(since))
    contacts: dict[str, list[Key]] = {}
    for key in reverse.done:
        contacts.setdefault(contact_of(key[1]), []).append(key)
    queue = deque(contacts.items())
    items: list[Item] = []

    async def worker() -> None:
        while queue:
            run.check()
            if item := await reverse.item(*queue.popleft()):
                items.append(item)

    await together(worker() for _ in range(min(len(queue), run.account.destination.concurrency)))
    items.sort(key=lambda item: item.contact_id)
    return items, [*sorted(reverse.told), *([AGAIN] if items else ())]


def chosen_run(connection: Connection, account: str, which: str) -> str:
    """Return the run of this id, or whose id begins so.

    Raises:
        ConfigurationError: there is none, or more than one.
    """
    found = history.runs_like(connection, account, which) if which else []
    if which in found or len(found) == 1:
        return which if which in found else found[0]
    if found:
        raise ConfigurationError(f"several runs of {account} begin with {which}: {', '.join(found)}, …")
    raise ConfigurationError(
        f"the history holds no write of a run {which} of {account}: it wrote nothing, or is older than "
        f"state.history_days; `voipsync status {account}` names the last runs"
    )


@dataclass(slots=True)
class Reverse:
    """Takes the writes of one run back.

    Attributes:
        done: what the run did, by record.
        since: what others did about these records since.
        told: what cannot be taken back.
    """

    run: Run
    done: Mapping[Key, Sequence[Told]]
    since: Mapping[Key, Sequence[Told]]
    told: list[str] = field(default_factory=list)

    async def item(self, contact_id: str, keys: Sequence[Key]) -> Item | None:
        """The reverse of what was done about a contact and its activities; None where there is none."""
        known = await self._records([*keys, ("contacts", contact_id)])
        contact = known.get(("contacts", contact_id))
        item = Item(Bundle(contact_id))
        try:
            if ("contacts", contact_id) in self.done:
                item = await self._contact(contact_id, contact)
            if item.part:
                return item  # its activities go with it
            for key in keys:
                if key[0] != "contacts":
                    item = await self._activity(item, key, known.get(key), contact)
        except ApiError as error:
            self._tell(("contacts", contact_id), f"could not be looked at: {error}")
            return None
        empty = item.bundle.contact is None and not item.bundle.children and not item.part
        return None if empty else item

    async def _contact(self, contact_id: str, record: Record | None) -> Item:
        key, item = ("contacts", contact_id), Item(Bundle(contact_id))
        deeds = [one.deed for one in self.done[key]]
        self._tell_for_good(key, deeds)
        if not self._stands(key, record, deeds):
            return item
        assert record is not None  # noqa: S101 - it stands
        theirs = await self._read_contact(record)
        if theirs is None:
            self._tell(key, "is not in HighLevel any more")
            return item
        if any(map(is_creation, deeds)):
            if why := await self._holds(record, theirs):
                self._tell(key, f"stays: {why}")
                return item
            return replace(item, part=(key,))
        if (content := self._former(key, record, theirs)) is None:
            return item
        item.bundle.contact = Desired("contacts", contact_id, None, content)
        item.bundle.fingerprints[key] = record.fingerprint or ""
        return item

    async def _holds(self, record: Record, theirs: Mapping[str, Any]) -> str | None:
        """Why a contact that the run created is not deleted."""
        if later := self._later(record.key):
            return f"run {later} wrote to it since"
        contact_id = record.destination_id or ""
        linked = await self.run.database.look(
            lambda connection: records.linked_to(connection, self.run.name, contact_id)
        )
        if others := [one.source_id for one in linked if one.key != record.key]:
            return f"contact {', '.join(others)} is linked to it as well"
        below = await self.run.database.look(
            lambda connection: records.children_of(connection, self.run.name, record.source_id)
        )
        for child in below:
            mine = any(is_creation(one.deed) for one in self.done.get(child.key, ()))
            if child.destination_id and not mine:
                return f"another run wrote {_named(child.key)}, which hangs on it"
        return await in_the_way(self.run, linked, theirs)

    async def _activity(self, item: Item, key: Key, record: Record | None, contact: Record | None) -> Item:
        deeds = [one.deed for one in self.done[key]]
        if deeds[-1].action == "deleted":
            return self._restored(item, key, record, contact, deeds[-1])
        self._tell_for_good(key, deeds)
        if not self._stands(key, record, deeds) or contact is None or contact.destination_id is None:
            return item
        assert record is not None  # noqa: S101 - it stands
        place = Place(contact.destination_id, self.run.account.destination.calendar_id)
        try:
            theirs = await CHILDREN[record.entity].read(self.run.api, place, record.destination_id or "")
        except NotFound:
            self._tell(key, "is not in HighLevel any more")
            return item
        if any(map(is_creation, deeds)):
            later, changed = self._later(key), edited(record.content or {}, theirs)
            if later or changed:
                why = f"run {later} wrote to it" if later else f"a person changed {', '.join(changed)}"
                self._tell(key, f"stays: {why} since")
                return item
            return replace(item, part=(*item.part, key))
        if (content := self._former(key, record, theirs)) is not None:
            self._bring(item, record, content)
        return item

    def _restored(
        self, item: Item, key: Key, record: Record | None, contact: Record | None, deed: Deed
    ) -> Item:
        """An activity that the run deleted, created again."""
        if deed.why == WITH_CONTACT:
            return item  # it is told of the contact
        if contact is None or contact.state != "synced":
            self._tell(key, "was deleted, and its contact is not in HighLevel")
        elif record is None or record.state != "gone" or record.destination_id or not deed.before:
            self._tell(key, "was deleted, and has returned since")
        else:
            self._bring(
                item, record, {name: value for name, value in deed.before.items() if value not in (None, "")}
            )
        return item

    def _bring(self, item: Item, record: Record, content: dict[str, Any]) -> None:
        one = Desired(record.entity, record.source_id, record.parent_id, content)
        item.bundle.children.setdefault(record.entity, []).append(one)
        item.bundle.fingerprints[record.key] = record.fingerprint or ""

    def _former(self, key: Key, record: Record, theirs: Mapping[str, Any]) -> dict[str, Any] | None:
        """The record's content as it was before the run, as far as can be; None where nothing changes."""
        before, after, added, removed = changes_in([one.deed for one in self.done[key]])
        content = dict(record.content or {})
        back: dict[str, Any] = {}
        for name, value in before.items():
            if name in NEEDED or same(name, value, after[name]):
                continue
            if later := self._later(key, name):
                self._tell(key, f"{name} stays: run {later} wrote it since")
            elif not same(name, theirs.get(name), after[name]):
                self._tell(key, f"{name} stays: a person changed it since")
            elif record.entity != "contacts" and value in (None, ""):
                self._tell(key, f"{name} stays: it was empty, and HighLevel does not let it be emptied")
            else:
                back[name] = None if value == "" else value
        back = self._with_a_key(key, back, theirs)
        tags, there = list(content.get("tags", ())), theirs.get("tags", ())
        mine = [tag for tag in added if tag in tags and tag in there and not self._later(key, "tags")]
        gone = [tag for tag in removed if tag not in there and not self._later(key, "tags")]
        if added + removed and self._later(key, "tags"):
            self._tell(key, f"tags stay: run {self._later(key, 'tags')} wrote them since")
        if not (back or mine or gone):
            return None
        content |= back
        if mine or gone:
            content["tags"] = [*(tag for tag in tags if tag not in mine), *(t for t in gone if t not in tags)]
        return content

    def _with_a_key(self, key: Key, back: dict[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
        """A contact without e-mail and phone is taken by nobody: one of them stays."""
        ends = {**theirs, **back}
        if key[0] != "contacts" or ends.get("email") or ends.get("phone"):
            return back
        kept = {name: value for name, value in back.items() if name not in ("email", "phone")}
        if kept != back:
            self._tell(key, "e-mail and phone stay: without either, HighLevel takes no contact")
        return kept

    def _stands(self, key: Key, record: Record | None, deeds: Sequence[Deed]) -> bool:
        """Whether there is something to take back, and the record is where the run left it."""
        wrote = [one for one in deeds if one.action in ("created", "updated", "adopted", "recovered")]
        if not wrote:
            return False
        if record is None or record.destination_id != wrote[-1].destination_id:
            self._tell(key, "is not where the run left it any more")
            return False
        if record.intent is not None:
            self._tell(key, f"has a sending of unknown outcome: run voipsync sync {self.run.name} first")
            return False
        if record.state != "synced":
            self._tell(key, f"is {record.state} now ({record.reason})")
            return False
        return True

    def _tell_for_good(self, key: Key, deeds: Iterable[Deed]) -> None:
        """What nobody can take back."""
        for one in deeds:
            match one.action:
                case "deleted" if key[0] == "contacts":
                    self._tell(key, "was deleted: a deleted contact cannot be had back with its history")
                case "tagged":
                    self._tell(key, "was tagged for having vanished: take the tag off in HighLevel")
                case "route" if (one.after or {}).get("state") == "done":
                    what = one.after or {}
                    self._tell(
                        key, f"what the {what['action']} that tag {what['tag']} started has done stays"
                    )
                case "unknown" if not any(other.action == "recovered" for other in deeds):
                    self._tell(key, "was sent something without an answer: what came of it is in a later run")

    def _later(self, key: Key, name: str | None = None) -> str | None:
        """A run that wrote to a record, or to one of its fields, since."""
        for one in self.since.get(key, ()):
            fields = {**(one.deed.before or {}), **(one.deed.after or {})}
            if one.deed.action in ("updated", "recovered", "tagged") and (name is None or name in fields):
                return one.run_id
        return None

    async def _read_contact(self, record: Record) -> dict[str, Any] | None:
        try:
            contact = await self.run.api.get_contact(record.destination_id or "")
        except NotFound:
            return None
        return None if contact.deleted else normal_form(contact, await self.run.location())

    async def _records(self, keys: Sequence[Key]) -> dict[Key, Record]:
        wanted: dict[str, list[str]] = {}
        for entity, source_id in keys:
            wanted.setdefault(entity, []).append(source_id)
        name = self.run.name
        return await self.run.database.look(
            lambda connection: {
                record.key: record
                for entity, ids in wanted.items()
                for record in records.load(connection, name, entity, ids).values()
            }
        )

    def _tell(self, key: Key, what: str) -> None:
        self.told.append(f"{_named(key)} {what}")


def _named(key: Key) -> str:
    return f"{_ONE[key[0]]} {key[1]}"


def _by_record(done: Iterable[Told]) -> dict[Key, list[Told]]:
    found: dict[Key, list[Told]] = {}
    for one in done:
        found.setdefault((one.deed.entity, one.deed.source_id), []).append(one)
    return found
