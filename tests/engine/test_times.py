"""Instants that cross from the source's zone to the location's, in the nights in which clocks change."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tasks.engine.entities.instants import moment, utc
from tests.support.accounts import sync

NEW_YORK = {"source": {"timezone": "America/New_York"}}
VERSIONS = pytest.mark.parametrize("version", ["v3", "2021-07-28"])


def at(text):
    return int(datetime.fromisoformat(text).timestamp())


def told(box):
    """What is at the destination, as instants."""
    return [(utc(row["startTime"]), utc(row["endTime"])) for row in box.appointments()]


@pytest.fixture
def place(box):
    """Options of a run of an account in New York whose location is in London."""
    box.options(voipstudio={"zone": "America/New_York"})
    box.insert_source("contacts", first_name="Ann", email="ann@example.com")
    return lambda version: {**NEW_YORK, "destination": {"api_version": version}}


NIGHTS = [
    # New York's clocks skip 02:00 to 03:00 on 8 March, London's 01:00 to 02:00 on 29 March
    ("2026-03-08T06:30:00Z", "2026-03-08T07:30:00Z"),
    ("2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"),
    # between the two, New York is four hours behind London, and five again afterwards
    ("2026-03-16T13:00:00Z", "2026-03-16T14:00:00Z"),
    # London has 01:00 to 02:00 twice on 25 October, New York on 1 November
    ("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"),
    ("2026-10-25T01:10:00Z", "2026-10-25T01:40:00Z"),
    ("2026-11-01T04:30:00Z", "2026-11-01T05:30:00Z"),
    ("2026-11-01T05:45:00Z", "2026-11-01T06:15:00Z"),
]


@VERSIONS
async def test_appointments_in_those_nights_arrive_and_no_difference_is_seen(
    box, url, tmp_path, place, version
):
    for starts, ends in NIGHTS:
        box.insert_source("appointments", 1, title="Visit", starts_at=at(starts), ends_at=at(ends))
    first = await sync(box, url, **place(version))
    assert (first.status, sorted(told(box))) == ("ok", sorted(NIGHTS))
    box.reset_counters()
    assert (await sync(box, url, mode="full", **place(version))).status == "ok"
    again = await sync(box, f"sqlite:///{tmp_path}/another.db", **place(version))
    assert again.entities["appointments"]["adopted"] == len(NIGHTS)
    assert not [one for one in again.warnings if "left as a person wrote it" in one]
    assert box.writes() == {}


@VERSIONS
async def test_an_appointment_moves_by_the_hour_that_happens_twice(box, url, place, version):
    first, second = NIGHTS[3][0], NIGHTS[3][1]
    visit = box.insert_source(
        "appointments", 1, title="Visit", starts_at=at(first), ends_at=at("2026-10-25T00:45:00Z")
    )
    await sync(box, url, **place(version))
    box.edit_source("appointments", visit["id"], 1, starts_at=at(second), ends_at=at("2026-10-25T01:45:00Z"))
    await sync(box, url, **place(version))
    assert told(box) == [(second, "2026-10-25T01:45:00Z")]


@VERSIONS
async def test_where_a_person_moved_an_appointment_it_stays(box, url, place, version):
    visit = box.insert_source(
        "appointments", 1, title="Visit", starts_at=at(NIGHTS[3][0]), ends_at=at("2026-10-25T00:45:00Z")
    )
    await sync(box, url, **place(version))
    there = box.appointments()[0]
    moved = {"startTime": "2026-10-25T01:30:00+00:00", "endTime": "2026-10-25T01:45:00+00:00"}
    box.edit("appointments", there["id"], **moved)
    box.edit_source("appointments", visit["id"], 1, starts_at=at("2026-10-24T10:00:00Z"), title="Demo")
    report = await sync(box, url, **place(version))
    assert told(box) == [("2026-10-25T01:30:00Z", "2026-10-25T01:45:00Z")]
    assert box.appointments()[0]["title"] == "Demo"
    assert any("startTime left as a person wrote it" in one for one in report.warnings)


@VERSIONS
async def test_wall_clock_times_of_the_source(box, url, place, version):
    """02:30 in New York's gap is 03:30; 01:30 in its overlap is the first; an end before it is the second."""
    for starts, ends in (
        ("2026-03-08 02:30:00", "2026-03-08 04:00:00"),
        ("2026-11-01 01:30:00", None),
        ("2026-11-01 01:45:00", "2026-11-01 01:15:00"),
        ("2026-07-01", None),
    ):
        box.insert_source("appointments", 1, title="Visit", starts_at=starts, ends_at=ends)
    report = await sync(box, url, **place(version))
    assert (report.status, told(box)) == (
        "ok",
        [
            ("2026-03-08T07:30:00Z", "2026-03-08T08:00:00Z"),
            ("2026-11-01T05:30:00Z", "2026-11-01T06:00:00Z"),
            ("2026-11-01T05:45:00Z", "2026-11-01T06:15:00Z"),
            ("2026-07-01T04:00:00Z", "2026-07-02T04:00:00Z"),
        ],
    )


@VERSIONS
async def test_due_dates(box, url, tmp_path, place, version):
    due = [starts for starts, _ in NIGHTS] + ["2026-07-01T04:00:00Z"]
    for number, instant in enumerate(due, 1):
        when = at(instant) if number < len(due) else "2026-07-01"
        box.insert_source("tasks", 1, title=f"Call {number}", due_at=when)
    await sync(box, url, **place(version))
    assert [utc(row["dueDate"]) for row in box.tasks()] == due
    box.reset_counters()
    again = await sync(box, f"sqlite:///{tmp_path}/another.db", **place(version))
    assert (again.entities["tasks"]["adopted"], box.writes()) == (len(due), {})


async def test_a_length_for_what_has_no_end(box, url, place):
    box.insert_source("appointments", 1, title="Visit", starts_at="2026-07-01 09:00:00")
    await sync(box, url, mapping={"appointment_minutes": 45}, **place("v3"))
    assert told(box) == [("2026-07-01T13:00:00Z", "2026-07-01T13:45:00Z")]


async def test_what_is_cancelled_at_the_source_is_cancelled(box, url, place):
    visit = box.insert_source("appointments", 1, title="Visit", starts_at="2026-07-01 09:00:00")
    await sync(box, url, **place("v3"))
    box.edit_source("appointments", visit["id"], 1, status="cancelled")
    await sync(box, url, **place("v3"))
    assert [row["appointmentStatus"] for row in box.appointments()] == ["cancelled"]


@pytest.mark.parametrize("status", ["showed", "noshow", "invalid", "completed"])
async def test_a_status_that_a_person_set_stays(box, url, place, status):
    visit = box.insert_source("appointments", 1, title="Visit", starts_at="2026-07-01 09:00:00")
    await sync(box, url, **place("v3"))
    box.edit("appointments", box.appointments()[0]["id"], appointmentStatus=status)
    box.edit_source("appointments", visit["id"], 1, title="Demo", status="cancelled")
    report = await sync(box, url, **place("v3"))
    (there,) = box.appointments()
    stored = "showed" if status == "completed" else status
    assert (there["title"], there["appointmentStatus"]) == ("Demo", stored)
    assert any("appointmentStatus left as a person wrote it" in one for one in report.warnings)


async def test_a_status_that_cannot_be_sent_back_is_not_lost(box, url, place):
    visit = box.insert_source("appointments", 1, title="Visit", starts_at="2026-07-01 09:00:00")
    await sync(box, url, **place("v3"))
    box.edit("appointments", box.appointments()[0]["id"], appointmentStatus="rescheduled")
    box.edit_source("appointments", visit["id"], 1, title="Demo")
    report = await sync(box, url, **place("v3"))
    assert any("rejected (unknown_status)" in one for one in report.warnings)
    assert box.appointments()[0]["appointmentStatus"] == "rescheduled"


async def test_an_appointment_that_is_shown_as_deleted_is_gone(box, url, place):
    visit = box.insert_source("appointments", 1, title="Visit", starts_at="2026-07-01 09:00:00")
    await sync(box, url, **place("v3"))
    box.edit("appointments", box.appointments()[0]["id"], deleted=True)
    box.edit_source("appointments", visit["id"], 1, title="Demo")
    report = await sync(box, url, **place("v3"))
    assert (report.status, box.appointments()[0]["title"]) == ("ok", "Visit")
    assert any("deleted at the destination" in one for one in report.warnings)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, None),
        ("", None),
        ("2026-10-25T01:30:00+01:00", "2026-10-25T00:30:00Z"),
        ("2026-10-25T01:30:00+00:00", "2026-10-25T01:30:00Z"),
        ("2026-10-25T00:30:00.000Z", "2026-10-25T00:30:00Z"),
        (1792888200000, "2026-10-25T00:30:00Z"),
        ("1792888200000", "2026-10-25T00:30:00Z"),
        ("2026-10-25 01:30:00", "2026-10-25 01:30:00"),
        ("2026-10-25", "2026-10-25"),
        ("soon", "soon"),
    ],
)
def test_instants_as_the_api_may_write_them(raw, expected):
    found = utc(raw)
    assert found == expected
    known = bool(expected) and expected.endswith("Z")
    assert moment(found) == (datetime(2026, 10, 25, int(expected[12]), 30, tzinfo=UTC) if known else None)
