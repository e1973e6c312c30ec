"""Who is who: one source contact against the destination's candidates. Pure.

The order of proof: our own id in the custom field; then the e-mail address; then the phone number, which
several people may share. Where the proof points at two contacts, nobody guesses. A candidate that is linked
to another source contact is this person too only where those two are one: same e-mail, or same phone and
nothing that tells them apart.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

KEYS = ("id", "email", "phone")
"""What identifies a contact, as contents name it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A contact at the destination that shares a key with a source contact.

    Attributes:
        also: further e-mail addresses and phone numbers that the CRM keeps of it, as after a merge.
        linked: contents of the other source contacts that are linked to it.
    """

    contact_id: str
    email: str | None
    phone: str | None
    source_id: str | None
    name: str
    also: frozenset[str] = frozenset()
    linked: tuple[Mapping[str, Any], ...] = ()

    def holds(self, name: str, value: str | None) -> bool:
        """Whether it has this value of one of `KEYS`."""
        own = {"id": self.source_id, "email": self.email, "phone": self.phone}[name]
        return bool(value) and (own == value or (name != "id" and value in self.also))


@dataclass(frozen=True, slots=True)
class Create:
    """No such contact: create it, without the phone number or e-mail that is somebody else's."""

    with_phone: bool = True
    with_email: bool = True


@dataclass(frozen=True, slots=True)
class Adopt:
    """This is the contact: link it; a key that is somebody else's is not written to it."""

    contact_id: str
    with_phone: bool = True
    with_email: bool = True


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """More than one answer is plausible: a person decides.

    Attributes:
        matched: candidate → which of `KEYS` it shares.
    """

    candidates: tuple[str, ...]
    reason: str
    matched: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


Verdict = Create | Adopt | Ambiguous


def resolve(content: Mapping[str, Any], candidates: Iterable[Candidate]) -> Verdict:
    """Say which contact, if any, a source contact's content describes."""
    known = sorted(candidates, key=lambda one: one.contact_id)
    by_id, by_email, by_phone = ([one for one in known if one.holds(key, content.get(key))] for key in KEYS)

    def ambiguous(several: Iterable[Candidate], reason: str) -> Ambiguous:
        return undecided(content, several, reason)

    proven = by_id or by_email
    if len(proven) > 1:
        what = "carry this id" if by_id else "have this e-mail"
        return ambiguous(proven, f"several contacts {what}")
    if proven:
        found = proven[0]
        if not by_id and not _free_or_same(found, content):
            return ambiguous([found], "the contact with this e-mail is linked to another person")
        others = [one for one in by_phone if one is not found]
        twins = [one for one in others if not by_id and _may_be(one, content)]
        if twins:
            return ambiguous([found, *twins], "the e-mail is one contact's, the phone another's")
        return Adopt(
            found.contact_id, with_phone=not others, with_email=all(one is found for one in by_email)
        )

    same = [one for one in by_phone if _may_be(one, content)]
    if len(same) == 1:
        return Adopt(same[0].contact_id)
    if same:
        return ambiguous(same, "several contacts have this phone and name")
    if by_phone and not content.get("email"):
        return ambiguous(
            by_phone, "the phone is another contact's, and there is no e-mail to tell them apart"
        )
    return Create(with_phone=not by_phone)


def settled(
    decision: str, content: Mapping[str, Any], candidates: Iterable[Candidate], *, allows_duplicates: bool
) -> Create | Adopt:
    """What a person's decision comes to (`linking`, `CREATING`): keys that are others' stay with them."""
    contact_id = linked_by(decision)
    others = [one for one in candidates if one.contact_id != contact_id]
    with_phone = not any(one.holds("phone", content.get("phone")) for one in others)
    with_email = not any(one.holds("email", content.get("email")) for one in others)
    if contact_id is None:
        return Create(with_phone, with_email or allows_duplicates)
    return Adopt(contact_id, with_phone, with_email)


CREATING = "create"
"""The decision that a source contact is none of the contacts that are there."""


def linking(contact_id: str) -> str:
    """The decision that a source contact is this one."""
    return f"link {contact_id}"


def linked_by(decision: str) -> str | None:
    """Which contact a decision names; None where it is `CREATING`."""
    return None if decision == CREATING else decision.removeprefix("link ")


def undecided(content: Mapping[str, Any], several: Iterable[Candidate], reason: str) -> Ambiguous:
    """Leave it to a person, who is told which contact shares what."""
    matched = {
        one.contact_id: tuple(key for key in KEYS if one.holds(key, content.get(key))) for one in several
    }
    return Ambiguous(tuple(matched), reason, matched)


def name_of(content: Mapping[str, Any]) -> str:
    """A name in the form in which two are compared: case, accents' encoding and spacing aside."""
    full = f"{content.get('firstName') or ''} {content.get('lastName') or ''}"
    return " ".join(unicodedata.normalize("NFKC", full).casefold().split())


def _may_be(one: Candidate, content: Mapping[str, Any]) -> bool:
    """Whether a contact with the same phone can be the same person: no other e-mail, no other name."""
    email, name = content.get("email"), name_of(content)
    email_differs = bool(one.email and email and not one.holds("email", email))
    name_differs = bool(one.name and name and one.name != name)
    return not email_differs and not name_differs and _free_or_same(one, content)


def _free_or_same(one: Candidate, content: Mapping[str, Any]) -> bool:
    """Whether a contact is nobody's yet at the source, or that of another entry of the same person."""
    return not one.linked or any(_same_person(content, other) for other in one.linked)


def _same_person(content: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    email, others = content.get("email"), {other.get("email"), other.get("withheld_email")} - {None}
    if email and others:
        return email in others
    phone, name, name_there = content.get("phone"), name_of(content), name_of(other)
    same_phone = bool(phone) and phone in (other.get("phone"), other.get("withheld"))
    return same_phone and (not name or not name_there or name == name_there)
