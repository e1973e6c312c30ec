"""Which routes fire: tags that appear on a contact, or disappear, because the source's labels changed.

A contact's content remembers, under ``labels``, what the source said when the contact last was as it should
be: its labels, its groups, and the tags that these became. What they become by today's rules is compared
with what the new ones become, so that a change of the configuration fires nothing for what was there. A
tag that somebody else set, or still holds there, neither appears nor disappears. Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID, uuid5

from tasks.engine.run import Run
from tasks.ledger.effects import Effect
from tasks.ledger.records import Record
from tasks.mapping.tags import tags
from tasks.mapping.text import clean, line
from tasks.mapping_settings import Route

KEYS = UUID("6f1d0c7e-9a7b-4b6a-9f51-3c8e5d2b7a10")
"""The namespace of effects' keys."""


def crossed(run: Run, before: Record, after: Record, put: Collection[str]) -> list[Effect]:
    """Return what a contact's new state starts, to be saved with it.

    Args:
        run: whose routes, and since when what is new is no history.
        before: the contact's record as the ledger held it.
        after: its new state.
        put: the tags of the contact at the destination that are there by our doing.
    """
    routes = run.account.mapping.routes
    if not routes:
        return []
    then, now = (before.content or {}).get("labels"), (after.content or {})["labels"]
    appeared, gone = _changes(run, then, now)
    changes = {
        "added": (appeared & set(put)) - set((after.content or {}).get("foreign_tags", ())),
        "removed": gone - set(put),
    }
    met_before = run.routes_from is None or before.first_seen_at < run.routes_from
    history = then is None and met_before
    at = run.now()
    return [
        _effect(after, route, at)
        for route in routes
        if clean(line(route.tag).lower()) in changes[route.when]
        and (not history or run.fires_for_history or (route.history and run.fires))
    ]


def remembered(before: Record, ours: dict[str, Any]) -> dict[str, Any]:
    """The content of a contact of which nothing is to be written, with what the source says now."""
    return {**(before.content or {}), "labels": ours["labels"]}


def action_of(route: Route) -> tuple[str, str]:
    """What a route does: the kind, and with what."""
    if route.workflow is not None:
        return "workflow", route.workflow
    return ("event", route.event) if route.event is not None else ("webhook", str(route.webhook))


def _changes(run: Run, then: list[list[str]] | None, now: list[list[str]]) -> tuple[set[str], set[str]]:
    """The tags that appeared and those that are gone, whatever the configuration was before."""
    new = set(now[2])
    if then is None:
        return new, set()
    labels, groups, held = then
    by_todays_rules = set(tags(labels, groups, run.rules))
    return new - by_todays_rules - set(held), (by_todays_rules & set(held)) - new


def _effect(record: Record, route: Route, at: float) -> Effect:
    action, target = action_of(route)
    parts = (record.account, record.source_id, route.tag, route.when, action, target, repr(at))
    return Effect(
        account=record.account,
        key=str(uuid5(KEYS, "\n".join(parts))),
        source_id=record.source_id,
        tag=route.tag,
        when=route.when,
        action=action,
        target=target,
        at=at,
    )
