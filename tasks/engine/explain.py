"""A record's story from the ledger alone: met, mapped by which rule, decided why, sent, answered, still open.

Whole values stand in it: it is for the user's own terminal.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from tasks.engine import outcome
from tasks.engine.deeds import target_of
from tasks.engine.origins import origin_of
from tasks.engine.remedies import reason_of
from tasks.engine.twins import WITHHELD
from tasks.errors import ConfigurationError
from tasks.identity.directory import MEMORY
from tasks.identity.resolve import CREATING, linked_by
from tasks.ledger import effects, history, migrate, records
from tasks.ledger.database import opened
from tasks.ledger.history import Deed, Told
from tasks.ledger.records import Record
from tasks.ledger.sealing import Sealer
from tasks.ledger.tables import records as table
from tasks.mapping.rules import Rules
from tasks.settings import ACTIVITIES, ENTITIES, Settings

NEAREST = 3
"""Ids that an error names."""
SAYS = {
    "created": "created in HighLevel",
    "adopted": "found in HighLevel and linked",
    "updated": "changed in HighLevel",
    "kept": "compared with HighLevel; nothing was written",
    "recovered": "an earlier sending turned out to have happened",
    "unknown": "sent, and no answer said what came of it",
    "rejected": "refused",
    "ambiguous": "put to a person: which contact is it?",
    "decided": "decided by a person",
    "left": "deleted in HighLevel by someone, and left so",
    "released": "lost its place in HighLevel",
    "deleted": "deleted in HighLevel",
    "tagged": "tagged in HighLevel, instead of deleted",
    "gone": "vanished in VoIPstudio; HighLevel was left as it is",
    "stays": "a deletion did not happen",
}
"""What the history's words mean to a reader."""
WHY = {
    ("contacts", "created"): "nobody in the location was found to be this person",
    ("contacts", "updated"): "it changed at the source",
    ("activities", "created"): "its contact's list showed it for the first time",
    ("activities", "updated"): "it changed at the source",
}
"""Why something was done that goes without saying in the history."""


def story(name: str, settings: Settings, entity: str, source_id: str) -> dict[str, Any]:
    """Return what ``voipsync explain --json`` shows of a record.

    Raises:
        ConfigurationError: the ledger knows nothing of it; the text says what may have been meant.
    """
    account = settings.account(name)
    with opened(settings.state.url, Sealer.of_ledger(settings.state)) as database:
        if database.now_look(migrate.level) != migrate.HEAD:
            database.now_do(migrate.upgrade)

        def look(connection: Connection) -> dict[str, Any]:
            told = history.of_record(connection, name, entity, source_id)
            record = records.load(connection, name, entity, [source_id]).get(source_id)
            if record is None and not told:
                raise ConfigurationError(_unknown(connection, name, settings, entity, source_id))
            return _story(connection, name, told, record) | {
                "account": name,
                "entity": entity,
                "source_id": source_id,
                "mapped": _mapped(record, Rules.of(name, account)) if record else [],
                "history_days": settings.state.history_days,
            }

        return database.now_look(look)


def _story(connection: Connection, name: str, told: list[Told], record: Record | None) -> dict[str, Any]:
    steps = [_step(one) for one in told]
    if record is None:
        return {"state": "forgotten", "destination_id": None, "history": steps, "open": [], "activities": {}}
    children = records.children_of(connection, name, record.source_id) if record.entity == "contacts" else []
    counts: dict[str, dict[str, int]] = {}
    for child in children:
        states = counts.setdefault(child.entity, {})
        states[child.state] = states.get(child.state, 0) + 1
    parent = None
    if record.parent_id:
        parent = records.load(connection, name, "contacts", [record.parent_id]).get(record.parent_id)
    return {
        "state": record.state,
        "reason": record.reason,
        "destination_id": record.destination_id,
        "contact": record.parent_id,
        "origin": record.origin,
        "first_seen_at": record.first_seen_at,
        "last_walk": record.seen or None,
        "synced_at": record.synced_at,
        "history": steps,
        "sent": _sent(record),
        "open": [*_open(record, parent), *_routes(connection, record)],
        "attempts": record.attempts,
        "next_attempt_at": record.next_attempt_at,
        "activities": counts,
    }


def _step(one: Told) -> dict[str, Any]:
    deed = one.deed
    return {
        "at": deed.at,
        "run_id": one.run_id,
        "run": one.kind,
        "action": deed.action,
        "says": _says(deed),
        "before": deed.before,
        "after": deed.after,
        "why": deed.why or WHY.get(("contacts" if deed.entity == "contacts" else "activities", deed.action)),
        "reason": deed.reason,
        "status": deed.status,
        "destination_id": deed.destination_id,
    }


def _says(deed: Deed) -> str:
    if deed.action != "route":
        return SAYS[deed.action]
    what = deed.after or {}
    tagged = f"tag {what.get('tag')} was {what.get('when')}"
    return f"{what.get('action')} {what.get('target')}, as {tagged}: {what.get('state')}"


def _mapped(record: Record, rules: Rules) -> list[dict[str, Any]]:
    """What was last written, field by field, each with where it comes from and who has the last word."""
    content = {name: value for name, value in (record.content or {}).items() if name not in MEMORY}
    return [
        {"field": field, "value": value, **origin_of(record.entity, field, rules)}
        for field, value in content.items()
        if value not in (None, "", [])
    ]


def _sent(record: Record) -> dict[str, Any] | None:
    """A sending whose outcome is not recorded."""
    if record.intent is None:
        return None
    shown = record.intent.get("write") or record.intent.get("content") or {}
    return {
        "operation": record.intent["operation"],
        "at": record.intent["at"],
        "content": {name: value for name, value in shown.items() if name not in MEMORY},
    }


def _open(record: Record, parent: Record | None) -> list[str]:
    """What is not as it should be yet, or stands apart, and what is to be done about it."""
    said = []
    if record.intent is not None:
        said.append(
            "its last sending has no recorded outcome: the next run asks HighLevel before anything else"
        )
    if record.state != "synced" and record.reason:
        said += _reason(record)
    if record.state == "waiting" and parent is not None:
        said.append(
            f"contact {parent.source_id} is {parent.state}" + (f" ({parent.reason})" if parent.reason else "")
        )
    if record.state == "ambiguous":
        matched: Mapping[str, Any] = (record.payload or {}).get("matched", {})
        said += [
            f"it may be {one}" + (f" (same {', '.join(keys)})" if keys else "")
            for one, keys in matched.items()
        ]
    if record.decision:
        linked = linked_by(record.decision)
        what = "is created" if record.decision == CREATING else f"is linked to {linked}"
        said.append(f"decided: it {what} by the next run")
    for key, memory in WITHHELD.items():
        if value := (record.content or {}).get(memory):
            said.append(
                f"{key} {value} is not written: another contact has it; it is, once that one gives it up"
            )
    if record.missing is not None:
        said.append(
            "its contact's list was read whole without it: it is deleted within the configured limits"
        )
    return said


def _routes(connection: Connection, record: Record) -> list[str]:
    """What its tags started and is not done yet."""
    if record.entity != "contacts":
        return []
    said = []
    for effect in effects.open_of(connection, record.account, record.source_id):
        why = f": {reason_of(effect.reason).means}" if effect.reason else ""
        what = f"{effect.action} {target_of(effect)}"
        said.append(f"the {what} that tag {effect.tag} starts is not done yet{why}")
    return said


def _reason(record: Record) -> list[str]:
    reason = reason_of(record.reason or "")
    answer = f": {record.error}" if record.error else ""
    code = f" ({record.reason})" if record.reason != record.state else ""
    said = [f"{record.state}{code}: {reason.means}{answer}".replace(": : ", ": ")]
    if reason.remedy:
        said.append(f"to do: {reason.remedy}")
    if record.state == "rejected":
        times = f"refused {record.attempts} time{'s' if record.attempts != 1 else ''}"
        if record.next_attempt_at == outcome.NEVER:
            said.append(f"{times}: not tried again by itself, until it changes at the source")
        elif record.next_attempt_at is None:
            said.append(f"{times}: the next run tries again")
        else:
            when = datetime.fromtimestamp(record.next_attempt_at).astimezone()
            said.append(f"{times}: tried again from {when:%Y-%m-%d %H:%M} on, or now by `voipsync retry`")
    return said


def _unknown(connection: Connection, name: str, settings: Settings, entity: str, source_id: str) -> str:
    """Why nothing is known of a record, as far as can be told, and what may have been meant."""
    account, where = settings.account(name), f"accounts.{name}"
    begin = f"{name} knows no {entity} record {source_id}"
    if entity in ACTIVITIES and getattr(account.source.streams, entity) == "off":
        return f"{begin}: {where}.source.streams.{entity} is off"
    if entity == "appointments" and account.destination.calendar_id is None:
        return f"{begin}: appointments are off, as {where}.destination.calendar_id says no calendar"
    near = _nearest(connection, name, entity, source_id)
    if near:
        named = "contact's id/own id, " if entity in ACTIVITIES and "/" not in source_id else ""
        return f"{begin}; it knows {named}such as: {', '.join(near)}"
    other = [one for one in ENTITIES if source_id in records.load(connection, name, one, [source_id])]
    if other:
        return f"{begin}; there is one among the {', '.join(other)}"
    if not records.count_known(connection, name):
        return f"{begin}: it has not been synced yet; run: voipsync sync {name}"
    return f"{begin}, nor any other"


def _nearest(connection: Connection, name: str, entity: str, source_id: str) -> list[str]:
    ids = select(table.c.source_id).where(table.c.account == name, table.c.entity == entity).limit(NEAREST)
    if entity in ACTIVITIES and "/" not in source_id:
        ends = ids.where(table.c.source_id.endswith(f"/{source_id}", autoescape=True))
        if found := list(connection.execute(ends.order_by(table.c.source_id)).scalars()):
            return found
    after = ids.where(table.c.source_id > source_id).order_by(table.c.source_id)
    before = ids.where(table.c.source_id < source_id).order_by(table.c.source_id.desc())
    return [
        *reversed(list(connection.execute(before).scalars())),
        *connection.execute(after).scalars(),
    ]


WORDS = {entity: entity for entity in ENTITIES} | {entity[:-1]: entity for entity in ENTITIES}
"""What a user may call an entity."""
