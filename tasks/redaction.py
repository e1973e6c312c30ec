"""Take secrets and personal data out of text that is shown, logged or kept.

Secrets are known by their shape (bearer, JSON web and private integration tokens, hexadecimal keys of 40
digits, a value that is called a password), and by what they are: what this process was given is told to
`remember` and masked wherever it turns up, also percent- or base64-encoded. Secrets are always masked.

Of personal data, e-mail addresses and phone numbers have a shape; names and notes have none, and are kept out
by not being written. ``VOIPSYNC_SHOW_PERSONAL_DATA=1`` shows it, for debugging.

What says which record is meant stays: ids, run ids, timestamps, counts. A row of seven digits alone may be a
phone number and is masked; after a word such as ``contact`` or ``id`` up to nine are an id.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

SHOW = "VOIPSYNC_SHOW_PERSONAL_DATA"
SECRET, EMAIL, NUMBER, PERSONAL = "[secret]", "[e-mail]", "[number]", "[personal]"
SHORTEST = 4
"""A shorter secret is not looked for: too much else reads the same."""

_CALLED = r"pass(?:word|wd|phrase)|pwd|secret|api[_-]?key|token|nonce|(?:private|encryption)[_-]?keys?"
"""What a value is called that is a secret."""
_CALL = re.compile(_CALLED, re.IGNORECASE)
_IN_PROSE = r"pass(?:word|wd|phrase)|pwd|secret|api[ _-]?key|(?:access|refresh)[ _-]token"
_KEYED = re.compile(
    r"(?:pass(?:word|wd|phrase)|pwd|secret|api_?-?key|token|nonce|authorization|cookie|private_?-?key)$",
    re.IGNORECASE,
)
"""The end of a JSON property's name whose value is a secret."""
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), shown)
    for pattern, shown in (
        # a user's name and password in an address
        (r"\b([a-z][a-z0-9+.-]{1,20}://)[^\s/?#\"'<>\\]*@", rf"\1{SECRET}@"),
        # a header, as it is sent
        (r"((?:set-)?cookie2?\s*:\s*)[^\r\n\"']+", rf"\1{SECRET}"),
        (r"(authorization\s*[:=]\s*)(?:\w+\s+)?[^\s\"']+", rf"\1{SECRET}"),
        (r"(x-[\w-]{0,30}(?:token|key|secret)\s*:\s*)[^\s\"']+", rf"\1{SECRET}"),
        # a header, a property or an argument, as Python or JSON shows it
        (
            rf"((?:{_CALLED}|authorization|cookie)[\"']\s*[:,=]\s*b?([\"']))(?:(?!\2)[^\\]|\\.)*",
            rf"\1{SECRET}",
        ),
        (
            rf"((?:{_CALLED}|authorization|cookie)\\+[\"']\s*[:,=]\s*\\+[\"'])(?:(?!\\+[\"']).)*",
            rf"\1{SECRET}",
        ),
        (rf"((?:{_CALLED})\\*[\"']\s*:\s*)(?=\d)[\d.]+", rf"\1{SECRET}"),
        # a field of a form or of a query
        (rf"((?:{_CALLED})(?:=|%3D))(?!\s)[^\s&\"'<>,;)}}\]\[]+(?:\[[^\]]*\])?", rf"\1{SECRET}"),
        (r"([?&](?:code|state)=)[^\s&\"'<>]{12,}", rf"\1{SECRET}"),
        # prose; a key of the configuration is no value: accounts.acme.destination.token: is missing
        (
            rf"((?<![.\w])(?:{_IN_PROSE}): )[^\s\"']+",
            rf"\1{SECRET}",
        ),
        (r"(\bBearer )\S+", rf"\1{SECRET}"),
        (r"(\bBasic )(?=[a-z0-9+/_-]*[0-9+/=])[a-z0-9+/_-]{8,}={0,2}", rf"\1{SECRET}"),
        (r"\bpit-[a-z0-9-]{8,}", SECRET),
        (r"\bpn[ub]_[a-z0-9]{8,}", SECRET),
        (r"\beyJ[\w-]{8,}(?:\.[\w-]*){0,2}", SECRET),
        (r"(?<![0-9a-z])[0-9a-f]{40}(?![0-9a-z])", SECRET),
        (r"(?<![\w-])[\w-]{43}=(?![\w=])", SECRET),
    )
)
_EMAIL = re.compile(
    r"[^\s@<>()\[\]{}\"',;:=]{1,128}(?:@|%40)[^\s@<>()\[\]{}\"',;:=&/?#%\\]*\w", re.IGNORECASE
)
_ECHO = re.compile(r"(input_value=)(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^,\]\s]+)")
"""How pydantic quotes the value that it refuses."""

_GAP = r"(?:[\s().\-/+\u2010-\u2015]|%20){0,2}"
_INSTANT = (
    r"(?<!\d)(?:19|20)\d{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
    r"(?:(?:[T +]|%20)[0-2]\d(?::|%3A)[0-5]\d(?:(?::|%3A)[0-5]\d(?:[.,]\d{1,9})?)?"
    r"(?:Z|(?:[+-]|%2B)[01]\d(?::|%3A)?[0-5]\d)?)?(?!\d)"
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_NAMED_ID = (
    r"\b(?:contact|note|task|appointment|user|call|page|row|record|source|run|id)s?(?:_ids?)?"
    rf"(?:[\"']?\s?[:=/#]\s?[\"']?|\s)\d{{1,9}}(?:/\d{{1,9}})?(?![0-9a-z]|{_GAP}\d)"
)
_COUNTED = (
    "of|contacts|notes|tasks|appointments|records|rows|requests|credentials|writes|reads|bytes|days|left|ms|s"
)
_KEPT = (
    r"(?<![0-9a-z])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-z])",  # a UUID
    r"(?<![0-9a-z])(?:19|20)\d{6}T\d{6}(?:-[0-9a-f]{6}|Z)?(?![0-9a-z])",  # a run
    _INSTANT,
    r"(?<!\d)[0-2]?\d:[0-5]\d:[0-5]\d(?:[.,]\d{1,9})?(?!\d)",
    r"(?<![\d.])(?:0|1\d{9})\.\d+(?![.\d])",  # a measured time, UTC seconds
    rf"(?<![\w.])(?:{_OCTET}\.){{3}}{_OCTET}(?!\.?\d)",
    r"(?<![0-9a-z])0x[0-9a-f]+",
    # letters and digits, unless they are a long number with something before and after
    r"(?<![0-9a-z])(?=(?![0-9a-z]*\d{7})|\d*[a-z]+\d+[a-z]+\d+[a-z])[0-9a-z]{20,32}(?![0-9a-z])",
    _NAMED_ID,
    rf"(?<!\d)(?<!\d[\s().\-/+])\d{{1,9}}(?= (?:{_COUNTED})\b)",
)
_NUMBER = re.compile(rf"(?P<kept>{'|'.join(_KEPT)})|(?:\+|%2B)?\(?\d(?:{_GAP}\d){{6,}}", re.IGNORECASE)

_known: set[str] = set()
_verbatim: re.Pattern[str] | None = None


def remember(secret: str) -> str:
    """Mask a secret from now on, wherever it turns up, and return it.

    One that is too short, or no more than a word by which secrets are called, is left to its shape.
    """
    global _verbatim  # noqa: PLW0603 - what the process knows
    if len(secret) >= SHORTEST and secret not in _known and not _CALL.fullmatch(secret):
        _known.add(secret)
        _verbatim = None
    return secret


def _known_secrets() -> re.Pattern[str]:
    """What finds all known secrets in all their forms; made anew only where a text follows a new secret."""
    global _verbatim  # noqa: PLW0603
    if _verbatim is None:
        forms = sorted({form for one in _known for form in _forms(one)}, key=len, reverse=True)
        marks = "|".join(map(re.escape, (SECRET, EMAIL, NUMBER, PERSONAL)))
        _verbatim = re.compile(f"((?-i:{marks}))|(?:{'|'.join(map(re.escape, forms))})", re.IGNORECASE)
    return _verbatim


def redact_text(text: str) -> str:
    """Mask secrets, and personal data that has a shape: addresses, numbers of seven digits or more."""
    text = _without_secrets(text)
    if shows_personal_data():
        return text
    text = _ECHO.sub(rf"\1{PERSONAL}", _EMAIL.sub(EMAIL, text))
    return _NUMBER.sub(lambda found: found["kept"] or NUMBER, text)


def shows_personal_data() -> bool:
    """Whether personal data is shown, as somebody wishes who debugs."""
    return os.environ.get(SHOW) == "1"


_PROPERTIES = frozenset(
    {
        *("email", "emaillowercase", "additionalemails", "phone", "additionalphones", "ssn", "dateofbirth"),
        *("name", "firstname", "lastname", "fullname", "contactname", "companyname", "businessname"),
        *("firstnamelowercase", "lastnamelowercase", "fullnamelowercase"),
        *("address", "address1", "city", "postalcode", "website", "meetinglocation"),
        *("body", "title", "description", "notes", "value", "fieldvalue", "field_value"),
    }
)
"""Properties of API records whose values are a person's, in lower case."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def redact(value: Any, *, name: str = "", clear: bool = False) -> Any:  # noqa: ANN401 - any JSON
    """Mask secrets and personal data in JSON; ids, states, tags and dates stay readable.

    Args:
        value: any JSON.
        name: the property that it is the value of.
        clear: whether personal data is shown; secrets never are.
    """
    clear = clear or shows_personal_data()
    if isinstance(value, dict):
        return {
            _text(str(key), clear=clear): redact(inner, name=str(key), clear=clear)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [redact(inner, name=name, clear=clear) for inner in value]
    if _KEYED.search(name) and isinstance(value, str | int) and not isinstance(value, bool) and value != "":
        return SECRET
    if name.casefold() in _PROPERTIES and value not in (None, "") and not clear:
        return PERSONAL
    if not isinstance(value, str):
        return value
    if name.casefold().endswith(("id", "ids")) and _ID.fullmatch(value):
        return _without_secrets(value)
    return _text(value, clear=clear)


def _text(text: str, *, clear: bool) -> str:
    return _without_secrets(text) if clear else redact_text(text)


def _without_secrets(text: str) -> str:
    if _known:
        text = _known_secrets().sub(lambda found: found[1] or SECRET, text)
    for pattern, shown in _SHAPES:
        text = pattern.sub(shown, text)
    return text


def _forms(secret: str) -> Iterator[str]:
    """A secret as it may be written: as it is, in JSON, in an address, in base64 with something before it."""
    yield from (secret, json.dumps(secret)[1:-1], quote(secret, safe=""), quote(secret), quote_plus(secret))
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + secret.encode()).decode().rstrip("=")
        # without the characters at both ends that others share
        inner = whole[(before * 8 + 5) // 6 : len(whole) - bool((before + len(secret.encode())) % 3)]
        if len(inner) > SHORTEST:
            yield from (inner, inner.translate(str.maketrans("+/", "-_")))
