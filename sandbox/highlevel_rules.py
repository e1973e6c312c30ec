"""How the destination refuses and validates: error bodies, strict whitelists, e-mail, phone, instants.

Unknown properties and wrong types are answered as class-validator words them, all of them in one list.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import phonenumbers

from sandbox.wire import Json, Refusal, Row

if TYPE_CHECKING:
    from collections.abc import Callable

EMAIL = re.compile(r"^[^\s@<>()\[\],;:\"\\]+@[^\s@.,;:<>()\[\]\"\\_]+(\.[^\s@.,;:<>()\[\]\"\\_]+)+$")
E164 = re.compile(r"^\+[1-9]\d{6,14}$")
MISSING: Final = object()

CHECKS: dict[str, tuple[Callable[[Json], bool], str]] = {
    "str": (lambda v: isinstance(v, str), "must be a string"),
    "filled": (lambda v: isinstance(v, str) and bool(v.strip()), "should not be empty"),
    "bool": (lambda v: isinstance(v, bool), "must be a boolean value"),
    "num": (
        lambda v: isinstance(v, int | float) and not isinstance(v, bool),
        "must be a number conforming to the specified constraints",
    ),
    "strs": (
        lambda v: isinstance(v, list) and all(isinstance(item, str) for item in v),
        "must be an array of strings",
    ),
    "list": (lambda v: isinstance(v, list), "must be an array"),
    "dict": (lambda v: isinstance(v, dict), "must be an object"),
    "email": (lambda v: isinstance(v, str) and EMAIL.match(v) is not None, "must be an email"),
    "instant": (
        lambda v: isinstance(v, str) and parse_instant(v) is not None,
        "must be a valid ISO 8601 date string",
    ),
    "any": (lambda _v: True, ""),
}


def bad_request(message: str, **more: Json) -> Refusal:
    """400."""
    return Refusal(400, {"statusCode": 400, "message": message, "error": "Bad Request", **more})


def unauthorized(message: str) -> Refusal:
    """401."""
    return Refusal(401, {"statusCode": 401, "message": message, "error": "Unauthorized"})


def forbidden(message: str) -> Refusal:
    """403."""
    return Refusal(403, {"statusCode": 403, "message": message, "error": "Forbidden"})


def unprocessable(messages: list[str]) -> Refusal:
    """422, whose message is a list."""
    return Refusal(422, {"statusCode": 422, "message": messages, "error": "Unprocessable Entity"})


class Shape:
    """A closed request body: property → kind; ``*`` marks required ones, ``?`` those that may be null."""

    def __init__(self, **properties: str) -> None:
        self.properties = {name: kind.strip("*?") for name, kind in properties.items()}
        self.required = [name for name, kind in properties.items() if kind.endswith("*")]
        self.nullable = {name for name, kind in properties.items() if kind.endswith("?")}

    def problems(self, body: Row, prefix: str = "") -> list[str]:
        """What class-validator would say."""
        found = [f"{prefix}property {name} should not exist" for name in body if name not in self.properties]
        for name in self.required:
            if body.get(name) is None:
                found.append(f"{prefix}{name} should not be empty")
                found.append(f"{prefix}{name} {CHECKS[self.properties[name]][1]}")
        for name, value in body.items():
            kind = self.properties.get(name)
            if kind is None or (value is None and (name in self.nullable or name in self.required)):
                continue
            check, complaint = CHECKS[kind]
            if not check(value):
                found.append(f"{prefix}{name} {complaint}")
        return found

    def check(self, body: Json) -> Row:
        """The body, or a 422."""
        row: Row = body if body is not None else {}
        problems = self.problems(row)
        if problems:
            raise unprocessable(problems)
        return row


def parse_instant(text: str) -> datetime | None:
    """ISO 8601 with a date and a time; a missing offset stays missing."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        return None
    return value


def instant(text: str) -> float:
    """Seconds since the epoch of a checked ISO string; without an offset it is taken as UTC."""
    value = datetime.fromisoformat(text)
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


@lru_cache(maxsize=4096)
def e164(text: str, country: str) -> str | None:
    """The number as it is stored, or None for what is no possible number.

    What the service does with a number without country code is unpublished; here the location's country
    is assumed, and an impossible number is a 422.
    """
    if E164.match(text):
        return text
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    if number.extension or not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def tag_list(values: list[str]) -> list[str]:
    """Tags as they are stored: trimmed, lower-case, each once, in order."""
    return list(dict.fromkeys(text for value in values if (text := value.strip().lower())))
