"""Text as the destination can take it: nothing lost but what JSON consumers refuse."""

from __future__ import annotations

import html
import re
import unicodedata

_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_NEWLINE = re.compile(r"\r\n?")
_ENDS = (
    " \t\n\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f"
    "\u205f\u3000\u200b\u2060\ufeff"
)
"""White space, and what is as invisible at an end: zero-width space, word joiner, byte order mark."""
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_BREAKING_TAG = re.compile(r"</?(?:p|br|div|li|ul|ol|tr|td|h[1-6]|blockquote)\b[^<>]*>", re.IGNORECASE)
_SHORT = 80


def clean(text: str) -> str:
    r"""``text`` without control characters and lone surrogates, lines ended by ``\n``, in NFC.

    Emoji, right-to-left text, HTML, tabs and newlines stay as they are. Cleaning twice changes nothing.
    """
    if text.isascii() and text.isprintable():
        return text
    kept = _FORBIDDEN.sub("", _NEWLINE.sub("\n", text))
    return unicodedata.normalize("NFC", kept)


def block(text: str | None) -> str:
    """Clean text of many lines, without white space around it; empty where there is none."""
    return clean(text).strip(_ENDS) if text else ""


def line(text: str | None) -> str:
    """Clean text as one line: each run of white space is one space; empty where there is none."""
    return " ".join(clean(text).strip(_ENDS).split()) if text else ""


def first_line(text: str) -> str:
    """The first line of ``text`` that says something, without HTML, shortened to 80 characters."""
    visible = html.unescape(_TAG.sub("", _BREAKING_TAG.sub("\n", text)))
    found = next((said for part in visible.splitlines() if (said := line(part))), "")
    return found if len(found) <= _SHORT else found[: _SHORT - 1].rstrip() + "…"
