"""Who is who: one source contact against the destination's candidates. Pure.

The order of proof: our own id in the custom field; then the e-mail address; then the phone number, which
several people may share. Where the proof points at two contacts, nobody guesses.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Candidate:
    """A contact at the destination that shares a key with a source contact."""

    contact_id: str
    email: str | None
    phone: str | None
    source_id: str | None
    name: str


@dataclass(frozen=True, slots=True)
class Create:
    """No such contact: create it, without its phone number where that line is somebody else's."""

    with_phone: bool = True


@dataclass(frozen=True, slots=True)
class Adopt:
    """This is the contact: link it."""

    contact_id: str
    with_phone: bool = True


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """More than one answer is plausible: a person decides."""

    candidates: tuple[str, ...]
    reason: str


Verdict = Create | Adopt | Ambiguous


def resolve(content: Mapping[str, Any], candidates: Iterable[Candidate]) -> Verdict:
    """Say which contact, if any, a source contact's content describes."""
    email, phone = content.get("email"), content.get("phone")
    name = name_of(content)
    known = list(candidates)
    by_id = [one for one in known if one.source_id and one.source_id == content.get("id")]
    by_email = [one for one in known if email and one.email == email]
    by_phone = [one for one in known if phone and one.phone == phone]

    proven = by_id or by_email
    if len(proven) > 1:
        return Ambiguous(
            _ids(proven), "several contacts carry this id" if by_id else "several contacts have this e-mail"
        )
    if proven:
        found = proven[0]
        others = [one for one in by_phone if one.contact_id != found.contact_id]
        twins = [one for one in others if not by_id and _may_be(one, email, name)]
        if twins:
            return Ambiguous(_ids([found, *twins]), "the e-mail is one contact's, the phone another's")
        return Adopt(found.contact_id, with_phone=not others)

    same = [one for one in by_phone if _may_be(one, email, name)]
    if len(same) == 1:
        return Adopt(same[0].contact_id)
    if same:
        return Ambiguous(_ids(same), "several contacts have this phone and name")
    if by_phone and not email:
        return Ambiguous(
            _ids(by_phone), "the phone is another contact's, and there is no e-mail to tell them apart"
        )
    return Create(with_phone=not by_phone)


def name_of(content: Mapping[str, Any]) -> str:
    """A name in the form in which two are compared: case, accents' encoding and spacing aside."""
    full = f"{content.get('firstName') or ''} {content.get('lastName') or ''}"
    return " ".join(unicodedata.normalize("NFKC", full).casefold().split())


def _may_be(one: Candidate, email: str | None, name: str) -> bool:
    """Whether a contact with the same phone can be the same person: no other e-mail, no other name."""
    email_differs = bool(one.email and email and one.email != email)
    name_differs = bool(one.name and name and one.name != name)
    return not email_differs and not name_differs


def _ids(candidates: Iterable[Candidate]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.contact_id for one in candidates))
