"""Says of each new contact of a batch who it is at the destination, and in which order that can be said.

New contacts that share an e-mail or phone among themselves are taken one after the other, so that the second
sees what the first became. Where a candidate belongs to another source contact, an e-mail or phone may have
moved: what that one is today must be known and written first, so that whoever depends on it is put off, if
need be until the source has been read to its end. Source contacts linked to one contact take turns, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tasks.engine import outcome
from tasks.engine.run import Run
from tasks.engine.shape import Bundle
from tasks.errors import ApiError
from tasks.identity.resolve import Adopt, Ambiguous, Candidate, Verdict, resolve, settled
from tasks.ledger import records
from tasks.ledger.records import Record
from tasks.mapping.desired import Desired

ROUNDS = 4
"""How often one contact is resolved anew before it is called ambiguous."""
ENDED = frozenset({"left", "gone"})
"""States of a source contact that has no say any more about the contact it was linked to."""
Claim = tuple[str, str]
Said = Verdict | ApiError
"""Who a new contact is, or why that cannot be said."""
Turn = tuple[Bundle, Said | None]


@dataclass(frozen=True, slots=True)
class _Population:
    """Who is at the destination, as far as a batch is concerned."""

    by_key: Mapping[Claim, list[Candidate]]
    owners: Mapping[str, list[Record]]
    refused: Mapping[str, ApiError]

    def near(self, content: Mapping[str, Any]) -> list[Candidate]:
        """Those who share a key with a content, each once."""
        found = {
            one.contact_id: one
            for name in ("id", "email", "phone")
            for one in self.by_key.get((name, content.get(name) or ""), ())
        }
        return list(found.values())


@dataclass(slots=True)
class Resolver:
    """Resolves the contacts of one run, batch after batch.

    Attributes:
        refused_by: source contacts that the location refused to create, and the contact that it named.
        put_off: bundles that wait for the end of the source.
        at_end: whether it was reached, so that nobody is put off any more.
    """

    run: Run
    refused_by: Mapping[str, str]
    put_off: list[Bundle] = field(default_factory=list)
    at_end: bool = False
    _allows_duplicates: bool = False

    async def turns(
        self, bundles: list[Bundle], known: Mapping[str, Record], rounds: dict[str, int]
    ) -> tuple[list[Turn], list[Bundle]]:
        """Return who is to be written now, the new ones with a verdict, and who comes after them."""
        now: list[Turn] = []
        later: list[Bundle] = []
        claimed: set[Claim] = set()
        old = [bundle for bundle in bundles if not self._is_new(bundle, known.get(bundle.contact_id))]
        for bundle in old:
            record = known.get(bundle.contact_id)
            place = {("contact", record.destination_id)} if record and record.destination_id else set()
            if place & claimed:
                later.append(bundle)
            else:
                claimed |= place
                now.append((bundle, None))
        going = {bundle.contact_id for bundle in old}
        new = [bundle for bundle in bundles if bundle.contact_id not in going]
        self.run.newcomers = max(self.run.newcomers, len(new))
        population = await self._population(new) if new else None
        for bundle in new:
            assert population is not None  # noqa: S101 - narrows the type
            content = _content(bundle)
            if (refused := population.refused.get(content["id"])) is not None:
                now.append((bundle, refused))
                continue
            near = population.near(content)
            claims = {(name, content[name]) for name in ("email", "phone") if content.get(name)}
            owners = [owner for one in near for owner in population.owners.get(one.contact_id, ())]
            if claims & claimed or any(owner.source_id in going for owner in owners):
                later.append(bundle)
                continue
            if not self.at_end and not all(map(self._is_current, owners)):
                self.put_off.append(bundle)
                continue
            verdict = self._verdict(bundle, known.get(bundle.contact_id), near, rounds)
            if isinstance(verdict, Adopt):
                if ("contact", verdict.contact_id) in claimed:
                    later.append(bundle)
                    continue
                claims.add(("contact", verdict.contact_id))
            claimed |= claims
            rounds[bundle.contact_id] += 1
            now.append((bundle, verdict))
        return now, later

    def _is_new(self, bundle: Bundle, before: Record | None) -> bool:
        if not isinstance(bundle.contact, Desired) or "contacts" not in self.run.entities:
            return False
        if before is None:
            return True
        waits = outcome.is_asked(before) and self.run.account.mapping.deleted_contacts != "recreate"
        return before.destination_id is None and before.intent is None and not waits

    def _is_current(self, owner: Record) -> bool:
        """Whether what we know of a source contact is of this run."""
        return (owner.synced_at or 0.0) >= self.run.started

    def _verdict(
        self, bundle: Bundle, before: Record | None, near: Collection[Candidate], rounds: Mapping[str, int]
    ) -> Verdict:
        content = _content(bundle)
        if rounds[bundle.contact_id] >= ROUNDS:
            named = [one for one in [self.refused_by.get(bundle.contact_id)] if one]
            reason = "the location refuses it as a duplicate of a contact that does not show why"
            return Ambiguous(tuple(named), reason, dict.fromkeys(named, ()))
        if before is not None and before.decision:
            return settled(before.decision, content, near, allows_duplicates=self._allows_duplicates)
        return resolve(content, near)

    async def _population(self, new: list[Bundle]) -> _Population:
        directory = await self.run.directory()
        self._allows_duplicates = directory.location.allows_duplicates
        contents = [_content(bundle) for bundle in new]
        unknown = {} if directory.whole else await directory.look_up(self.run.api, contents)
        refused = [self.refused_by[one.contact_id] for one in new if one.contact_id in self.refused_by]
        candidates = await directory.candidates(contents, refused)
        owners = await self._owners([one.contact_id for one in candidates])
        by_key: defaultdict[Claim, list[Candidate]] = defaultdict(list)
        for one in candidates:
            linked = tuple(owner.content or {} for owner in owners.get(one.contact_id, ()))
            for key in _keys(one):
                by_key[key].append(replace(one, linked=linked))
        return _Population(by_key, owners, unknown)

    async def _owners(self, contact_ids: Collection[str]) -> dict[str, list[Record]]:
        """The source contacts linked to these contacts."""
        found: defaultdict[str, list[Record]] = defaultdict(list)
        if contact_ids:
            name = self.run.name
            for owner in await self.run.database.look(
                lambda connection: records.linked_to(connection, name, *contact_ids)
            ):
                if owner.state not in ENDED and owner.destination_id:
                    found[owner.destination_id].append(owner)
        return dict(found)


def _keys(one: Candidate) -> Iterable[Claim]:
    named = {"id": one.source_id, "email": one.email, "phone": one.phone}
    yield from ((name, value) for name, value in named.items() if value)
    yield from ((name, value) for value in one.also for name in ("email", "phone"))


def _content(bundle: Bundle) -> dict[str, Any]:
    assert isinstance(bundle.contact, Desired)  # noqa: S101 - narrows the type
    return bundle.contact.content
