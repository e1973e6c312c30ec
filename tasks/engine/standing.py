"""Whether what stands at the destination is as we left it, and whether anything of others hangs on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.engine.entities.child import Place
from tasks.engine.merge import BESIDES, same
from tasks.engine.run import Run
from tasks.engine.write import CHILDREN
from tasks.ledger import records
from tasks.ledger.records import Record

BY_ITSELF = frozenset({"assignedUserId", "assignedTo", "userId"})
"""Fields that the service fills in where we wrote none: they tell of no edit."""
OF_THE_LOCATION = frozenset({"country", "timezone", "source"})
"""Fields of a contact that the location may fill in by itself."""

Content = Mapping[str, Any]


def untouched(ours: Content, theirs: Content) -> bool:
    """Whether what stands at the destination is what we wrote, and nothing besides."""
    return not edited(ours, theirs)


def edited(ours: Content, theirs: Content, *, besides: frozenset[str] = frozenset()) -> list[str]:
    """The fields that are not as we wrote them; those that we never wrote count, but for ``besides``."""
    added = set(theirs) - BY_ITSELF - BESIDES - besides
    named = sorted({name for name in ours if name not in BESIDES} | added)
    return [name for name in named if not same(name, ours.get(name), theirs.get(name))]


async def in_the_way(run: Run, linked: Sequence[Record], theirs: Content) -> str | None:
    """Say why a contact that we created should not be deleted, if anything speaks against it.

    Args:
        run: that asks.
        linked: the records that are linked to it.
        theirs: what it holds now.
    """
    ours: dict[str, Any] = {}
    tags: set[str] = set()
    for record in linked:
        ours |= {name: value for name, value in (record.content or {}).items() if name not in BESIDES}
        tags |= set((record.content or {}).get("tags", ()))
    changed = edited(ours, theirs, besides=OF_THE_LOCATION)
    changed += [f"tag {tag}" for tag in theirs.get("tags", ()) if tag not in tags]
    if changed:
        return f"a person changed {', '.join(changed)}"
    known = await run.database.look(
        lambda connection: {
            (child.entity, child.destination_id): child
            for record in linked
            for child in records.children_of(connection, run.name, record.source_id)
        }
    )
    place = Place(linked[0].destination_id or "", run.account.destination.calendar_id)
    for entity, kind in CHILDREN.items():
        there = [(known.get((entity, one)), held) for one, held in await kind.listing(run.api, place, {})]
        if strange := sum(child is None for child, _ in there):
            return f"{strange} of its {entity} are a person's"
        if touched := sum(not untouched(child.content or {}, held) for child, held in there if child):
            return f"a person changed {touched} of its {entity}"
    return None
