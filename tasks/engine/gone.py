"""What becomes of a contact that is not at the destination any more: merged into another, or deleted there.

A merge deletes the losing contact (HighLevel): first we look whether another one carries what was ours. Else
the configuration says what is done. A record that is to be placed anew loses its place together with its
activities', in one transaction, so that they are sent again exactly once; under a contact that was there
before, they are looked for first, since a merge may have moved them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from tasks.engine import outcome
from tasks.engine.deeds import deed
from tasks.engine.run import Run
from tasks.engine.seek import Seeker
from tasks.engine.twins import restored
from tasks.identity.directory import MEMORY
from tasks.identity.resolve import linking
from tasks.ledger import records
from tasks.ledger.records import Record
from tasks.mapping.desired import Desired

DELETED = "deleted at the destination by someone"
KEPT = frozenset({"left", "gone"})
"""States of activities that are not sent again: somebody deleted them, at one side or the other."""


class ContactGone(Exception):  # noqa: N818 - no error: an answer, to be acted on by whoever has the activities
    """A linked contact was not found at the destination."""


@dataclass(frozen=True, slots=True)
class Vanished:
    """A contact's record after that, and what is to be brought to its next place."""

    contact: Record
    content: dict[str, Any]
    activities: tuple[tuple[Desired, str], ...] = ()
    """With the fingerprints of what they were made of."""


async def vanished(run: Run, before: Record, ours: Mapping[str, Any] | None, fingerprint: str) -> Vanished:
    """Decide about a linked contact that was not found, and record it."""
    content = dict(ours) if ours else restored(before.content or {})
    directory = await run.directory()
    await directory.remove(before.destination_id or "")
    survivor = await Seeker(run).survivor(before, content)
    if survivor is not None:
        run.findings.remark("contacts", "merged into another contact at the destination, and linked to it")
        why = f"merged into {survivor} at the destination"
        return await release(run, before, content, decision=linking(survivor), why=why)
    match run.account.mapping.deleted_contacts:
        case "recreate":
            run.findings.remark("contacts", "deleted at the destination by someone, and created anew")
            return await release(run, before, content, why=f"{DELETED}: it is created anew")
        case "ask":
            released = await release(run, before, content, why=DELETED)
            asked = outcome.deleted(released.contact)
            await run.journal.save(asked, deeds=[deed(asked, "ambiguous")])
            return Vanished(asked, content)
    run.findings.remark("contacts", "deleted at the destination by someone, and left so")
    left = outcome.left(before, fingerprint)
    await run.journal.save(left, deeds=[deed(left, "left")])
    return Vanished(left, content)


async def release(
    run: Run, before: Record, content: dict[str, Any], *, decision: str | None = None, why: str | None = None
) -> Vanished:
    """Take a contact and its activities out of the place that they had."""
    contact = outcome.released(before, decision)

    def move(connection: Connection) -> list[Record]:
        placed = [
            child
            for child in records.children_of(connection, run.name, before.source_id)
            if child.state not in KEPT and (child.destination_id or child.reason == "contact_left")
        ]
        records.save(connection, [contact, *map(outcome.released, placed)])
        told = [deed(outcome.released(one), "released", why=why, place=one.destination_id) for one in placed]
        mine = deed(contact, "released", why=why, place=before.destination_id)
        run.journal.history.write(connection, [mine, *told])
        return placed

    placed = await run.database.do(move)
    written = [child for child in sorted(placed, key=lambda one: one.first_seen_at) if child.content]
    return Vanished(contact, content, tuple((_desired(child), child.fingerprint or "") for child in written))


def _desired(child: Record) -> Desired:
    """What was last written of an activity, as if the source had just said it."""
    content = {name: value for name, value in (child.content or {}).items() if name not in MEMORY}
    return Desired(child.entity, child.source_id, child.parent_id, content)
