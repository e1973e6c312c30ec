"""What several source contacts that are linked to one contact owe each other, and what is a number's due.

Two source contacts may be the same person. Each knows what it wrote; what the other wrote is no person's
edit, and is no reason either to write one's own unchanged value again. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tasks.engine.merge import BESIDES, Merge, Policies, changed, same

Content = Mapping[str, Any]
WITHHELD = {"phone": "withheld", "email": "withheld_email"}
"""Keys that may be another contact's, and under which name the ledger remembers what was not written."""


def beside(
    others: Collection[Content], base: Content, ours: Content, theirs: Content, policies: Policies
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What we wrote last and what is wanted now, where others write to the same contact.

    Of what this source contact changed, the other's value counts as written by us; of what it did not
    change, the other's value stays, however often the two are compared.
    """
    known, wanted = dict(base), dict(ours)
    news = changed(base, ours, policies)
    for name, there in theirs.items():
        if name in BESIDES or not any(same(name, there, other.get(name)) for other in others):
            continue
        if news.get(name) is not None:
            known[name] = there
        elif name in ours:
            wanted[name] = there
        else:
            known.pop(name, None)  # empty here, and not there: nothing is cleared
    return known, wanted


def own_tags(content: Content) -> set[str]:
    """The tags that a source contact brought to its contact."""
    return set(content.get("tags", ())) - set(content.get("foreign_tags", ()))


def foreign_tags(base: Content, ours: Content, theirs: Content, others: Collection[Content]) -> list[str]:
    """Those of our tags that somebody else set: they stay when the source no longer says so."""
    known = set(base.get("tags", ())) - set(base.get("foreign_tags", ()))
    brought = known.union(*map(own_tags, others))
    return [tag for tag in ours.get("tags", ()) if tag in theirs.get("tags", ()) and tag not in brought]


def withhold(ours: Content, name: str = "phone") -> dict[str, Any]:
    """The content of a contact whose phone or e-mail is somebody else's.

    It is remembered for the day on which the other one gives it up; a number goes to the custom field.
    """
    value = ours.get(name)
    if not value:
        return dict(ours)
    rest = {key: kept for key, kept in ours.items() if key != name} | {WITHHELD[name]: value}
    return rest | ({"other_phones": joined(value, ours.get("other_phones"))} if name == "phone" else {})


def waiting_for(content: Content, ours: Content) -> dict[str, Any]:
    """A record's content with what is withheld now, and nothing that was so before."""
    kept = {name: value for name, value in content.items() if name not in WITHHELD.values()}
    return kept | {name: ours[name] for name in WITHHELD.values() if name in ours}


def waits_anew(base: Content, ours: Content) -> bool:
    """Whether something is withheld that was not until now."""
    return any(name in ours and ours[name] != base.get(name) for name in WITHHELD.values())


def give_up(found: Merge, stale: Content, theirs: Content) -> Merge:
    """Also empty what is outdated, where it still stands and is not all by which the contact is known."""
    left = {name for name in WITHHELD if theirs.get(name)} - set(stale)
    emptied = {name: None for name, value in stale.items() if left and theirs.get(name) == value}
    return Merge({**found.write, **emptied}, found.conflicts)


def restored(content: Content) -> dict[str, Any]:
    """The content before anything was withheld."""
    besides = {*WITHHELD.values(), "foreign_tags"}
    whole = {name: value for name, value in content.items() if name not in besides}
    for name, memory in WITHHELD.items():
        if content.get(memory):
            whole[name] = content[memory]
    if content.get("withheld"):
        rest = [number for number in _split(content.get("other_phones")) if number != content["withheld"]]
        whole |= {"other_phones": ", ".join(rest)}
    return {name: value for name, value in whole.items() if value or name in ("tags", "labels")}


def keep_numbers(found: Merge, base: Content, ours: Content, theirs: Content, *, linking: bool) -> Merge:
    """No number is lost: it is added where the field of other phones holds something that is not ours.

    Where a contact is linked whose phone is another one, so is the phone.
    """
    there = theirs.get("other_phones")
    extra: Sequence[str] = [ours["phone"]] if linking and "phone" in found.conflicts else []
    if "other_phones" not in found.conflicts and not extra:
        return found
    known = _split(base.get("other_phones"))
    added = [number for number in _split(ours.get("other_phones")) if number not in known]
    whole = joined(there, *extra, *added)
    write = dict(found.write)
    if whole != (there or ""):
        write["other_phones"] = whole
    return Merge(write, tuple(name for name in found.conflicts if name != "other_phones"))


def joined(*fields: str | None) -> str:
    """Numbers of several fields in one, each once."""
    return ", ".join(dict.fromkeys(number for field in fields for number in _split(field)))


def _split(field: str | None) -> list[str]:
    return [number for number in (field or "").split(", ") if number]
