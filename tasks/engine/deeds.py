"""What the history says of a write: the words for what was done, and what of it changed. Pure.

===========  ===========================================================================================
created      at the destination, by us
adopted      found there and linked; what was empty of it was filled
updated      what the source changed was written
kept         the source changed something, and what a person wrote at the destination stands
recovered    an earlier write of unknown outcome turned out to have happened
unknown      it was sent, and no answer said what came of it
rejected     it was refused, by the destination or by our own checks
ambiguous    a person is asked which contact it is
decided      a person said which contact it is
left         a person deleted it at the destination, and it is left so
released     it lost its place at the destination, and is brought there anew
deleted      at the destination, by us
tagged       instead of deleted
gone         it vanished at the source, and what stands at the destination is left alone
stays        a deletion did not happen
route        what a tag started
===========  ===========================================================================================
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from tasks.engine.merge import MERGED, NO_POLICIES, Merge, Policies, same
from tasks.identity.directory import MEMORY
from tasks.ledger.effects import Effect
from tasks.ledger.history import Deed
from tasks.ledger.records import Record
from tasks.webhook import shown

Content = Mapping[str, Any]
WELL = frozenset({"created", "adopted", "updated", "kept", "recovered"})
"""Actions after which the destination holds what it should: what was refused before is no matter."""
TAKEN_BACK = "what an earlier run wrote is taken back"
WITH_CONTACT = "deleted with its contact"
ARRIVED = "it had arrived, although no answer said so"


def deed(
    record: Record,
    action: str,
    before: Content | None = None,
    after: Content | None = None,
    *,
    why: str | None = None,
    place: str | None = None,
) -> Deed:
    """Say what was done about a record, by its new state; ``place``: where it was, if it no longer is."""
    well = action in WELL
    return Deed(
        account=record.account,
        entity=record.entity,
        source_id=record.source_id,
        destination_id=record.destination_id or place,
        action=action,
        before=before or None,
        after=after or None,
        why=why or (None if well else record.error),
        reason=None if well else record.reason,
        status=None if well else record.status,
    )


def whole(content: Content) -> dict[str, Any]:
    """All of a content that stands at the destination."""
    return {name: value for name, value in content.items() if name not in MEMORY}


def difference(
    theirs: Content, write: Content, add: Collection[str] = (), remove: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of a change as they stood and as they were written, with tags taken away and put there."""
    before = {name: theirs.get(name) for name in write}
    tags = bool(add or remove)
    return (
        before | ({"tags": list(remove)} if tags else {}),
        dict(write) | ({"tags": list(add)} if tags else {}),
    )


def arrived(before: Record, theirs: Content) -> list[Deed]:
    """What of a change of unknown outcome is there: to be told once, with the record's next state."""
    sent, held, there = before.intent or {}, (before.content or {}).get("tags", []), theirs.get("tags", [])
    was = sent.get("was", {})
    write = {
        name: value
        for name, value in sent.get("write", {}).items()
        if same(name, theirs.get(name), value) and not same(name, was.get(name), value)
    }
    add = [tag for tag in sent.get("add_tags", ()) if tag in there and tag not in held]
    remove = [tag for tag in sent.get("remove_tags", ()) if tag not in there]
    if not (write or add or remove):
        return []
    return [deed(before, "recovered", *difference(was, write, add, remove), why=ARRIVED)]


def reasons(found: Merge, policies: Policies = NO_POLICIES) -> str | None:
    """Why fields were written, or left, where that does not go without saying."""
    told = []
    for name in found.write:
        if name in found.conflicts:
            told.append(f"{name}: changed at both sides, the source wins by its rule")
        elif policies.get(name, MERGED).policy == "source":
            told.append(f"{name}: kept equal to the source by its rule")
    told += [
        f"{name}: kept as a person wrote it at the destination"
        for name in found.conflicts
        if name not in found.write
    ]
    return "; ".join(told) or None


def matched(ours: Content, theirs: Content, decision: str | None) -> str:
    """By what a contact at the destination was taken for this one."""
    if decision:
        return "as a person decided"
    if ours.get("id") and ours["id"] == theirs.get("id"):
        return "matched by our id, which it carries"
    for name, word in (("email", "e-mail"), ("phone", "phone")):
        if ours.get(name) and ours[name] == theirs.get(name):
            return f"matched by {word}"
    return "matched by a further e-mail or phone that the CRM keeps of it"


def routed(effect: Effect, before: Effect | None, contact_id: str | None) -> Sequence[Deed]:
    """What a route did; nothing where an attempt ended as the one before."""
    if before is not None and (before.state, before.reason) == (effect.state, effect.reason):
        return ()
    told = {name: getattr(effect, name) for name in ("tag", "when", "action", "state")}
    return [
        Deed(
            account=effect.account,
            entity="contacts",
            source_id=effect.source_id,
            destination_id=contact_id,
            action="route",
            after={**told, "target": target_of(effect)},
            why=effect.error,
            reason=effect.reason,
        )
    ]


def target_of(effect: Effect) -> str:
    """What a route's effect is about, for people to see: a webhook's path may be a secret."""
    return shown(effect.target) if effect.action == "webhook" else effect.target


def of_change(
    done: Record,
    theirs: Content,
    found: Merge,
    *,
    action: str = "updated",
    add: Collection[str] = (),
    remove: Collection[str] = (),
    why: str | None = None,
    policies: Policies = NO_POLICIES,
) -> list[Deed]:
    """What a comparison with the destination led to; nothing where nothing was written nor left.

    Args:
        done: the record's new state.
        theirs: what the destination held.
        found: what was written, and what was left as a person wrote it.
        action: what it comes to where something was written, or a record was linked.
        add: tags put there.
        remove: tags taken away.
        why: besides what `reasons` says.
        policies: the rules of the fields.
    """
    said = "; ".join(filter(None, (why, reasons(found, policies)))) or None
    if found.write or add or remove or action == "adopted":
        return [deed(done, action, *difference(theirs, found.write, add, remove), why=said)]
    return [deed(done, "kept", why=said)] if found.conflicts else []


def is_creation(one: Deed) -> bool:
    """Whether it brought a record to the destination that was not there."""
    return one.action == "created" or (one.action == "recovered" and one.before is None)


def changes_in(deeds: Iterable[Deed]) -> tuple[dict[str, Any], dict[str, Any], list[str], list[str]]:
    """What several deeds changed, taken together: fields before and after, tags put there and taken away."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    tags: dict[str, bool] = {}
    for one in deeds:
        if one.action not in ("adopted", "updated", "recovered") or is_creation(one):
            continue
        was, now = one.before or {}, one.after or {}
        for name in now.keys() - {"tags"}:
            before.setdefault(name, was.get(name))
            after[name] = now[name]
        for tag, there in (
            *((tag, False) for tag in was.get("tags", ())),
            *((tag, True) for tag in now.get("tags", ())),
        ):
            if tags.get(tag) is (not there):
                del tags[tag]  # put there and taken away again
            else:
                tags[tag] = there
    return (
        before,
        after,
        [tag for tag, there in tags.items() if there],
        [tag for tag, there in tags.items() if not there],
    )
