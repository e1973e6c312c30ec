import json
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.mapping.crm_task import crm_tasks
from tasks.mapping.desired import Desired, Refused, Skipped
from tasks.mapping.marker import TEXT_FIELDS, find, unmarked, untouched
from tasks.mapping.note import notes
from tasks.mapping.rules import Rules
from tasks.mapping.stand_ins import stand_ins
from tasks.voipstudio.models import Contact, CrmTask, Note, parse_rows

UTC = Rules("acme", ZoneInfo("UTC"), "GB")
OWNED = replace(UTC, users={"3": "theirs"})
LONDON = Rules("acme", ZoneInfo("Europe/London"), "GB")
NEW_YORK = Rules("acme", ZoneInfo("America/New_York"), "GB")


def of(model, row):
    good, bad = parse_rows(model, [{"id": 1, **row}])
    assert bad == []
    return good[0]


def note(rules=UTC, **row):
    return notes([("7", of(Note, row), None)], rules)[0]


def crm_task(rules=UTC, fallback=None, **row):
    return crm_tasks([("7", of(CrmTask, row), fallback)], rules)[0]


def shown(item):
    """The content with its text unmarked."""
    field = TEXT_FIELDS[item.entity]
    return {**item.content, field: unmarked(item.content[field])}


def test_a_note():
    found = note(LONDON, body=" Said\r\nhello\x00 ", created_at="2026-07-02 03:04:05")
    assert (found.entity, found.source_id, found.parent_id, found.kept_back) == ("notes", "7/1", "7", ())
    text, last = found.content["body"].split("\n\n")
    assert text == "Said\nhello"
    assert last.startswith("— VoIPstudio note 7/1 · acme · 2026-07-02 02:04 UTC · #")
    assert untouched(found.content["body"])


def test_the_contact_in_the_path_counts():
    assert note(body="x", contact_id=99).parent_id == "7"


@pytest.mark.parametrize("body", [None, "", " \r\n\x00\ufeff"])
def test_a_note_that_says_nothing(body):
    assert note(body=body) == Skipped("notes", "7/1", "7", "empty")


@pytest.mark.parametrize(
    "body",
    [
        "😀 👩\u200d👧",
        "\u200f\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
        "<p>Hi &amp; <b>bye</b></p>",
        "tab\there",
        "x" * 300_000,
        "café 日本語",
    ],
)
def test_texts_survive(body):
    assert shown(note(body=body)) == {"body": body}


def test_a_note_goes_over_without_a_date_that_cannot_be_read():
    found = note(body="x", created_at="yesterday")
    assert found.kept_back == ("bad_created_at",)
    assert found.content["body"].startswith("x\n\n— VoIPstudio note 7/1 · acme · #")


def test_a_crm_task():
    found = crm_task(
        LONDON, title=" Call  Bob", body="about\nit", due_at="2026-07-02 10:00:00", completed=True,
        created_at="2026-01-02 03:04:05",
    )  # fmt: skip
    assert (found.entity, found.source_id, found.parent_id, found.kept_back) == ("tasks", "7/1", "7", ())
    assert shown(found) == {
        "title": "Call Bob",
        "body": "about\nit",
        "dueDate": "2026-07-02T09:00:00Z",
        "completed": True,
    }
    assert "— VoIPstudio task 7/1 · acme · 2026-01-02 03:04 UTC · #" in found.content["body"]
    assert untouched(found.content["body"])


def test_a_crm_task_without_body_is_its_marker():
    found = crm_task(title="x", due_at=1767323045)
    assert found.content["body"].startswith("— VoIPstudio task 7/1")
    assert found.content["completed"] is False


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"body": "Ring Bob\nsoon"}, "Ring Bob"),
        ({"body": "<p>Ring <b>Bob</b></p>"}, "Ring Bob"),
        ({"body": "x" * 200}, "x" * 79 + "…"),
        ({"title": " ", "body": None}, "Task"),
    ],
)
def test_a_crm_task_without_title(row, expected):
    assert crm_task(due_at="2026-01-02", **row).content["title"] == expected


@pytest.mark.parametrize(
    ("row", "fallback", "expected"),
    [
        ({"due_at": "2026-01-02 03:04:05", "created_at": "2025-01-01"}, "2024-01-01", "2026-01-02T03:04:05Z"),
        ({"due_at": "0000-00-00 00:00:00", "created_at": "2025-01-01"}, "2024-01-01", "2025-01-01T00:00:00Z"),
        ({}, "2024-01-01", "2024-01-01T00:00:00Z"),
        ({"created_at": "junk"}, 1767323045, "2026-01-02T03:04:05Z"),
    ],
)
def test_when_a_crm_task_is_due(row, fallback, expected):
    assert crm_task(fallback=fallback, **row).content["dueDate"] == expected


@pytest.mark.parametrize("fallback", [None, "", "junk"])
def test_a_crm_task_without_any_date(fallback):
    found = crm_task(title="x", fallback=fallback)
    assert found == Refused("tasks", "7/1", "7", "no_date", "due_at: missing, and no date stands in")


def test_a_crm_task_whose_date_cannot_be_read():
    found = crm_task(due_at="Thursday", created_at="2026-01-01")
    assert found == Refused("tasks", "7/1", "7", "bad_timestamp", "due_at: not a readable time")


@pytest.mark.parametrize(
    ("rules", "user_id", "expected"),
    [
        (OWNED, 3, ("theirs", ())),
        (OWNED, "3", ("theirs", ())),
        (OWNED, 4, (None, ("unknown_user",))),
        (OWNED, 0, (None, ())),
        (OWNED, None, (None, ())),
        (UTC, 3, (None, ())),
    ],
)
def test_whose_a_note_a_task_and_a_call_are(rules, user_id, expected):
    written = note(rules, body="x", user_id=user_id)
    assert (written.content.get("userId"), written.kept_back) == expected
    task = crm_task(rules, due_at="2026-01-02", user_id=user_id)
    assert (task.content.get("assignedTo"), task.kept_back) == expected
    contact = of(Contact, {"id": 7, "next_call_at": "2026-01-02", "user_id": user_id, "notes": "x"})
    text, call = stand_ins(contact, rules)
    assert (call.content.get("assignedTo"), call.kept_back) == expected
    assert set(text.content) == {"body"}


def test_who_wrote_it_does_not_change_a_marker():
    assert note(OWNED, body="x", user_id=3).content["body"] == note(body="x").content["body"]


@pytest.mark.parametrize(
    ("rules", "due_at", "expected"),
    [
        (NEW_YORK, "2026-03-08 02:30:00", "2026-03-08T07:30:00Z"),
        (NEW_YORK, "2026-03-08 03:30:00", "2026-03-08T07:30:00Z"),
        (NEW_YORK, "2026-11-01 01:30:00", "2026-11-01T05:30:00Z"),
        (NEW_YORK, "2026-11-01T01:30:00-05:00", "2026-11-01T06:30:00Z"),
        (LONDON, "2026-03-29 01:30:00", "2026-03-29T01:30:00Z"),
        (LONDON, "2026-10-25 01:30:00", "2026-10-25T00:30:00Z"),
        (NEW_YORK, "2026-07-02", "2026-07-02T04:00:00Z"),
        (LONDON, "2026-07-02", "2026-07-01T23:00:00Z"),
    ],
)
def test_due_dates_are_instants_of_the_accounts_zone(rules, due_at, expected):
    assert crm_task(rules, due_at=due_at).content["dueDate"] == expected


def test_stand_ins():
    contact = of(Contact, {
        "id": 7, "first_name": "Ada", "last_name": " Lovelace ", "notes": "likes tea\r\n",
        "next_call_at": "2026-07-02 10:00:00", "created_at": "2025-01-01 00:00:00",
    })  # fmt: skip
    written, call = stand_ins(contact, LONDON)
    assert (written.entity, written.source_id, written.parent_id) == ("notes", "7/notes", "7")
    assert shown(written) == {"body": "likes tea"}
    assert find(written.content["body"]).source_id == "7/notes"
    assert "2025" not in written.content["body"] + call.content["body"]
    assert (call.entity, call.source_id, call.parent_id) == ("tasks", "7/next_call_at", "7")
    assert shown(call) == {
        "title": "Call back Ada Lovelace",
        "body": "",
        "dueDate": "2026-07-02T09:00:00Z",
        "completed": False,
    }
    assert find(call.content["body"]).source_id == "7/next_call_at"


def test_a_call_back_names_the_company_or_nobody():
    row = {"id": 7, "next_call_at": "2026-07-02 10:00:00"}
    assert (
        stand_ins(of(Contact, {**row, "company": "Engines"}), UTC)[0].content["title"] == "Call back Engines"
    )
    assert stand_ins(of(Contact, row), UTC)[0].content["title"] == "Call back"


def test_nothing_stands_in_for_nothing():
    assert stand_ins(of(Contact, {"notes": " ", "next_call_at": "0000-00-00 00:00:00"}), UTC) == []


def test_an_unreadable_call_back_leaves_the_note():
    written, call = stand_ins(of(Contact, {"id": 7, "notes": "x", "next_call_at": "soon"}), UTC)
    assert isinstance(written, Desired)
    assert call == Refused(
        "tasks", "7/next_call_at", "7", "bad_timestamp", "next_call_at: not a readable time"
    )


TEXT = st.none() | st.text(st.characters(exclude_categories=()))
TIME = st.none() | st.integers() | st.text() | st.from_regex(
    r"(19|20)\d\d-[01]\d-[0-3]\d( [0-2]\d:[0-5]\d:[0-5]\d)?", fullmatch=True
)  # fmt: skip
RULES = st.sampled_from([UTC, LONDON, NEW_YORK])


def checked(first, second):
    """Mapping twice answers the same, and only what any JSON reader takes."""
    assert first == second
    for item in first:
        if isinstance(item, Desired):
            assert (
                json.loads(json.dumps(item.content, allow_nan=False, ensure_ascii=False).encode())
                == item.content
            )
            assert find(item.content[TEXT_FIELDS[item.entity]]).source_id == item.source_id
            assert untouched(item.content[TEXT_FIELDS[item.entity]])


@given(TEXT, TIME, RULES)
def test_any_note(body, created, rules):
    good, _ = parse_rows(Note, [{"id": 1, "body": body, "created_at": created}])
    items = [("7", row, None) for row in good]
    checked(notes(items, rules), notes(items, rules))


@given(st.fixed_dictionaries({"title": TEXT, "body": TEXT, "due_at": TIME, "created_at": TIME}), TIME, RULES)
def test_any_crm_task(row, fallback, rules):
    good, _ = parse_rows(CrmTask, [{"id": 1, **row}])
    items = [("7", row, fallback) for row in good]
    checked(crm_tasks(items, rules), crm_tasks(items, rules))


@given(TEXT, TEXT, TIME, RULES)
def test_any_stand_ins(name, text, next_call, rules):
    good, _ = parse_rows(Contact, [{"id": 7, "first_name": name, "notes": text, "next_call_at": next_call}])
    for contact in good:
        checked(stand_ins(contact, rules), stand_ins(contact, rules))
