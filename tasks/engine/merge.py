"""Three-way comparison, field by field: what we wrote, what the source says now, what the destination holds.

A field that only the source changed is written. A field that only a person changed at the destination is
left. Where both did, the configured side wins, by default the person, and the conflict is reported. An empty
value at the source is no value: it clears nothing, unless its rule says so. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from tasks.identity.directory import MEMORY
from tasks.mapping.marker import as_read
from tasks.mapping_settings import FieldRule

BESIDES = MEMORY | {"tags"}
"""Entries of a contact's content that are no fields."""
LONG_TEXTS = frozenset({"body", "description"})
"""Fields the destination may store as HTML: compared as they read."""


Policies = Mapping[str, FieldRule]
NO_POLICIES: Policies = {}
MERGED = FieldRule()
"""How a field without a rule of its own is treated."""


@dataclass(frozen=True, slots=True)
class Merge:
    """What to write, and the fields where a person's edit stands against the source's."""

    write: dict[str, Any]
    conflicts: tuple[str, ...] = ()


def digest(value: Any) -> str:  # noqa: ANN401 - any JSON
    """A short, stable digest of any JSON value."""
    try:
        canonical = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # an integer beyond 64 bits, half of a surrogate pair
        canonical = json.dumps(value, sort_keys=True).encode()
    return hashlib.blake2b(canonical, digest_size=16).hexdigest()


def changed(
    base: Mapping[str, Any], ours: Mapping[str, Any], policies: Policies = NO_POLICIES
) -> dict[str, Any]:
    """The fields that the source changed since we last wrote; None for one that is to be emptied."""
    found = {name: value for name, value in ours.items() if name not in BESIDES and base.get(name) != value}
    emptied = (name for name, rule in policies.items() if rule.clear and name not in ours)
    return found | {name: None for name in emptied if base.get(name) not in (None, "")}


def merge(
    base: Mapping[str, Any],
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    policies: Policies = NO_POLICIES,
) -> Merge:
    """Compare a record that we wrote before; tags are `merge_tags`' business.

    A field without a policy of its own is merged, and a person's edit wins.
    """
    write, conflicts = {}, []
    news = changed(base, ours, policies)
    kept = {name: ours[name] for name, rule in policies.items() if rule.policy == "source" and name in ours}
    for name, value in (news | kept).items():
        there, rule = theirs.get(name), policies.get(name, MERGED)
        if same(name, there, value):
            continue
        match rule.policy:
            case "source":
                write[name] = value
            case "fill":
                if there in (None, ""):
                    write[name] = value
            case _ if same(name, there, base.get(name)):
                write[name] = value
            case _:
                conflicts.append(name)
                if rule.winner == "source":
                    write[name] = value
    return Merge(write, tuple(conflicts))


def landed(
    base: Mapping[str, Any], intent: Mapping[str, Any] | None, theirs: Mapping[str, Any]
) -> dict[str, Any]:
    """What we wrote last, where the outcome of a change is not recorded: what is there of it is ours."""
    known, sent = dict(base), intent or {}
    known |= {
        name: value for name, value in sent.get("write", {}).items() if same(name, theirs.get(name), value)
    }
    there, before = theirs.get("tags", []), base.get("tags", [])
    added = [tag for tag in sent.get("add_tags", []) if tag in there and tag not in before]
    removed = [tag for tag in sent.get("remove_tags", []) if tag not in there]
    if added or removed:
        known["tags"] = [*(tag for tag in before if tag not in removed), *added]
    return known


def fill(ours: Mapping[str, Any], theirs: Mapping[str, Any], policies: Policies = NO_POLICIES) -> Merge:
    """Compare a record found at the destination and never written by this ledger: fill what is empty.

    What stands there was written by somebody else: it is overwritten only where the source has the last word.
    """
    write, differing = {}, []
    for name, value in ours.items():
        there, rule = theirs.get(name), policies.get(name, MERGED)
        if name in BESIDES or same(name, there, value):
            continue
        if there in (None, "") or rule.policy == "source":
            write[name] = value
        elif rule.policy == "merge":
            differing.append(name)
            if rule.winner == "source":
                write[name] = value
    return Merge(write, tuple(differing))


def merge_tags(
    base: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """Tags to add and tags to remove; one that a person set is never removed."""
    here, before, there = ours.get("tags", []), base.get("tags", []), theirs.get("tags", [])
    add = [tag for tag in here if tag not in there and tag not in before]
    foreign = base.get("foreign_tags", [])
    remove = [tag for tag in before if tag not in here and tag in there and tag not in foreign]
    return add, remove


def same(name: str, one: Any, other: Any) -> bool:  # noqa: ANN401 - field values
    """Whether two values of a field mean the same."""
    if one in (None, "") and other in (None, ""):
        return True
    if name in LONG_TEXTS and isinstance(one, str) and isinstance(other, str):
        return as_read(one) == as_read(other)
    return bool(one == other)
