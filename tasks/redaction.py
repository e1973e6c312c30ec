"""Take personal data and secrets out of text that is shown, logged or kept."""

from __future__ import annotations

import re
from typing import Any

_SECRET = re.compile(
    r"\bpit-[A-Za-z0-9-]{8,}"  # a private integration token
    r"|\beyJ[\w-]{8,}(?:\.[\w-]*){0,2}"  # a JSON web token
    r"|(?<=\bBearer )\S+",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"[^\s@<>()\[\]{}\"',;:=]{1,128}(?:@|%40)[^\s@<>()\[\]{}\"',;:=]*\w", re.IGNORECASE)
_NUMBER = re.compile(
    r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)|(?:\+|%2B)?\(?\d(?:[\s().\-/]{0,2}\d){6,}", re.IGNORECASE
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def redact_text(text: str) -> str:
    """Mask e-mail addresses, numbers of seven digits or more (also grouped, as phones are) and tokens.

    Dates such as 2026-01-02 stay: they say what is wrong with a record, and nothing about a person.
    """
    text = _SECRET.sub("[secret]", text)
    text = _EMAIL.sub("[e-mail]", text)
    return _NUMBER.sub(lambda found: found[0] if _DATE.fullmatch(found[0]) else "[number]", text)


PERSONAL = frozenset(
    {
        *("email", "emaillowercase", "additionalemails", "phone", "additionalphones", "ssn", "dateofbirth"),
        *("name", "firstname", "lastname", "fullname", "contactname", "companyname", "businessname"),
        *("firstnamelowercase", "lastnamelowercase", "fullnamelowercase"),
        *("address", "address1", "city", "postalcode", "website", "meetinglocation"),
        *("body", "title", "description", "notes", "value", "fieldvalue", "field_value"),
    }
)
"""Properties of API records whose values are a person's, in lower case."""


def redact(value: Any, *, name: str = "") -> Any:  # noqa: ANN401 - any JSON
    """Mask personal data and secrets in JSON; ids, states, tags and dates stay readable."""
    if isinstance(value, dict):
        return {key: redact(inner, name=str(key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [redact(inner, name=name) for inner in value]
    if name.casefold() in PERSONAL and value not in (None, "", [], {}):
        return "[personal]"
    return redact_text(value) if isinstance(value, str) else value
