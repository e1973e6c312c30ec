import json
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.mapping.appointment import appointments, status_of
from tasks.mapping.desired import Desired, Refused
from tasks.mapping.marker import TEXT_FIELDS, find, unmarked, untouched
from tasks.mapping.rules import Rules
from tasks.voipstudio.models import Appointment, parse_rows

UTC = Rules("acme", ZoneInfo("UTC"), "GB")
LONDON = Rules("acme", ZoneInfo("Europe/London"), "GB")
NEW_YORK = Rules("acme", ZoneInfo("America/New_York"), "GB")


def of(model, row):
    good, bad = parse_rows(model, [{"id": 1, **row}])
    assert bad == []
    return good[0]


def appointment(rules=UTC, **row):
    return appointments([("7", of(Appointment, row), None)], rules)[0]


def shown(item):
    """The content with its text unmarked."""
    field = TEXT_FIELDS[item.entity]
    return {**item.content, field: unmarked(item.content[field])}


def test_an_appointment():
    found = appointment(
        NEW_YORK,
        title="Demo",
        starts_at="2026-07-02 10:00:00",
        ends_at="2026-07-02 10:45:00",
        status="showed",
        location="1 High St\nLondon",
        notes="bring tea",
        created_at="2026-01-02T03:04:05Z",
    )
    assert (found.entity, found.source_id, found.parent_id) == ("appointments", "7/1", "7")
    assert found.kept_back == ()
    assert shown(found) == {
        "title": "Demo",
        "startTime": "2026-07-02T14:00:00Z",
        "endTime": "2026-07-02T14:45:00Z",
        "appointmentStatus": "showed",
        "description": "bring tea",
        "address": "1 High St London",
    }
    assert "— VoIPstudio appointment 7/1 · acme · 2026-01-02 03:04 UTC · #" in found.content["description"]
    assert untouched(found.content["description"])


def test_a_bare_appointment():
    found = appointment(starts_at="2026-01-02 10:00:00")
    assert found.content["description"].startswith("— VoIPstudio appointment 7/1")
    assert shown(found) == {
        "title": "Appointment",
        "startTime": "2026-01-02T10:00:00Z",
        "endTime": "2026-01-02T10:30:00Z",
        "appointmentStatus": "confirmed",
        "description": "",
    }


@pytest.mark.parametrize(
    ("rules", "starts_at", "ends_at", "expected"),
    [
        (UTC, "2026-01-02", None, ("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z")),
        (UTC, "2026-01-02", "2026-01-02", ("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z")),
        (UTC, "2026-01-02", "2026-01-04", ("2026-01-02T00:00:00Z", "2026-01-05T00:00:00Z")),
        (UTC, "2026-01-02", "2026-01-02 00:00:00", ("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z")),
        (UTC, "2026-01-02", "2026-01-02 12:00:00", ("2026-01-02T00:00:00Z", "2026-01-02T12:00:00Z")),
        (UTC, "2026-01-02 10:00:00", "2026-01-02", ("2026-01-02T10:00:00Z", "2026-01-03T00:00:00Z")),
        (UTC, "2026-01-02 10:00:00", "2026-01-02 10:00:00", ("2026-01-02T10:00:00Z", "2026-01-02T10:30:00Z")),
        (LONDON, "2026-03-29", None, ("2026-03-29T00:00:00Z", "2026-03-29T23:00:00Z")),
        (LONDON, "2026-10-25", None, ("2026-10-24T23:00:00Z", "2026-10-26T00:00:00Z")),
        (LONDON, "2026-03-29 00:45:00", None, ("2026-03-29T00:45:00Z", "2026-03-29T01:15:00Z")),
        (NEW_YORK, "2026-11-01 01:45:00", None, ("2026-11-01T05:45:00Z", "2026-11-01T06:15:00Z")),
        (NEW_YORK, "2026-11-01", None, ("2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z")),
        (
            NEW_YORK,
            "2026-03-08 01:30:00",
            "2026-03-08 03:30:00",
            ("2026-03-08T06:30:00Z", "2026-03-08T07:30:00Z"),
        ),
        (
            NEW_YORK,
            "2026-03-08 02:15:00",
            "2026-03-08 02:45:00",
            ("2026-03-08T07:15:00Z", "2026-03-08T07:45:00Z"),
        ),
        (
            NEW_YORK,
            "2026-11-01 00:30:00",
            "2026-11-01 02:30:00",
            ("2026-11-01T04:30:00Z", "2026-11-01T07:30:00Z"),
        ),
        (
            NEW_YORK,
            "2026-11-01 01:45:00",
            "2026-11-01 01:15:00",
            ("2026-11-01T05:45:00Z", "2026-11-01T06:15:00Z"),
        ),
        (
            NEW_YORK,
            "2026-11-01T01:45:00-05:00",
            "2026-11-01 02:15:00",
            ("2026-11-01T06:45:00Z", "2026-11-01T07:15:00Z"),
        ),
        (
            LONDON,
            "2026-10-25 01:50:00",
            "2026-10-25 01:10:00",
            ("2026-10-25T00:50:00Z", "2026-10-25T01:10:00Z"),
        ),
    ],
)
def test_how_long_an_appointment_is(rules, starts_at, ends_at, expected):
    content = appointment(rules, starts_at=starts_at, ends_at=ends_at).content
    assert (content["startTime"], content["endTime"]) == expected


def test_the_length_is_the_accounts_choice():
    rules = Rules("acme", UTC.zone, "GB", appointment_minutes=15)
    assert appointment(rules, starts_at="2026-01-02 10:00:00").content["endTime"] == "2026-01-02T10:15:00Z"


@pytest.mark.parametrize(
    ("row", "reason", "message"),
    [
        ({}, "no_date", "starts_at: missing"),
        ({"ends_at": "2026-01-02"}, "no_date", "starts_at: missing"),
        ({"starts_at": "soon"}, "bad_timestamp", "starts_at: not a readable time"),
        ({"starts_at": "2026-01-02", "ends_at": "soon"}, "bad_timestamp", "ends_at: not a readable time"),
        ({"starts_at": "9999-12-31 23:59:00"}, "bad_timestamp", "ends_at: not a readable time"),
        ({"starts_at": "9999-12-31"}, "bad_timestamp", "ends_at: not a readable time"),
        (
            {"starts_at": "2026-01-02", "ends_at": "2026-01-01 12:00:00"},
            "bad_times",
            "ends_at: before starts_at",
        ),
        ({"starts_at": "2026-01-03", "ends_at": "2026-01-01"}, "bad_times", "ends_at: before starts_at"),
        (
            {"starts_at": "2026-01-02 00:00:00", "ends_at": "2026-01-01"},
            "bad_times",
            "ends_at: before starts_at",
        ),
    ],
)
def test_refused_appointments(row, reason, message):
    assert appointment(**row) == Refused("appointments", "7/1", "7", reason, message)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("new", ("new", True)),
        ("Confirmed", ("confirmed", True)),
        ("cancelled", ("cancelled", True)),
        ("canceled", ("cancelled", True)),
        ("showed", ("showed", True)),
        ("completed", ("showed", True)),
        ("noshow", ("noshow", True)),
        ("no-show", ("noshow", True)),
        ("NO_SHOW", ("noshow", True)),
        ("no show", ("noshow", True)),
        ("pending", ("new", True)),
        (None, ("confirmed", True)),
        (" ", ("confirmed", True)),
        ("whatever", ("confirmed", False)),
        ("3", ("confirmed", False)),
    ],
)
def test_statuses(raw, expected):
    assert status_of(raw) == expected


def test_an_end_that_says_its_offset_is_taken_at_its_word():
    found = appointment(NEW_YORK, starts_at="2026-11-01 01:45:00", ends_at="2026-11-01T01:15:00-04:00")
    assert found.reason == "bad_times"


def test_whose_appointment_it_is():
    rules = replace(UTC, users={"3": "theirs"})
    assert appointment(rules, starts_at="2026-01-02", user_id=3).content["assignedUserId"] == "theirs"
    unknown = appointment(rules, starts_at="2026-01-02", user_id=4, status="whatever")
    assert "assignedUserId" not in unknown.content
    assert unknown.kept_back == ("unknown_user", "unknown_status")
    assert appointment(starts_at="2026-01-02", user_id=3).kept_back == ()


def test_an_unknown_status_is_said():
    found = appointment(starts_at="2026-01-02", status="whatever", created_at="junk")
    assert found.kept_back == ("bad_created_at", "unknown_status")


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


@given(
    st.fixed_dictionaries(
        {"title": TEXT, "notes": TEXT, "status": TEXT, "starts_at": TIME, "ends_at": TIME, "created_at": TIME}
    ),
    RULES,
)
def test_any_appointment(row, rules):
    good, _ = parse_rows(Appointment, [{"id": 1, **row}])
    items = [("7", row, None) for row in good]
    checked(appointments(items, rules), appointments(items, rules))
    for item in appointments(items, rules):
        if isinstance(item, Desired):
            assert item.content["startTime"] < item.content["endTime"]
