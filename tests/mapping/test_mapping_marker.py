import html
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.mapping.marker import Marker, checksum, find, mark, unmarked, untouched
from tasks.mapping.text import block

MADE = datetime(2026, 1, 2, 3, 4, 59, tzinfo=UTC)
PIECES = [
    *[
        "a",
        " ",
        "\n",
        "<p>",
        "</p>",
        "<b>x</b>",
        "&amp;",
        "&lt;",
        "&",
        "<",
        ">",
        "·",
        "—",
        "#",
        ";",
        "\u05e9",
        "😀",
    ],
    "\u00a0",
    "— VoIPstudio note 7/1 · acme · #3f9a1c",
    "\n— VoIPstudio note 9/9 · old · #000000\n",
]
PIECED = st.lists(st.sampled_from(PIECES)).map("".join)
BODIES = (st.text(st.characters(exclude_categories=())) | PIECED).map(block)


def noted(body, source_id="7/1", created=MADE):
    return mark(body, "notes", source_id, "acme", created)


def paragraphs(text):
    return "".join(f"<p>{html.escape(part) or '<br>'}</p>" for part in text.split("\n"))


def breaks(text):
    return "<div>" + html.escape(text).replace("\n", "<br />") + "</div>"


def entities(text):
    shown = html.escape(text).replace("—", "&mdash;").replace("·", "&middot;").replace(" ", "&nbsp;")
    return f'<p style="margin: 0">{shown}</p>'.replace("\n", "</p>\n<p>")


def styled(text):
    return "\n".join(f'<p><span style="x">{html.escape(part)}</span></p>' for part in text.split("\n"))


WRAPPINGS = [
    lambda text: text,
    lambda text: text.replace("\n", "\r\n"),
    lambda text: text + " \n\n",
    lambda text: "\n".join(part + "  " for part in text.split("\n")),
    html.escape,
    paragraphs,
    breaks,
    entities,
    styled,
    lambda text: html.escape(html.escape(text)),
]


def test_the_line():
    text = noted("Said hello")
    assert text.startswith("Said hello\n\n— VoIPstudio note 7/1 · acme · 2026-01-02 03:04 UTC · #")
    assert len(text.rsplit("#", 1)[1]) == 6
    assert find(text) == Marker("notes", "7/1", "acme", text[-6:])


def test_without_date_and_without_text():
    text = mark("", "tasks", "7/next_call_at", "a-b_c", None)
    assert text == f"— VoIPstudio task 7/next_call_at · a-b_c · #{checksum('')}"
    assert find(text) == Marker("tasks", "7/next_call_at", "a-b_c", text[-6:])
    assert unmarked(text) == ""


def test_the_date_is_utc():
    east = datetime(2026, 1, 2, 5, 4, tzinfo=timezone(timedelta(hours=2)))
    assert noted("x", created=east) == noted("x")


def test_the_checksum_stays_the_same_across_releases():
    assert noted("Said hello").endswith("· #" + checksum("Said hello"))
    assert checksum("Said hello") == "e60b9e"


@pytest.mark.parametrize("wrap", WRAPPINGS)
@given(body=BODIES.filter(bool))
def test_round_trip_survives_editors(wrap, body):
    text = noted(body)
    stored = wrap(text)
    assert find(stored) == find(text)
    assert untouched(stored)


@given(BODIES)
def test_unmarking_gives_the_text_back(body):
    assert unmarked(noted(body)) == body
    assert noted(unmarked(noted(body))) == noted(body)


@given(BODIES.filter(bool), st.sampled_from(["x", "1", "\nadded", "é"]))
def test_an_edit_is_noticed(body, added):
    text = noted(body)
    assert not untouched(text + f"\n{added}")
    assert not untouched(body + added + text[len(body) :])


def test_only_the_text_is_vouched_for():
    assert mark("x", "tasks", "7/1", "acme", None).endswith("#" + checksum("x"))
    assert checksum("x") != checksum("y")


def test_the_last_marker_counts():
    text = noted("quoted:\n" + noted("old", "9/9"))
    assert find(text).source_id == "7/1"
    assert find(unmarked(text)).source_id == "9/9"
    assert untouched(text)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "nothing here",
        "I saw — VoIPstudio note 7/1 · acme · #3f9a1c",
        "— VoIPstudio note 7/1 · acme · #3f9a1c he said",
        "— VoIPstudio note 7/1 · acme · #3f9a1",
        "— VoIPstudio call 7/1 · acme · #3f9a1c",
        "— VoIPstudio note 7/1 · #3f9a1c",
    ],
)
def test_what_is_no_marker(text):
    assert find(text) is None
    assert unmarked(text) == (text or "")
    assert not untouched(text)


def test_text_after_the_marker_stays():
    assert unmarked("mine\n\n— VoIPstudio note 7/1 · acme · #3f9a1c\n\nand yours") == "mine\n\nand yours"


def test_html_left_empty_by_the_marker_goes():
    assert unmarked(paragraphs(noted("hello"))) == "<p>hello</p>"


def test_a_very_long_text_is_searched_quickly():
    body = "— \n" * 200_000 + "x" + " " * 200_000 + "y"
    assert untouched(noted(body))


def test_every_entity_has_its_word():
    for entity, word in {"notes": "note", "tasks": "task", "appointments": "appointment"}.items():
        text = mark("x", entity, "7/1", "acme", None)
        assert f"VoIPstudio {word} 7/1" in text
        assert find(text).entity == entity
