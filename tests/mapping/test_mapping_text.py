import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.mapping.text import block, clean, first_line, line

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("plain", "plain"),
        ("a\x00b\x08c\x0bd\x1fe\x7ff\x85g\x9fh", "abcdefgh"),
        ("a\tb\nc", "a\tb\nc"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\ud800b\udc00", "ab"),
        ("cafe\u0301", "café"),
        ("e\x00\u0301", "é"),
        ("👩\u200d👩\u200d👧 ok", "👩\u200d👩\u200d👧 ok"),
        ("\u200f\u05e9\u05dc\u05d5\u05dd\u200e hello", "\u200f\u05e9\u05dc\u05d5\u05dd\u200e hello"),
        ("<p>a &amp; b</p>", "<p>a &amp; b</p>"),
    ],
)
def test_clean(raw, expected):
    assert clean(raw) == expected


@given(ANY_TEXT)
@example("e\x00\u0301")
@example("\ufeff \u200b x")
@example("\x85a\x1c")
def test_cleaning_is_idempotent_and_json_safe(raw):
    for cleaner in (clean, block, line, first_line):
        once = cleaner(raw)
        assert cleaner(once) == once
        assert json.loads(json.dumps(once, ensure_ascii=False).encode()) == once
        assert not any((ord(c) < 0x20 and c not in "\t\n") or 0x7F <= ord(c) <= 0x9F for c in once)


@given(ANY_TEXT)
def test_blocks_and_lines_have_clean_ends(raw):
    assert block(raw) == block(raw).strip()
    assert line(raw) == " ".join(line(raw).split())


def test_ends_and_lines():
    assert block("\ufeff\n  a\n b \u200b\n") == "a\n b"
    assert line("\ufeff Mary\u00a0 \n Ann\t") == "Mary Ann"
    assert (block(None), line(None), block(" \n"), line(" \n")) == ("", "", "", "")


def test_very_long_text_survives():
    raw = "<p>" + "long 😀 text\n" * 100_000 + "</p>"
    assert block(raw) == raw


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("\n\n Call Bob \nand Ada", "Call Bob"),
        ("<div><p></p><p>Call <b>Bob</b> &amp; Ada</p><p>now</p></div>", "Call Bob & Ada"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 79 + "…"),
        ("a" * 78 + " bcd", "a" * 78 + "…"),
        ("3 < 4", "3 < 4"),
        ("<br>", ""),
    ],
)
def test_first_line(raw, expected):
    assert first_line(raw) == expected
