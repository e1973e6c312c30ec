"""Phone numbers as typed, read into E.164.

VoIPstudio reads and writes E.164 digits without "+" (VoIPstudio docs, confirmed by integrators), and contacts
hold what somebody typed. So a number is read as one of the account's country first and, where it is none
there, as international digits. What is no valid number, short codes among them, is never a ``phone``: the
destination matches people by it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import phonenumbers

from tasks.mapping.text import line

if TYPE_CHECKING:
    from collections.abc import Iterable

_SEPARATOR = re.compile(r"\s*(?:[/;,|]|\bor\b)\s*", re.IGNORECASE)
_NOT_DIGITS = re.compile(r"\D")
_INTERNATIONAL_PREFIX = re.compile(r"^\D*(?:00|011)(?=\D*[1-9])")
_SHORTEST_INTERNATIONAL = 9
"""Fewer digits than this without "+" are somebody's local number: +290 6123 is not meant by 2906123."""


@dataclass(frozen=True, slots=True)
class Number:
    """A valid number."""

    e164: str
    extension: str = ""

    @property
    def full(self) -> str:
        """With its extension, where it has one."""
        return f"{self.e164};ext={self.extension}" if self.extension else self.e164


@dataclass(frozen=True, slots=True)
class Numbers:
    """A contact's numbers: the one to match and call by, and all the rest."""

    phone: str
    others: str
    unusable: bool
    """A field held something without a single digit, which was left out."""


@lru_cache(maxsize=1 << 10)
def read(typed: str, country: str) -> Number | None:
    """The valid number that ``typed`` means for somebody in ``country``; None where it is none."""
    return _valid(typed, country) or _valid(_as_international(typed), None)


def numbers(fields: Iterable[str | None], country: str) -> Numbers:
    """A contact's numbers from its phone fields, in their order.

    The first valid number is the phone. The others follow, comma-separated and each once: valid ones in
    E.164, with ``;ext=`` where they have an extension, anything else that has a digit as typed. Where the
    phone itself has an extension, its full form is among the others: the destination's field takes none.
    """
    phone = ""
    others: dict[str, None] = {}
    unusable = False
    for field in fields:
        typed = line(field)
        if not typed:
            continue
        found = _split(typed, country)
        if not found:
            unusable |= not _NOT_DIGITS.sub("", typed)
            others[typed] = None
        for number in found:
            phone = phone or number.e164
            others[number.full] = None
    others.pop(phone, None)
    return Numbers(phone, ", ".join(shown for shown in others if _NOT_DIGITS.sub("", shown)), unusable)


def _split(typed: str, country: str) -> list[Number]:
    """The numbers in one field; several ("020 7946 0958 / 020 7946 0959") only where every part is valid."""
    if (number := read(typed, country)) is not None:
        return [number]
    parts = _SEPARATOR.split(typed)
    found = [read(part, country) for part in parts] if len(parts) > 1 else []
    valid = [number for number in found if number is not None]
    return valid if len(valid) == len(found) else []


def _as_international(typed: str) -> str:
    """``typed`` with "+" before its digits, empty where that cannot be meant."""
    bare = _INTERNATIONAL_PREFIX.sub("", typed)
    if "+" in bare or len(_NOT_DIGITS.sub("", bare)) < _SHORTEST_INTERNATIONAL:
        return ""
    return f"+{bare}"


def _valid(typed: str, country: str | None) -> Number | None:
    if not typed:
        return None
    try:
        parsed = phonenumbers.parse(typed, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    e164 = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return Number(e164, parsed.extension or "")
