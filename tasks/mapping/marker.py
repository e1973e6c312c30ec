"""The last line of what voipsync writes, by which it recognises its own work.

Neither notes nor CRM tasks nor appointments have a field for a foreign id, and a note's date cannot be set
(HighLevel OpenAPI), so the text says it, in words that a person can read too::

    — VoIPstudio note 7/1 · acme · 2026-01-02 03:04 UTC · #3f9a1c

source id, account, when it was made at the source, and a checksum of the text. The checksum tells whether
somebody has edited the text at the destination. It is taken of what a reader sees: editors wrap lines in
HTML, turn characters into entities and shift white space, and none of that is an edit.
"""

from __future__ import annotations

import hashlib
import html
import re
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

TEXT_FIELDS: Mapping[str, str] = {"notes": "body", "tasks": "body", "appointments": "description"}
"""The field of each entity whose last line is the marker."""

_WORDS = {"notes": "note", "tasks": "task", "appointments": "appointment"}
_ENTITIES = {word: entity for entity, word in _WORDS.items()}

_AMP = r"&(?:amp;)*"
_NBSP = rf"{_AMP}(?:nbsp|#160|#xa0);"
_GAP = rf"(?:\s|{_NBSP})*"
_DASH = rf"(?:[\u2014\u2013]|--?|{_AMP}(?:mdash|ndash|#8212|#8211|#x201[34]);)"
_DOT = rf"{_GAP}(?:·|{_AMP}(?:middot|#183|#xb7);){_GAP}"
_MARKER = re.compile(
    rf"{_DASH}{_GAP}VoIPstudio{_GAP}(?P<word>note|task|appointment){_GAP}(?P<source_id>[\w/.-]+){_DOT}"
    rf"(?P<origin>[^\s·<>&]+){_DOT}(?:\d{{4}}-\d\d-\d\d{_GAP}\d\d:\d\d{_GAP}UTC{_DOT})?"
    r"#(?P<checksum>[0-9a-f]{6})(?![0-9a-z])",
    re.IGNORECASE,
)
_LINE_BEGINS = re.compile(rf"(?:^|[\n\r>])(?:[^\S\n\r]|{_NBSP})*$")
_LINE_ENDS = re.compile(rf"(?:[^\S\n\r]|{_NBSP})*(?:\Z|[\n\r<])")
_LOOK_BACK = 200

_BLOCK_TAG = re.compile(r"</?(?:p|div|br|li|ul|ol|td|tr|h[1-6]|blockquote)\b[^<>]*>", re.IGNORECASE)
_SPAN_TAG = re.compile(r"</?span\b[^<>]*>", re.IGNORECASE)
_EMPTY_TAIL = re.compile(rf"<(p|div|span)\b[^<>]*>(?:<br\s*/?>|{_GAP})</\1>\s*$", re.IGNORECASE)
_NESTING = 8
"""How often text may have been escaped before it was stored; a bound only against hostile input."""


@dataclass(frozen=True, slots=True)
class Marker:
    """What a marker says."""

    entity: str
    source_id: str
    origin: str
    checksum: str


def mark(
    text: str,
    entity: str,
    source_id: str,
    origin: str,
    created: datetime | None,
) -> str:
    """``text`` with its marker after a blank line: the same text, the same marker."""
    made = f"{created.astimezone(UTC).isoformat(' ')[:16]} UTC · " if created else ""
    last = f"— VoIPstudio {_WORDS[entity]} {source_id} · {origin} · {made}#{checksum(text)}"
    return f"{text}\n\n{last}" if text else last


def find(text: str | None) -> Marker | None:
    """The last marker in ``text``, also where an editor has wrapped it in HTML; None where there is none."""
    match = _last(text or "")
    if match is None:
        return None
    return Marker(
        _ENTITIES[match["word"].lower()], match["source_id"], match["origin"], match["checksum"].lower()
    )


def unmarked(text: str | None) -> str:
    """``text`` without its marker and the blank line before it; what stands after the marker stays."""
    text = text or ""
    match = _last(text)
    if match is None:
        return text
    before, after = text[: match.start()].rstrip(), text[match.end() :].strip()
    if not after:
        return before
    if not _SPAN_TAG.sub("", _BLOCK_TAG.sub("", after)).strip():
        return _without_empty_tail(before + after)
    return f"{before}\n\n{after}" if before else after


def untouched(text: str | None) -> bool:
    """Whether ``text``, as read at the destination, is still what its own marker was made for.

    False where there is no marker.
    """
    found = find(text)
    return found is not None and found.checksum == checksum(unmarked(text))


def checksum(text: str) -> str:
    """Six hexadecimal digits of a text as it reads: without HTML wrapping, in any white space."""
    return hashlib.blake2b(as_read(text).encode(), digest_size=3).hexdigest()


def _last(text: str) -> re.Match[str] | None:
    """The last marker that has a line to itself."""
    found = None
    for match in _MARKER.finditer(text):
        before = text[max(0, match.start() - _LOOK_BACK) : match.start()]
        if _LINE_BEGINS.search(before) and _LINE_ENDS.match(text, match.end()):
            found = match
    return found


def _without_empty_tail(text: str) -> str:
    while (shorter := _EMPTY_TAIL.sub("", text).rstrip()) != text:
        text = shorter
    return text


def as_read(text: str) -> str:
    """A text as a reader sees it: without HTML that only wraps lines, in any white space."""
    for _ in range(_NESTING):
        text = html.unescape(text)
    return " ".join(_BLOCK_TAG.sub(" ", _SPAN_TAG.sub("", text)).split())
